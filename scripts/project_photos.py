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
    face: int = option(0, help="of several faces in a photograph, 1 is the largest; 0: all of them")
    aligned: bool = option(
        False, help="the pictures are in the generator's frame already (such as its own): no face is sought"
    )
    w_steps: int = option(50, help="steps with one w for all layers")
    wp_steps: int = option(90, help="steps with one w for each layer, from there")
    tune: int = option(0, help="steps in which the generator is bent around each person; 60 do")
    low_resolution: int = option(
        0,
        help="take photographs as small ones of so many pixels per side, and let the generator invent the "
        "detail; 0: as they are",
    )
    measure: bool = option(True, help="read photographs and pictures with the face parser and the judge")
    judge: Path | None = option(
        None,
        help="network that judges who is shown (see cnn/identity.py); None: the workspace's oracle",
        affects_results=False,
    )
    people_by_name: bool = option(
        False, help='photographs whose names agree up to the first "_" show one person', affects_results=False
    )
    restorer: Path | None = option(
        None,
        help="face restorer (.onnx: GFPGAN, CodeFormer, GPEN) that makes larger pictures of who was found",
        affects_results=False,
    )
    batch_size: int = option(8, help="faces sought at once; changes a result by rounding only")
    force: bool = option(False, help="remove what an earlier run made and start over", affects_results=False)

    def __post_init__(self) -> None:
        if self.face < 0:
            raise ValueError("--face must be 1 for the largest face, 2 for the next, or 0 for all.")
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
