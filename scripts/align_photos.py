"""Cut the faces out of photographs, turned and scaled to the frame that the base generator is trained on."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UsageError, option, run_tool


@dataclass(frozen=True)
class Options(ToolOptions):
    """Cut the faces out of photographs, aligned for `train_stylegan.py`; the same command resumes."""

    photos: Path | None = option(
        None, help="folder of photographs, searched with its subfolders", affects_results=False
    )
    out: Path | None = option(
        None, help="folder of the results; None: <workspace>/aligned", affects_results=False
    )
    size: int = option(256, help="pixels per side of an aligned face, a power of two from 32 to 1024")
    largest_only: bool = option(False, help="take the largest face of each photograph alone")
    min_face: float = option(64.0, help="smallest face to take: side of its box in the photograph, pixels")
    min_probability: float = option(0.9, help="lowest confidence of the detector, 0 to 1")
    min_sharpness: float = option(
        0.02, help="lowest sharpness (0.02: as if blurred with a sigma of 3.5 px at 256 px; sharp ones: 0.1)"
    )
    max_padding: float = option(
        0.3, help="largest share of the aligned picture that may lie outside the photograph"
    )
    rotations: Literal["never", "fallback", "always"] = option(
        "fallback",
        help="search turned copies of a photograph as well: never, if it shows no upright face, or always",
    )
    detection_size: int = option(
        1024, help="photographs with a longer side of more pixels are searched in a reduced copy"
    )
    force: bool = option(False, help="remove what an earlier run made and start over", affects_results=False)

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 1024 or self.size & (self.size - 1):
            raise ValueError("--size must be a power of two from 32 to 1024, as generators have it.")
        if not 0 <= self.min_probability <= 1 or not 0 <= self.max_padding <= 1:
            raise ValueError("--min-probability and --max-padding must lie between 0 and 1.")
        if self.min_face <= 0 or self.detection_size < 64:
            raise ValueError("--min-face must be positive and --detection-size at least 64.")


def run(tool: Tool, options: Options) -> None:
    """Align the faces of the photographs that are missing."""
    if options.photos is None:
        raise UsageError(
            f"It needs a folder of photographs. Type\n    {tool.command(tool.name, '--photos', 'FOLDER')}"
        )
    from scripts.stages.aligning import align

    align(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
