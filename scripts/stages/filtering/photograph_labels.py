"""First labels of photographic pictures: gender by a head on a face network, quality by three witnesses.

Nobody has judged the quality of pictures of a new generator. Its own discriminator, the face detector and the
face parser each say how far a picture is from what they know; the pictures that please them least are called
bad. That is a beginning, which a person then corrects on the label page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import norm, rankdata

from segmentation.segmenter import Segmenter
from stylegan.interface import Discriminator
from stylegan.sampling import from_uint8

SCORED_TOGETHER = 4  # pictures: the discriminator compares those of one batch
STEEPNESS = 4.0  # of the probability of a good picture, per sd of the witnesses' mean
PICTURES_AT_ONCE = 64


@dataclass(frozen=True)
class Witnesses:
    """What is known about the quality of N pictures; NaN where there is nothing to say.

    Attributes:
        score: float64 [N] of the discriminator; the larger, the more real.
        face: float64 [N] the detector's probability of a face; 0 where it finds none.
        parser: float64 [N] mean probability of the classes that the parser chose.
        strangeness: float64 [N] how unlike the parser's training pictures the face is.
    """

    score: np.ndarray
    face: np.ndarray
    parser: np.ndarray
    strangeness: np.ndarray


def ask_witnesses(
    pictures: np.ndarray, discriminator: Discriminator | None, segmenter: Segmenter
) -> Witnesses:
    """Ask all of them about pictures uint8 [N, H, W, 3]; without a discriminator the two others remain."""
    score = np.full(len(pictures), np.nan)
    if discriminator is not None:
        score = discriminator_scores(discriminator, pictures)
    faces = [
        face
        for start in range(0, len(pictures), PICTURES_AT_ONCE)
        for face in segmenter(list(pictures[start : start + PICTURES_AT_ONCE]))
    ]

    def of(values: Sequence[float]) -> np.ndarray:
        return np.array(values, np.float64)

    return Witnesses(
        score,
        of([0.0 if face is None else face.crop.probability for face in faces]),
        of([np.nan if face is None else face.mean_probability for face in faces]),
        of([np.nan if face is None else face.strangeness for face in faces]),
    )


@torch.inference_mode()
def discriminator_scores(discriminator: Discriminator, pictures: np.ndarray) -> np.ndarray:
    """Scores float64 [N] of pictures uint8 [N, H, W, 3] of the discriminator's size.

    Pictures are scored in fours of neighbours, the last of them filled up from the beginning.
    """
    device = next(discriminator.parameters()).device
    count = len(pictures)
    filled = pictures[np.arange(-(-count // SCORED_TOGETHER) * SCORED_TOGETHER) % count]
    parts = [
        discriminator(from_uint8(filled[start : start + SCORED_TOGETHER]).to(device))[:, 0]
        for start in range(0, len(filled), SCORED_TOGETHER)
    ]
    return torch.cat(parts).double().cpu().numpy()[:count]


def quality_probabilities(witnesses: Witnesses, bad_share: float) -> np.ndarray:
    """Probability of a good picture [N], 0.5 at the border between the `bad_share` worst and the others.

    The mean of what the discriminator, the detector and the parser say, each as a normal quantile of its
    ranks; the parser's word is its probability and its strangeness in equal parts. It is a rank, not
    calibrated. A picture without a face is bad.
    """
    parser = np.nanmean(
        _known_rows([_quantiles(witnesses.parser), _quantiles(-witnesses.strangeness)]), axis=0
    )
    mean = np.nanmean(_known_rows([_quantiles(witnesses.score), _quantiles(witnesses.face), parser]), axis=0)
    border = np.quantile(mean, bad_share)
    likely = expit(STEEPNESS * (mean - border) / max(float(mean.std()), 1e-9))
    return np.where(witnesses.face > 0, likely, 0.0)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks [N] of values, NaN where these are."""
    found = np.full(len(values), np.nan)
    known = np.isfinite(values)
    found[known] = norm.ppf((rankdata(values[known]) - 0.5) / max(int(known.sum()), 1))
    return found


def _known_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Those of the rows [N] that say something of any picture; zero where a picture has nothing at all."""
    said = np.stack([row for row in rows if np.isfinite(row).any()] or [np.zeros(len(rows[0]))])
    silent = np.isnan(said).all(axis=0)
    said[:, silent] = 0.0
    return said
