"""First labels of photographs: what discriminator, detector and parser say becomes a probability."""

import dataclasses

import numpy as np
import torch

from scripts.stages.filtering.photograph_labels import (
    Witnesses,
    discriminator_scores,
    quality_probabilities,
)
from tests.stylegan_modified.tiny import RESOLUTION, base_discriminator

COUNT = 40


def witnesses() -> Witnesses:
    rising = np.linspace(-3, 3, COUNT)
    return Witnesses(
        score=rising, face=0.99 + rising / 1000, parser=0.9 + rising / 100, strangeness=3 - rising
    )


def test_the_worst_share_is_bad_and_a_picture_without_a_face_surely_is() -> None:
    known = witnesses()
    probability = quality_probabilities(known, 0.25)
    assert (np.diff(probability) > 0).all() and (probability < 0.5).sum() == COUNT // 4
    face, parser = known.face.copy(), known.parser.copy()
    face[-1], parser[-1] = 0, np.nan  # the discriminator likes it, and nobody else sees anything
    faceless = dataclasses.replace(known, face=face, parser=parser)
    assert quality_probabilities(faceless, 0.25)[-1] == 0


def test_witnesses_that_say_nothing_are_left_out() -> None:
    known = witnesses()
    silent = np.full(COUNT, np.nan)
    alone = Witnesses(silent, known.face, known.parser, silent)
    assert (quality_probabilities(alone, 0.25) < 0.5).sum() == COUNT // 4


def test_scores_do_not_depend_on_what_comes_later() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (10, RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
    torch.manual_seed(0)
    discriminator = base_discriminator()
    scores = discriminator_scores(discriminator, pictures)
    assert scores.shape == (10,) and len(set(scores)) == 10
    np.testing.assert_allclose(discriminator_scores(discriminator, pictures[:8]), scores[:8])
