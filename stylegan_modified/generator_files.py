"""Generators with dials, read from files of this program or of the published project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stylegan.checkpoint import DIALS, CheckpointError, load_checkpoint
from stylegan.weights_file import WeightsFileError, read_weights
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator import ConditionedGenerator, build_conditioned_generator
from stylegan_modified.stylegan_generator_v2 import DialGenerator

Dialled = DialGenerator | ConditionedGenerator
"""(z, properties) -> {"image"}."""


def load_conditioned(path: Path) -> ConditionedGenerator:
    """A generator that hears properties beside z, in eval mode: v1's, one of the document's recipe, or one of
    the published project (label matrix [7, 16], in its v3 [7, 24]).

    Raises:
        CheckpointError: damaged, another network, or an original StyleGAN, whose dials would do nothing.
    """
    checkpoint = load_checkpoint(path)
    if "label_size" not in checkpoint.extra:
        raise CheckpointError(
            f"{path} cannot be used: it is {checkpoint.description}, and that hears no properties, so every "
            "dial would do nothing."
        )
    return build_conditioned_generator(checkpoint)


def load_dialled(path: Path, load_reader: Callable[[], PropertyCNN]) -> Dialled:
    """The generator of v2 or v3, in eval mode: with dials, or as `load_conditioned`.

    Args:
        load_reader: loads the property CNN; called only for a generator with dials, which cannot do without.

    Raises:
        ValueError: damaged, another network, or weights that do not fit (CheckpointError among others).
    """
    try:
        content, _ = read_weights(path)
    except WeightsFileError as error:
        raise CheckpointError(str(error)) from error
    if isinstance(content, dict) and DIALS in content:
        return DialGenerator.from_checkpoint(content, load_reader())
    return load_conditioned(path)
