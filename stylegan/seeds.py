"""Where every random number comes from: one line of seeds, and a part of it for each purpose.

The z of a picture is drawn from its own number (seed plus n), so that it can be made again anywhere; these
numbers lie in `PICTURES`. All other seeds are derived from what they are for, what they belong to (such as
the seed of a run) and a number (such as a step). They lie above those of pictures, each purpose apart from
the others, so no training step can draw the people of an evaluation, whatever the seeds and steps.

All fit into 32 bits, because torch's generator on the CPU ignores the bits above them.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

PICTURES = range(1 << 31)
CANDIDATES = range(500_000)  # stage 01
PRACTICE = range(500_000, 900_000)  # people that v2's dials practise on
CONTROL = range(900_000, 1_000_000)  # the measurement at the end of each fine-tuning
TRAINING_KID = range(7_000_003, 8_000_000)  # the measurement during the training of a base generator
EVALUATION = range(9_000_000, PICTURES.stop)  # stage 09

NUMBERS_PER_PURPOSE = 1 << 25


class Purpose(IntEnum):
    """What random numbers are for. The value is part of the seed: it stays, and none is used again."""

    GENERATOR_COLUMNS = 0
    DISCRIMINATOR_HEADS = 1
    WARM_START_SPREAD = 2
    WARM_START_STEP = 3
    V1_STEP = 4
    PROPERTY_CNN_WEIGHTS = 5
    PROPERTY_CNN_SPLIT = 6
    PROPERTY_CNN_ORDER = 7
    PROPERTY_CNN_STEP = 8
    PRACTICE_REQUESTS = 9
    DIAL_WEIGHTS = 10
    DIAL_STEP = 11
    ENCODER_WEIGHTS = 12
    ENCODER_SPLIT = 13
    ENCODER_PEOPLE = 14
    ENCODER_STEP = 15
    DOCUMENT_V2_STEP = 16
    DOCUMENT_V3_STEP = 17
    GENDER_FOLDS = 18
    QUALITY_FOLDS = 19
    GENDER_FOLD = 20
    QUALITY_FOLD = 21
    REGRESSION_FOLDS = 22
    REGRESSION_FOLD = 23
    FOLD_WEIGHTS = 24
    FOLD_ORDER = 25
    FOLD_AUGMENTATION = 26
    EVALUATION_REQUEST = 27
    EVALUATION_RESAMPLES = 28
    EVALUATION_REFERENCE = 29
    EVALUATION_JOINT = 30
    VAE_PICTURE_VARIANTS = 40
    VAE_SPLIT = 41
    VAE_WEIGHTS = 42
    VAE_STEP = 43
    VAE_FOLDS = 44
    REALNESS_SPLIT = 45
    REALNESS_STEP = 46
    RETOUCHING_STEP = 47
    SKETCH_WEIGHTS = 48
    SKETCH_STEP = 49
    SKETCH_HAND = 50


def derived_seed(purpose: Purpose, *of: int, number: int = 0) -> int:
    """Seed of the random numbers for a purpose, from 2^31 to 2^32 - 1.

    Seeds of different purposes differ, and so do those of different numbers that belong to the same, up to
    `NUMBERS_PER_PURPOSE` of them.

    Args:
        purpose: what the random numbers are for.
        of: what they belong to, such as the seed of a run.
        number: which of them, such as a step.
    """
    digest = hashlib.sha256(repr((purpose.value, *map(int, of))).encode()).digest()
    place = (int.from_bytes(digest[:8], "big") + number) % NUMBERS_PER_PURPOSE
    return PICTURES.stop + purpose * NUMBERS_PER_PURPOSE + place
