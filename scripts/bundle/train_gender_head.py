"""Fit the layer that tells women from men for first labels, on aligned faces whose gender is known."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool
from scripts.stages.workspace import PHOTOGRAPH_BUNDLE, PHOTOGRAPH_GENDER_HEAD


@dataclass(frozen=True)
class Options(ToolOptions):
    """Fit the layer that tells women from men for first labels, on aligned faces whose gender is known."""

    faces: Path | None = option(None, help="folder of aligned faces of one size")
    table: Path | None = option(
        None,
        help="CSV with columns file, source, original and gender (1 or female, 0 or male, empty unknown)",
    )
    source: str = option("omi", help="only the rows of this source")
    held_out: int = option(100, help="the last so many originals by name, which judge the layer")
    embedder: Path = option(
        REPOSITORY / PHOTOGRAPH_BUNDLE / "loss_identity.safetensors", help="face network that it reads"
    )
    out: Path = option(REPOSITORY / PHOTOGRAPH_GENDER_HEAD, help="file to write")

    def __post_init__(self) -> None:
        self.need_at_least(2, "held_out")


def run(tool: Tool, options: Options) -> None:
    """Read the faces, fit, judge on those held out, write."""
    from scripts.bundle.bodies import train_gender_head

    train_gender_head.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
