"""Draw the lines of every face, and put sketches and portraits together as pairs in three splits."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageSpec, option, run_stage
from scripts.pipeline.items import ItemOptions, run_items
from scripts.stages import workspace

FOLDERS = (
    workspace.SKETCH_PAIRS,
    workspace.SKETCHES,
    workspace.SKETCH_PORTRAITS,
    workspace.SKETCH_STROKES,
)


@dataclass(frozen=True)
class Options(ItemOptions):
    """Draw the lines of every face, and put sketches and portraits together as pairs in three splits."""

    pictures: Path | None = option(
        None, help="folder of portraits, a subfolder per person or one picture each; None: the faces of 03"
    )
    side_by_side: bool = option(
        False, help="the pictures of --pictures are pairs already, the sketch on the left, as the document's"
    )
    lines: Literal["face", "landmarks", "xdog", "canny"] = option(
        "face",
        help="face: outlines of the parser's classes; landmarks: the document's 68 points, of 03 --extras; "
        "xdog and canny: edges of the picture, without a parser",
    )
    size: int = option(256, help="side of sketches and portraits, in pixels")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 16 <= self.size <= 1024:
            raise ValueError("--size must be from 16 to 1024 px.")
        if self.pictures is None and self.side_by_side:
            raise ValueError("--side-by-side says what --pictures holds, so it needs --pictures.")
        if self.pictures is not None and self.lines == "landmarks":
            raise ValueError("--lines landmarks reads the table of 03, so it goes without --pictures.")


def inputs(options: Options) -> tuple[Input, ...]:
    """The faces of stage 03; for pictures of a folder only the parser, if their faces are to be parsed."""
    if options.pictures is None:
        return (
            Input(workspace.FACES, made_by="03_segment_faces"),
            Input(workspace.SEGMENTED, made_by="03_segment_faces"),
        )
    needs_parser = options.lines == "face" and not options.side_by_side
    return (
        (Input(workspace.PARSER, made_by="00_fetch_weights"), *workspace.MTCNN_INPUTS) if needs_parser else ()
    )


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if there are no faces or pictures."""
    from scripts.stages.sketching.pairs import sources

    sources(stage, options)


SPEC = StageSpec(
    name="30_make_sketch_pairs",
    inputs=inputs,
    outputs=(workspace.SKETCH_TABLE, workspace.SKETCH_SHEET),
    item_folders=FOLDERS,
    clears=FOLDERS,
    next_script="31_train_sketch_to_portrait",
    check=check,
    version=2,
    several_processes=True,
)


def run(stage: Stage, options: Options) -> None:
    """Make the pairs that are missing, then the table and the contact sheet."""
    from scripts.stages.sketching.pairs import WORK

    run_items(stage, options, WORK)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
