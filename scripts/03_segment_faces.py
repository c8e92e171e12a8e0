"""Find the face in every kept picture and assign a class (skin, eyes, hair) to each of its pixels."""

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Journal, Stage, StageSpec, UserError, option
from scripts.pipeline.items import ItemOptions, ItemWork, run_item_stage
from scripts.stages import workspace
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.segmenting.face_pictures import (
    PICTURES,
    Picture,
    decoded_batches,
    list_pictures,
    read_picture,
)
from scripts.stages.segmenting.face_sheets import SEGMENTED, SHEETS, result_path, save_sheets
from scripts.stages.workspace import FACES
from segmentation.segmenter_settings import SegmenterSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from segmentation.segmenter import Segmented, Segmenter

ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
PUBLISHED_PARSER = "segmentation/models/segmentation_model.pt"
AGREEMENT = 0.995  # share of equal pixels that a faster arithmetic must reach
KINDS = ("face", "parsing", "parsing_visualization")
# More than there are cores: most of the time a writer waits until the disk has the file.
WRITER_THREADS = 4
# Run lengths at level 1: a quarter of the time of zlib's default, and no larger.
PNG_OPTIONS = {"compress_level": 1, "compress_type": 3}
PROBE_COUNT = 8


@dataclass(frozen=True)
class Options(ItemOptions):
    """Find the face in every kept picture and assign a class (skin, eyes, hair) to each of its pixels."""

    parser: str = option(workspace.PARSER, help="weights of the parser, in the workspace")
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
        f"{AGREEMENT:.1%} of the pixels of the first pictures agree with float32",
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
        Input(PICTURES, made_by="02_filter_candidates"),
        Input(ALL_IMAGES, made_by="02_filter_candidates", optional=True),
        Input(options.parser, made_by="00_fetch_weights"),
        *workspace.MTCNN_INPUTS,
    )


SPEC = StageSpec(
    name="03_segment_faces",
    inputs=inputs,
    outputs=(FACES, *SHEETS),
    item_folders=(SEGMENTED,),
    clears=(SEGMENTED,),
    next_script="04_compute_property_scores",
    several_processes=True,
    version=2,
)


def columns(options: Options) -> tuple[str, ...]:
    """Columns of the table of faces: box in pixels of the picture, probabilities 0 to 1, pixels per class."""
    from segmentation.face_attributes import column_names
    from segmentation.face_classes import CLASS_NAMES

    box = ("x0", "y0", "x1", "y1")
    faces = (*box, "probability", "face_count", "mean_probability")
    names = ("img_no", "img_path", "status", "reason", *faces, *(f"{name}_pixels" for name in CLASS_NAMES))
    return (*names, *column_names()) if options.extras else names


def save_face(stage: Stage, img_no: int, face: "Segmented") -> None:
    """Write the crop, the class ids (8 bit grey) and the coloured picture."""
    from segmentation.parsing import visualize

    pictures = (face.crop.image, face.label_map, visualize(face.crop.image, face.label_map))
    for kind, picture in zip(KINDS, pictures, strict=True):
        stage.save_image(result_path(kind, img_no), picture, **PNG_OPTIONS)


def row_of(
    options: Options, img_no: int, relative: str, outcome: "Segmented | str | None"
) -> dict[str, object]:
    """The table's row of a face, of a picture without one (None) or of an unreadable one (the reason)."""
    from segmentation.face_attributes import describe_face
    from segmentation.parsing import count_pixels

    names = columns(options)
    row: dict[str, object] = dict.fromkeys(names, "") | {"img_no": img_no, "img_path": relative}
    if outcome is None:
        return row | {"status": "no_face", "reason": "no face found", "face_count": 0}
    if isinstance(outcome, str):
        return row | {"status": "failed", "reason": outcome}
    crop = outcome.crop
    values = (*(round(side, 3) for side in crop.box), round(crop.probability, 5), crop.face_count)
    values += (round(outcome.mean_probability, 5), *count_pixels(outcome.label_map).tolist())
    row |= {"status": "ok"} | dict(zip(names[4:], values, strict=False))
    if crop.face_count > 1:
        row["reason"] = f"{crop.face_count} faces; the largest is taken"
    return row | (describe_face(outcome.outputs, crop.box) if options.extras else {})


def make_faces(stage: Stage, options: Options, batches: Sequence[Sequence[int]], journal: Journal) -> None:
    """Load the networks and segment the pictures of the batches."""
    from scripts.stages import networks
    from segmentation.memory import NotEnoughMemoryError

    if not batches:
        return
    keep_freed_memory()
    paths = list_pictures(stage)
    segmenter = load_segmenter(stage, options)
    # The first pictures of all, whatever is missing: all processes and resumed runs must choose alike.
    probes = [read_picture(stage.workspace / path) for path in list(paths.values())[:PROBE_COUNT]]
    mend = "Close other programs, or use another --device."
    with stage.foreseen(NotEnoughMemoryError, mend=mend):
        if options.precision == "auto":
            choose_precision(stage, segmenter, [p for p in probes if not isinstance(p, str)])
        networks.record_precision(stage, segmenter.settings.precision)
        segment_batches(stage, options, segmenter, paths, batches, journal)


def load_segmenter(stage: Stage, options: Options) -> "Segmenter":
    """The detector and the parser.

    Raises:
        UserError: a file is damaged, or the parser was not trained for the attributes.
    """
    from scripts.stages import networks
    from segmentation.face_attributes import ATTRIBUTE_TASKS

    precision = SegmenterSettings.precision if options.precision == "auto" else options.precision
    settings = SegmenterSettings(options.detection_size, options.min_face, options.margin, precision)
    tasks = ATTRIBUTE_TASKS if options.extras else ()
    segmenter = networks.build_segmenter(stage, options.parser, settings, options.batch_size, tasks)
    trained = segmenter.parser.trained_tasks
    untrained = [task for task in tasks if task not in trained]
    if untrained:
        whole = stage.command(stage.name, "--extras", "--parser", PUBLISHED_PARSER)
        raise UserError(
            f"--extras needs {', '.join(untrained)}, but {options.parser} was trained for "
            f"{', '.join(trained)} alone, so the columns would hold noise. Leave out --extras, or give the "
            f"published FaceXFormer:\n    {whole}"
        )
    return segmenter


def choose_precision(stage: Stage, segmenter: "Segmenter", pictures: Sequence["np.ndarray"]) -> None:
    """Fix the arithmetic of the parser by what it makes of some pictures; say so if there was a choice."""
    agreement = segmenter.choose_precision(pictures, AGREEMENT)
    if agreement is not None:
        stage.log(
            f"parser in {segmenter.settings.precision}: bfloat16 keeps {agreement:.2%} of the pixels of the "
            f"faces in the first {len(pictures)} pictures"
        )


def segment_batches(
    stage: Stage,
    options: Options,
    segmenter: "Segmenter",
    paths: Mapping[int, str],
    batches: Sequence[Sequence[int]],
    journal: Journal,
) -> None:
    """Segment pictures; decoding runs one batch ahead and writing one behind, in threads of their own."""
    behind: deque[list[tuple[int, Segmented | str | None, Future | None]]] = deque()
    with (
        stage.progress(sum(map(len, batches))) as progress,
        ThreadPoolExecutor(WRITER_THREADS) as writers,
    ):

        def save(img_no: int, outcome: "Segmented | str | None") -> Future | None:
            return (
                None
                if outcome is None or isinstance(outcome, str)
                else writers.submit(save_face, stage, img_no, outcome)
            )

        def record_oldest() -> None:
            for img_no, outcome, saving in behind.popleft():
                if saving is not None:
                    saving.result()
                if img_no not in journal:
                    journal.append(row_of(options, img_no, paths[img_no], outcome))
                progress.update()

        for batch, pictures in decoded_batches(stage, paths, batches):
            outcomes = zip(batch, _outcomes(segmenter, pictures), strict=True)
            behind.append([(img_no, outcome, save(img_no, outcome)) for img_no, outcome in outcomes])
            if len(behind) > 1:
                record_oldest()
        while behind:
            record_oldest()


def _outcomes(segmenter: "Segmenter", pictures: Sequence[Picture]) -> list["Segmented | str | None"]:
    """A face, None without one, or the reason why the picture cannot be read, per picture."""
    faces = iter(segmenter([picture for picture in pictures if not isinstance(picture, str)]))
    return [picture if isinstance(picture, str) else next(faces) for picture in pictures]


def files_of(row: Mapping[str, str]) -> list[str]:
    """The pictures that a row of the journal vouches for."""
    return [result_path(kind, int(row["img_no"])) for kind in KINDS] if row["status"] == "ok" else []


def finish(stage: Stage, options: Options, table: "pd.DataFrame") -> None:
    """Write the table and the contact sheets."""
    counts = ["face_count", *(name for name in table.columns if name.endswith("_pixels"))]
    table = table.astype(dict.fromkeys(counts, "Int64"))  # whole numbers, although some rows have none
    stage.write_csv(FACES, table)
    save_sheets(stage, table)
    found = table[table["status"] == "ok"]
    stage.check_failures(len(table) - len(found), len(table))
    without, unreadable = ((table["status"] == status).sum() for status in ("no_face", "failed"))
    several = (found["face_count"] > 1).sum()
    has_eyes = (found[["left_eye_pixels", "right_eye_pixels"]] > 0).all(axis=1)
    stage.finish(
        {
            "faces": f"{len(found)} of {len(table)} pictures; {without} without, {unreadable} unreadable, "
            f"{several} with several faces",
            "parser's confidence": f"{found['mean_probability'].mean():.3f}, averaged over all pixels",
            "both eyes found": f"{has_eyes.mean():.1%} of the faces",
        },
        [*SHEETS, FACES, SEGMENTED],
    )


WORK = ItemWork(
    columns=columns,
    keys=lambda stage, options: list(list_pictures(stage)),
    files=files_of,
    make=make_faces,
    finish=finish,
    unit="pictures",
)


if __name__ == "__main__":
    run_item_stage(SPEC, Options, WORK)
