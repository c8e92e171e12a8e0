"""Find the face in every kept picture and assign a class (skin, eyes, hair) to each of its pixels."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageSpec, option, run_stage
from scripts.pipeline.items import ItemOptions, run_items
from scripts.stages.workspace import (
    FACE_SHEETS,
    FACES,
    FILTER_TABLE,
    KEPT_PICTURES,
    MTCNN_INPUTS,
    PARSER,
    SEGMENTED,
)
from segmentation.segmenter_settings import PRECISION_AGREEMENT, SegmenterSettings


@dataclass(frozen=True)
class Options(ItemOptions):
    """Find the face in every kept picture and assign a class (skin, eyes, hair) to each of its pixels."""

    parser: str = option(PARSER, help="weights of the parser, in the workspace")
    detection_size: int = option(
        SegmenterSettings.detection_size,
        help="shorter side, in pixels, to which pictures are resized for detection",
    )
    min_face: float = option(
        SegmenterSettings.min_face, help="smallest face to look for, as a share of the picture's shorter side"
    )
    margin: float = option(
        SegmenterSettings.margin, help="widening of the detected box on each side, as a share of its size"
    )
    extras: bool = option(
        False,
        help="also head pose (degrees), 68 landmarks (pixels), 40 attributes (probabilities), age, gender "
        "and race, as columns of faces.csv; needs a parser trained for them",
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        help="arithmetic of the parser; auto: bfloat16 if the device is made for it and "
        f"{PRECISION_AGREEMENT:.1%} of the pixels of the first pictures agree with float32",
    )
    batch_size: int = option(32, help="pictures detected and parsed at once", affects_results=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.min_face <= 1:
            raise ValueError("--min-face must lie between 0 and 1.")
        if self.detection_size < 48 or self.margin < 0:
            raise ValueError("--detection-size must be at least 48, and --margin must not be negative.")


def inputs(options: Options) -> tuple[Input, ...]:
    """The kept pictures, the parser that the options name, and the detector."""
    return (
        Input(KEPT_PICTURES, made_by="02_filter_candidates"),
        Input(FILTER_TABLE, made_by="02_filter_candidates", optional=True),
        Input(options.parser, made_by="00_fetch_weights"),
        *MTCNN_INPUTS,
    )


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if networks or pictures cannot be used."""
    from scripts.stages.segmenting.stage import list_pictures, load_segmenter

    list_pictures(stage)
    load_segmenter(stage, options)


SPEC = StageSpec(
    name="03_segment_faces",
    inputs=inputs,
    outputs=(FACES, *FACE_SHEETS),
    item_folders=(SEGMENTED,),
    clears=(SEGMENTED,),
    next_script="04_compute_property_scores",
    check=check,
    several_processes=True,
    version=3,
)


def run(stage: Stage, options: Options) -> None:
    """Segment the pictures that are missing, then write the table and the contact sheets."""
    from scripts.stages.segmenting.stage import WORK

    run_items(stage, options, WORK)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
