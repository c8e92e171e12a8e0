"""Draw portraits, one by one or many in parallel, with label maps and truth."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .background import draw_background
from .body import draw_body
from .canvas import Canvas
from .colors import SKIN_COLORS, ramp, rgb
from .eyes import draw_eyes
from .face import draw_face, draw_nose
from .geometry import Head, smoothstep
from .hair import Hair
from .mouth import draw_mouth
from .parameters import (
    LATENT_SIZE,
    TRUTH_NAMES,
    PortraitParameters,
    parameters_from_latent,
    sample_latents,
    truth,
)
from .textures import SIDE, grain

SIZES = (64, 256)
_CHUNK = 16


@dataclass(frozen=True)
class Portrait:
    """One picture with its exact labels."""

    image: np.ndarray
    """uint8 [H, W, 3], RGB."""
    label_map: np.ndarray
    """uint8 [H, W]: 0 background (with neck, ears, clothes), 1 skin, 2/3 brow and 4/5 eye on the image's
    left/right, 6 nose, 7 upper lip, 8 inside of the mouth, 9 lower lip, 10 hair."""
    parameters: PortraitParameters


@dataclass(frozen=True)
class PortraitSet:
    """Many portraits as arrays."""

    images: np.ndarray
    """uint8 [N, H, W, 3], RGB."""
    label_maps: np.ndarray
    """uint8 [N, H, W]."""
    latents: np.ndarray
    """float32 [N, LATENT_SIZE]."""
    truth: np.ndarray
    """float32 [N, 9] in the order of TRUTH_NAMES."""


def check_size(size: int) -> None:
    """Raise ValueError unless portraits can be drawn at `size` x `size` pixels: 64 to 256."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(
            f"Portraits are drawn at {SIZES[0]} to {SIZES[1]} pixels, not {size}; scale the result."
        )


def render(parameters: PortraitParameters, size: int) -> Portrait:
    """Draw one portrait. ValueError as of `check_size`."""
    check_size(size)
    oversampling = max(2, round(192 / size))
    canvas = Canvas(size * oversampling)
    head = Head(parameters, canvas.size)
    _draw_figure(canvas, head)

    figure = _exposed(cv2.resize(canvas.colors, (size, size), interpolation=cv2.INTER_AREA), parameters)
    figure = np.clip(figure * (1 + 0.010 * _grain(parameters.seed, size)[..., None]), 0, 1)
    free = 1 - cv2.resize(canvas.coverage, (size, size), interpolation=cv2.INTER_AREA)
    image = figure + free[..., None] * draw_background(parameters, free)
    if parameters.blur > 0:
        image = _blur_top(image, parameters.blur)
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Portrait(pixels, canvas.small_labels(size), parameters)


def _draw_figure(canvas: Canvas, head: Head) -> None:
    parameters = head.parameters
    warm = rgb(1 + parameters.skin_warmth, 1.0, 1 - parameters.skin_warmth)
    skin = np.clip(ramp(SKIN_COLORS, parameters.skin_tone) * warm, 0, 1)
    hair = Hair(head)
    hair.draw_back(canvas)
    draw_body(canvas, head, skin)
    face = draw_face(canvas, head, skin)
    draw_nose(canvas, head, skin, face)
    draw_eyes(canvas, head, skin, face)
    draw_mouth(canvas, head, skin, face)
    hair.draw_front(canvas, face)


def _exposed(figure: np.ndarray, parameters: PortraitParameters) -> np.ndarray:
    warmth = parameters.warmth
    return figure * (parameters.exposure * rgb(1 + warmth, 1, 1 - warmth))


def _blur_top(image: np.ndarray, strength: float) -> np.ndarray:
    """The fault that low quality stands for: the top quarter of a picture [H, W, 3] in 0..1 is smeared."""
    size = image.shape[0]
    smeared = cv2.GaussianBlur(image, (0, 0), sigmaX=0.17 * size * strength, sigmaY=0.06 * size)
    rows = np.arange(size, dtype=np.float32) / size
    share = 1 - smoothstep(rows, 0.21, 0.29)
    return image + (smeared - image) * share[:, None, None]


def _grain(seed: int, size: int) -> np.ndarray:
    x, y = np.random.default_rng(seed + 1).integers(0, SIDE - size, 2)
    return grain()[y : y + size, x : x + size]


def _render_chunk(
    chunk: tuple[np.ndarray, list[int]], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    latents, seeds = chunk
    parameters = [parameters_from_latent(latent, seed) for latent, seed in zip(latents, seeds, strict=True)]
    portraits = [render(one, size) for one in parameters]
    images = np.stack([portrait.image for portrait in portraits])
    label_maps = np.stack([portrait.label_map for portrait in portraits])
    return images, label_maps, np.stack([truth(one) for one in parameters])


def _use_one_thread() -> None:
    cv2.setNumThreads(1)


def render_many(
    seeds: Sequence[int], size: int, processes: int = 1, latents: np.ndarray | None = None
) -> PortraitSet:
    """Draw one portrait per seed, the same for every number of processes.

    `latents` [N, LATENT_SIZE] replaces the latents that the seeds would give; the seeds then only decide
    grain and strands. Raises ValueError where the numbers of latents and seeds differ.
    """
    seeds = [int(seed) for seed in seeds]
    latents = sample_latents(seeds) if latents is None else np.asarray(latents, np.float32)
    if latents.shape != (len(seeds), LATENT_SIZE):
        raise ValueError(
            f"Expected latents of shape [{len(seeds)}, {LATENT_SIZE}], one for each seed, "
            f"got {list(latents.shape)}."
        )
    starts = range(0, len(seeds), _CHUNK)
    chunks = [(latents[start : start + _CHUNK], seeds[start : start + _CHUNK]) for start in starts]
    work = functools.partial(_render_chunk, size=size)
    images = np.empty((len(seeds), size, size, 3), np.uint8)
    label_maps = np.empty((len(seeds), size, size), np.uint8)
    truths = np.empty((len(seeds), len(TRUTH_NAMES)), np.float32)

    def collect(results: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        for start, (image, label_map, known) in zip(starts, results, strict=True):
            rows = slice(start, start + len(image))
            images[rows], label_maps[rows], truths[rows] = image, label_map, known

    if processes > 1 and len(chunks) > 1:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(processes, len(chunks)), initializer=_use_one_thread) as pool:
            collect(pool.imap(work, chunks))
    else:
        threads = cv2.getNumThreads()
        _use_one_thread()
        try:
            collect(map(work, chunks))
        finally:
            cv2.setNumThreads(threads)
    return PortraitSet(images, label_maps, latents, truths)
