"""Fixed noise textures, made once per process and cut at places that a portrait's seed decides."""

from __future__ import annotations

import functools

import numpy as np

SIDE = 512


def _noise(seed: int, sigmas: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """White noise under a sum of Gaussian blurs (sigma x, sigma y, weight), standard deviation 1."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((SIDE, SIDE)))
    frequency_y, frequency_x = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    total = np.zeros((SIDE, SIDE))
    for sigma_x, sigma_y, weight in sigmas:
        # A blur is a product in the spectrum, and there it wraps around without a seam.
        blur = np.exp(-2 * np.pi**2 * ((sigma_x * frequency_x) ** 2 + (sigma_y * frequency_y) ** 2))
        smooth = np.fft.irfft2(spectrum * blur, s=(SIDE, SIDE))
        total += weight * smooth / smooth.std()
    return (total / total.std()).astype(np.float32)


@functools.cache
def strands() -> np.ndarray:
    """Streaks, narrow along x and long along y: float32 [SIDE, SIDE], standard deviation 1, wraps around."""
    return _noise(1, ((2.0, 60.0, 0.5), (5.0, 80.0, 0.8), (12.0, 110.0, 0.9)))


@functools.cache
def grain() -> np.ndarray:
    """Fine speckle of skin and fabric: float32 [SIDE, SIDE], standard deviation 1, wraps around."""
    return _noise(2, ((0.7, 0.7, 0.8), (1.6, 1.6, 0.5)))
