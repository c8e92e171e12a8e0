"""Measure the networks of data/photographs on aligned faces whose people or genders are known.

Faces as `scripts/align_photos.py` writes them. Two pictures of one person have names that agree up to the
first "_" (001_neutral.jpg, 001_smiling.jpg); genders stand in a table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool

BUNDLE = REPOSITORY / "data/photographs"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Measure the networks of data/photographs on aligned faces whose people or genders are known."""

    faces: Path | None = option(None, help="folder of aligned faces of one size, with its subfolders")
    table: Path | None = option(
        None,
        help="CSV with columns file and gender (1 or female, 0 or male, empty unknown); None: no genders",
    )
    identity: tuple[Path, ...] = option(
        (BUNDLE / "judge_identity.safetensors", BUNDLE / "loss_identity.safetensors"),
        help="networks that tell people apart: .safetensors, .onnx, or facenet-pytorch's .pt",
    )
    gender: Path = option(BUNDLE / "gender.onnx", help="network that knows women from men")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import validate_judges

    validate_judges.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
