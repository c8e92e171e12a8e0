"""Pictures of a StyleGAN weights file without a workspace, exactly as stage 01 would save them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cnn.oracle import Oracle, load_oracle
from scripts.pipeline import Tool, UserError
from scripts.pipeline.console import script_command
from scripts.stages.workspace import BUNDLE
from stylegan.checkpoint import CheckpointError, build_generator, load_checkpoint
from stylegan.sampling import sample_z, synthesize, to_uint8

JPEG_OPTIONS = {"quality": 95, "subsampling": 0}


def generate_pictures(tool: Tool, weights: Path, img_nos: Sequence[int], seed: int) -> np.ndarray:
    """uint8 [N, H, W, 3] of the averaged generator; image n comes from the seed plus n.

    Raises:
        UserError: the weights are missing or no StyleGAN.
    """
    need_file(weights, script_command("train_stylegan", "--portraits", "40000"))
    with tool.foreseen(CheckpointError):
        generator = build_generator(load_checkpoint(weights), smooth=True).to(tool.device)
    z = sample_z(img_nos, seed, generator.z_space_dim)
    pictures = []
    with tool.progress(len(z)) as progress:
        for batch in synthesize(generator, z, batch_size=64):
            pictures += [jpeg_round_trip(image) for image in to_uint8(batch["image"])]
            progress.update(len(batch["image"]))
    return np.stack(pictures)


def jpeg_round_trip(image: np.ndarray, options: Mapping[str, int] = JPEG_OPTIONS) -> np.ndarray:
    """uint8 [H, W, 3] as it comes back from a JPEG, that of stage 01 unless other options are given."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", **options)
    return np.asarray(Image.open(buffer))


def open_oracle(tool: Tool, path: Path, training_options: str = "") -> Oracle:
    """The network of a file; a missing or damaged one is a `UserError` that says how to train it."""
    command = script_command("train_oracle", "--out", str(path), *training_options.split())
    need_file(path, command)
    mend = f"git checkout -- {BUNDLE} brings the bundled networks back, or: {command}"
    with tool.foreseen(ValueError, mend=mend):
        return load_oracle(path, tool.device)


def need_file(path: Path, command: str) -> None:
    """Raise `UserError` with the command that makes a missing file."""
    if not path.is_file():
        raise UserError(f"it needs {path}, which does not exist. Make it:\n    {command}")
