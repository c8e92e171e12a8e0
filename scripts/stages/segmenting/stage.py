"""The work of stage 03: the face of every kept picture, the class of each of its pixels, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from scripts.pipeline import Journal, Stage, UserError, files
from scripts.pipeline.items import ItemWork
from scripts.stages import networks
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.pictures import find_pictures, read_ahead, read_recorded
from scripts.stages.segmenting import sheets
from scripts.stages.workspace import (
    FACE_SHEETS,
    FACES,
    KEPT_PICTURES,
    PUBLISHED_PARSER,
    SEGMENTED,
    segmented_path,
)
from segmentation.face_attributes import ATTRIBUTE_TASKS, column_names, describe_face
from segmentation.face_classes import CLASS_NAMES
from segmentation.memory import NotEnoughMemoryError
from segmentation.parsing import count_pixels, visualize
from segmentation.segmenter import Segmented, Segmenter
from segmentation.segmenter_settings import PRECISION_AGREEMENT, SegmenterSettings

KINDS = ("face", "parsing", "parsing_visualization")
# More than there are cores: most of the time a writer waits until the disk has the file.
WRITER_THREADS = 4
PROBE_COUNT = 8
STRANGE_SHARE = 0.25


class Outcome(NamedTuple):
    """What became of a picture."""

    status: Literal["ok", "no_face", "failed"]
    reason: str = ""
    face: Segmented | None = None  # None unless the status is ok


def list_pictures(stage: Stage) -> dict[int, str]:
    """Number and workspace-relative path of every kept picture, by number; what the folder holds counts.

    Raises:
        UserError: no picture, a name that is no number, or two pictures of one number.
    """
    found: dict[int, str] = {}
    for path in find_pictures(stage.workspace / KEPT_PICTURES, deep=False).pictures.values():
        relative = path.relative_to(stage.workspace).as_posix()
        if not (path.stem.isascii() and path.stem.isdecimal()):
            raise UserError(
                f"{relative} is not named by its number, so its row could not be joined with other tables. "
                "Rename it, for example to 000123.jpg, or move it out of the folder."
            )
        if int(path.stem) in found:
            raise UserError(
                f"{found[int(path.stem)]} and {relative} have the same number, so their results would "
                "overwrite each other. Remove one of them."
            )
        found[int(path.stem)] = relative
    if not found:
        raise UserError(
            f"{KEPT_PICTURES} holds no picture, so there is nothing to segment. Filter again, perhaps with "
            f"lower thresholds:\n    {stage.command('02_filter_candidates', '--force')}"
        )
    return dict(sorted(found.items()))


def columns(options: Any) -> tuple[str, ...]:
    """Columns of the table of faces: box in pixels of the picture, probabilities 0 to 1, pixels per class."""
    box = ("x0", "y0", "x1", "y1")
    faces = (*box, "probability", "face_count", "mean_probability", "strangeness")
    names = ("img_no", "img_path", "status", "reason", *faces, *(f"{name}_pixels" for name in CLASS_NAMES))
    return (*names, *column_names()) if options.extras else names


def save_face(stage: Stage, img_no: int, face: Segmented) -> None:
    """Write the crop, the class ids (8 bit grey) and the coloured picture."""
    pictures = (face.crop.image, face.label_map, visualize(face.crop.image, face.label_map))
    for kind, picture in zip(KINDS, pictures, strict=True):
        files.write(stage.path(segmented_path(kind, img_no)), picture)


def row_of(options: Any, img_no: int, relative: str, outcome: Outcome) -> dict[str, object]:
    """The table's row of a picture."""
    names = columns(options)
    row: dict[str, object] = dict.fromkeys(names, "") | {"img_no": img_no, "img_path": relative}
    row |= {"status": outcome.status, "reason": outcome.reason}
    face = outcome.face
    if face is None:
        return row | ({"face_count": 0} if outcome.status == "no_face" else {})
    crop = face.crop
    values = (*(round(side, 3) for side in crop.box), round(crop.probability, 5), crop.face_count)
    values += (round(face.mean_probability, 5), round(face.strangeness, 4))
    values += (*count_pixels(face.label_map).tolist(),)
    row |= dict(zip(names[4:], values, strict=False))
    if np.isnan(face.strangeness):
        row["strangeness"] = ""
    if crop.face_count > 1:
        row["reason"] = f"{crop.face_count} faces; the largest is taken"
    return row | (describe_face(face.outputs, crop.box) if options.extras else {})


def make_faces(stage: Stage, options: Any, batches: Sequence[Sequence[int]], journal: Journal) -> None:
    """Load the networks and segment the pictures of the batches."""
    if not batches:
        return
    keep_freed_memory()
    paths = list_pictures(stage)
    segmenter = load_segmenter(stage, options)
    mend = "Close other programs, or use another --device."
    with stage.foreseen(NotEnoughMemoryError, mend=mend):
        if options.precision == "auto":
            choose_precision(stage, segmenter, list(paths.values())[:PROBE_COUNT])
        networks.record_precision(stage, segmenter.settings.precision)
        segment_batches(stage, options, segmenter, paths, batches, journal)


@lru_cache(maxsize=1)  # of one run: its check and its pictures
def load_segmenter(stage: Stage, options: Any) -> Segmenter:
    """The detector and the parser.

    Raises:
        UserError: a file is damaged, or the parser was not trained for the attributes.
    """
    precision = SegmenterSettings.precision if options.precision == "auto" else options.precision
    settings = SegmenterSettings(options.detection_size, options.min_face, options.margin, precision)
    tasks = ATTRIBUTE_TASKS if options.extras else ()
    segmenter = networks.build_segmenter(stage, options.parser, settings, options.batch_size, tasks)
    trained = segmenter.parser.trained_tasks
    if untrained := [task for task in tasks if task not in trained]:
        raise UserError(
            f"--extras needs {', '.join(untrained)}, but {options.parser} was trained for "
            f"{', '.join(trained)} alone, so the columns would hold noise. Leave out --extras, or give the "
            "published FaceXFormer:\n    "
            + stage.command(stage.name, "--extras", "--parser", PUBLISHED_PARSER)
        )
    return segmenter


def choose_precision(stage: Stage, segmenter: Segmenter, paths: Sequence[str]) -> None:
    """Fix the arithmetic of the parser by what it makes of some pictures; say so if there was a choice.

    Args:
        paths: the first pictures of all, whatever is missing: all processes and resumed runs must choose
            alike.
    """
    pictures = []
    for path in paths:
        with suppress(ImageFileError):
            pictures.append(read_image(stage.workspace / path))
    agreement = segmenter.choose_precision(pictures, PRECISION_AGREEMENT)
    if agreement is not None:
        stage.log(
            f"parser in {segmenter.settings.precision}: bfloat16 keeps {agreement:.2%} of the pixels of the "
            f"faces in the first {len(pictures)} pictures"
        )


def segment_batches(
    stage: Stage,
    options: Any,
    segmenter: Segmenter,
    paths: Mapping[int, str],
    batches: Sequence[Sequence[int]],
    journal: Journal,
) -> None:
    """Segment pictures; decoding runs one batch ahead and writing one behind, in threads of their own."""
    pictures = read_ahead(
        chain.from_iterable(batches), lambda n: read_recorded(stage, paths[n]), options.batch_size
    )
    behind: list[tuple[int, Outcome, Future[None] | None]] = []
    with stage.progress(sum(map(len, batches))) as progress, ThreadPoolExecutor(WRITER_THREADS) as writers:
        for batch in (*batches, ()):  # the last round only records
            ahead = [
                (n, outcome, writers.submit(save_face, stage, n, outcome.face) if outcome.face else None)
                for n, outcome in segment(segmenter, dict(islice(pictures, len(batch)))).items()
            ]
            for n, outcome, saving in behind:
                if saving is not None:
                    saving.result()
                if n not in journal:
                    journal.append(row_of(options, n, paths[n], outcome))
                progress.update()
            behind = ahead


def segment(segmenter: Segmenter, pictures: Mapping[int, Future[np.ndarray]]) -> dict[int, Outcome]:
    """What became of each picture, in their order."""
    read: dict[int, np.ndarray] = {}
    outcomes = dict.fromkeys(pictures, Outcome("no_face", "no face found"))
    for img_no, picture in pictures.items():
        try:
            read[img_no] = picture.result()
        except ImageFileError as error:
            outcomes[img_no] = Outcome("failed", str(error))
    for img_no, face in zip(read, segmenter(list(read.values())), strict=True):
        if face is not None:
            outcomes[img_no] = Outcome("ok", face=face)
    return outcomes


def files_of(row: Mapping[str, str]) -> list[str]:
    """The pictures that a row of the journal vouches for."""
    return [segmented_path(kind, int(row["img_no"])) for kind in KINDS] if row["status"] == "ok" else []


def finish(stage: Stage, options: Any, table: pd.DataFrame) -> None:
    """Write the table and the contact sheets."""
    counts = ["face_count", *(name for name in table.columns if name.endswith("_pixels"))]
    table = table.astype(dict.fromkeys(counts, "Int64"))  # whole numbers, although some rows have none
    stage.write(FACES, table)
    sheets.save_sheets(stage, table)
    found = table[table["status"] == "ok"]
    stage.check_failures(len(table) - len(found), len(table))
    without, unreadable = ((table["status"] == status).sum() for status in ("no_face", "failed"))
    several = (found["face_count"] > 1).sum()
    has_eyes = (found[["left_eye_pixels", "right_eye_pixels"]] > 0).all(axis=1)
    strange = pd.to_numeric(found["strangeness"]).dropna()
    if len(strange) and (strange > 1).mean() > STRANGE_SHARE:
        stage.log(
            f"{(strange > 1).mean():.0%} of the faces are unlike those that the parser learned from, so its "
            "classes, and all scores, are guesses, however sure it is. Look at the sheets, and train a "
            f"parser on faces of this kind: {stage.command('train_parser', '--pairs', 'FOLDER')}"
        )
    stage.finish(
        {
            "faces": f"{len(found)} of {len(table)} pictures; {without} without, {unreadable} unreadable, "
            f"{several} with several faces",
            "parser's confidence": f"{found['mean_probability'].mean():.3f}, averaged over all pixels",
            "unlike the parser's training": f"{(strange > 1).mean():.1%} of the faces"
            if len(strange)
            else "not known for this parser",
            "both eyes found": f"{has_eyes.mean():.1%} of the faces",
        },
        [*FACE_SHEETS, FACES, SEGMENTED],
    )


WORK = ItemWork(
    columns=columns,
    keys=lambda stage, options: list(list_pictures(stage)),
    files=files_of,
    make=make_faces,
    finish=finish,
    unit="pictures",
)
