"""Find the people of photographs in a generator, so that their dials can be turned."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UsageError, option, run_tool

# isort: split
import tyro  # behind `scripts`, which says in a sentence where it is missing


@dataclass(frozen=True)
class Options(ToolOptions):
    """Find the people of photographs in a generator, so that their dials can be turned."""

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")] = option(
        Path(), help="folder of photographs, searched with its subfolders, or one photograph"
    )
    version: Literal["v2", "v3"] = option("v2", help="generator; v3 starts from what its encoder says")
    out: Path | None = option(None, help="folder of the results; None: <workspace>/projections")
    largest_only: bool = option(False, help="take the largest face of each photograph alone")
    w_steps: int = option(50, help="steps with one w for all layers")
    wp_steps: int = option(90, help="steps with one w for each layer, from there")
    tune: int = option(0, help="steps in which the generator is bent around each person; 100 does")
    low_resolution: int = option(
        0,
        help="take photographs as small ones of so many pixels per side, and let the generator invent the "
        "detail; 0: as they are",
    )
    measure: bool = option(True, help="read photographs and pictures with the face parser and the oracle")
    batch_size: int = option(8, help="faces sought at once; changes a result by rounding only")
    force: bool = option(False, help="remove what an earlier run made and start over", affects_results=False)

    def __post_init__(self) -> None:
        if min(self.batch_size, self.w_steps) < 1 or min(self.wp_steps, self.tune) < 0:
            raise ValueError(
                "--batch-size and --w-steps must be at least 1, --wp-steps and --tune at least 0."
            )
        if self.low_resolution and not 8 <= self.low_resolution <= 256:
            raise ValueError("--low-resolution must be from 8 to 256 px, or 0.")


def run(tool: Tool, options: Options) -> None:
    if options.photos == Path():
        raise UsageError(f"It needs a folder of photographs. Type\n    {tool.command(tool.name, 'FOLDER')}")
    from scripts.stages.projecting.stage import project_photos

    output = options.out.resolve() if options.out else tool.workspace / "projections"
    with tool.alone_in(output, "another --out"):
        project_photos(tool, options, output)


if __name__ == "__main__":
    run_tool(Options, run)
