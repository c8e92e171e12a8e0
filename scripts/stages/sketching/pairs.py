"""The work of stage 30: sketch and portrait of every face, its strokes and colours, and the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from scripts.pipeline import Journal, MissingInputError, Stage, UserError, files
from scripts.pipeline.items import ItemWork
from scripts.stages import networks
from scripts.stages.image_files import ImageFileError, read_image, read_label_map
from scripts.stages.pictures import find_pictures, read_recorded
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import (
    FACES,
    PARSER,
    SKETCH_PAIRS,
    SKETCH_PORTRAITS,
    SKETCH_SHEET,
    SKETCH_STROKES,
    SKETCH_TABLE,
    SKETCHES,
    segmented_path,
)
from segmentation.face_attributes import LANDMARK_COUNT
from segmentation.segmenter import Segmenter
from segmentation.segmenter_settings import SegmenterSettings
from sketch.colors import COLOR_NAMES, color_text, face_colors, parse_color
from sketch.given_sketches import SketchError
from sketch.lines import (
    Box,
    Stroke,
    draw,
    edges,
    strokes_beyond_face,
    strokes_of_face,
    strokes_of_landmarks,
)
from sketch.pairs import SPLITS, SketchPairs, pack_strokes, split_of, unpack_strokes

COLUMNS = ("img_no", "img_path", "person", "split", "status", "reason", *COLOR_NAMES)
LANDMARKS = [f"landmark_{index}_{axis}" for index in range(LANDMARK_COUNT) for axis in "xy"]
SHEET_COUNT = 8


@dataclass(frozen=True)
class Source:
    """A picture to make a pair of.

    Attributes:
        path: as the table has it: relative to the workspace, or of a folder absolute.
        person: whose pictures share a split.
        box: of the face crop in pixels of the picture; None: it is not known yet.
        landmarks: [68, 2] in pixels of the picture; None: not needed.
    """

    path: str
    person: str
    box: Box | None = None
    landmarks: np.ndarray | None = None


@lru_cache(maxsize=1)  # of one run: its check, its keys and its pairs
def sources(stage: Stage, options: Any) -> dict[int, Source]:
    """The pictures by number.

    Raises:
        MissingInputError, UserError: there are none, or the table has no landmarks.
    """
    if options.pictures is not None:
        folder = options.pictures.resolve()
        found = find_pictures(folder, stage.workspace / SKETCH_PAIRS)
        if not found.pictures:
            raise UserError(
                f"{folder} holds no picture, so there is nothing to draw. Name a folder of portraits."
            )
        found.tell(stage.log)
        names = {name: Path(name) for name in found.pictures}
        return {
            number: Source(str(found.pictures[name]), path.parts[0] if len(path.parts) > 1 else path.stem)
            for number, (name, path) in enumerate(names.items())
        }
    wanted = LANDMARKS if options.lines == "landmarks" else []
    table = stage.read_csv(FACES, ["img_no", "img_path", "status", "x0", "y0", "x1", "y1"])
    if not set(wanted) <= set(table.columns):
        raise UserError(
            f"{FACES} has no landmarks, which --lines landmarks joins. Segment with a parser that finds them:"
            f"\n    {stage.command('03_segment_faces', '--extras', '--force')}\nor leave out --lines."
        )
    table = table[table["status"].eq("ok")]
    if not len(table):
        raise MissingInputError(
            f"{FACES} has no face, so there is nothing to draw lines of. Segment other pictures:\n    "
            f"{stage.command('03_segment_faces', '--force')}"
        )
    boxes = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float64)
    points = table[wanted].to_numpy(np.float64).reshape(len(table), -1, 2) if wanted else [None] * len(table)
    return {
        int(number): Source(path, str(int(number)), tuple(box), landmarks)
        for number, path, box, landmarks in zip(
            table["img_no"], table["img_path"], boxes, points, strict=True
        )
    }


def pair_paths(img_no: int, split: str) -> tuple[str, str, str, str]:
    """Of a number: the pair, the sketch, the portrait and the strokes, relative to the workspace."""
    name = f"{img_no:06d}"
    return (
        f"{SKETCH_PAIRS}/{split}/{name}.png",
        f"{SKETCHES}/{name}.png",
        f"{SKETCH_PORTRAITS}/{name}.png",
        f"{SKETCH_STROKES}/{name}.npz",
    )


def make_pairs(stage: Stage, options: Any, batches: Sequence[Sequence[int]], journal: Journal) -> None:
    """Make the pairs of the batches."""
    if not batches:
        return
    found = sources(stage, options)
    segmenter = None
    if options.pictures is not None and options.lines == "face" and not options.side_by_side:
        segmenter = networks.build_segmenter(stage, PARSER, SegmenterSettings())
    with stage.progress(sum(map(len, batches)), "pairs") as progress:
        for batch in batches:
            for number in batch:
                source = found[number]
                row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
                row |= {"img_no": number, "img_path": source.path, "person": source.person}
                row |= {"split": split_of(source.person), "status": "ok"}
                try:
                    row |= _make_pair(stage, options, number, source, row["split"], segmenter)
                except (ImageFileError, SketchError) as error:
                    row |= {"status": "failed", "reason": str(error)}
                if number not in journal:
                    journal.append(row)
                progress.update()


def _make_pair(
    stage: Stage, options: Any, number: int, source: Source, split: str, segmenter: Segmenter | None
) -> dict[str, str]:
    """Write the files of one pair; returns its colours."""
    size = options.size
    strokes: list[Stroke] = []
    if options.side_by_side:
        sketch, portrait = _halves(read_image(Path(source.path)), size)
        colors = np.repeat(np.median(portrait.reshape(-1, 3), axis=0)[None], len(COLOR_NAMES), axis=0)
    else:
        if source.box is None:
            picture = square(read_image(Path(source.path)))
        else:
            picture = read_recorded(stage, source.path)
        portrait = resized(picture, size)
        label_map, box = _face(stage, number, source, picture, segmenter)
        colors = face_colors(portrait, label_map, box)
        if options.lines in ("xdog", "canny"):
            sketch = edges(portrait, options.lines)
        else:
            if source.landmarks is not None:
                strokes = strokes_of_landmarks(source.landmarks / picture.shape[0])
            else:
                strokes = strokes_of_face(label_map, box) + strokes_beyond_face(portrait, label_map, box)
            sketch = draw(strokes, size)
    pair, *singles, stroke_file = pair_paths(number, split)
    side_by_side = np.concatenate([np.repeat(sketch[:, :, None], 3, axis=2), portrait], axis=1)
    for path, content in zip((pair, *singles), (side_by_side, sketch, portrait), strict=True):
        files.write(stage.path(path), content)
    files.write(stage.path(stroke_file), pack_strokes(strokes))
    return dict(zip(COLOR_NAMES, map(color_text, colors), strict=True))


def _face(
    stage: Stage, number: int, source: Source, picture: np.ndarray, segmenter: Segmenter | None
) -> tuple[np.ndarray, Box]:
    """Label map of the face crop, and where the crop lies as shares of the picture's side."""
    if source.box is not None:
        label_map = read_recorded(stage, segmented_path("parsing", number), read_label_map)
        box = source.box
    elif segmenter is not None:
        (face,) = segmenter([picture])
        if face is None:
            raise SketchError("no face found")
        label_map, box = face.label_map, face.crop.box
    else:
        return np.zeros((1, 1), np.uint8), (0.0, 0.0, 1.0, 1.0)
    left, top, right, bottom = (float(value) / picture.shape[0] for value in box)
    return label_map, (left, top, right, bottom)


def _halves(picture: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Sketch, white on black, and portrait of a pair; `SketchError` if it is not two squares side by side."""
    height, width = picture.shape[:2]
    if width != 2 * height:
        raise SketchError(
            f"{width} x {height} px are no two squares side by side, so sketch and portrait differ in size"
        )
    lines, portrait = (resized(part, size) for part in (picture[:, :height], picture[:, height:]))
    grey = cv2.cvtColor(lines, cv2.COLOR_RGB2GRAY)
    return 255 - grey if np.median(grey) > 127 else grey, portrait


def square(picture: np.ndarray) -> np.ndarray:
    """The largest square in the middle of a picture."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another size."""
    if picture.shape[0] == size:
        return picture
    method = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(picture, (size, size), interpolation=method)


def files_of(row: Mapping[str, str]) -> list[str]:
    """The files that a row of the journal vouches for."""
    return list(pair_paths(int(row["img_no"]), row["split"])) if row["status"] == "ok" else []


def finish(stage: Stage, options: Any, table: pd.DataFrame) -> None:
    """Write the table and the contact sheet."""
    stage.write(SKETCH_TABLE, table)
    usable = table[table["status"].eq("ok")]
    stage.check_failures(len(table) - len(usable), len(table))
    counts = usable["split"].value_counts()
    if len(usable) == 0 or counts.get("train", 0) == 0:
        raise UserError(
            f"no pair is left for training; the reasons stand in {SKETCH_TABLE}. Give more pictures:\n    "
            f"{stage.command(stage.name, '--pictures', 'FOLDER', '--force')}"
        )
    shown = [
        read_image(stage.workspace / pair_paths(int(row.img_no), row.split)[0])
        for split in SPLITS
        for row in usable[usable["split"].eq(split)].head(SHEET_COUNT).itertuples()
    ]
    scale = max(1, 128 // options.size)
    stage.write(SKETCH_SHEET, contact_sheet(shown, SHEET_COUNT // 2, scale=scale))
    stage.finish(
        {
            "pairs": f"{len(usable)} of {len(table)} pictures, {options.size} px",
            "splits": ", ".join(f"{counts.get(split, 0)} {split}" for split in SPLITS),
        },
        [SKETCH_SHEET, SKETCH_TABLE, SKETCH_PAIRS],
    )


WORK = ItemWork(
    columns=lambda options: COLUMNS,
    keys=lambda stage, options: list(sources(stage, options)),
    files=files_of,
    make=make_pairs,
    finish=finish,
    unit="pairs",
)


@lru_cache(maxsize=1)  # of one run: its check and its training
def read_pairs(stage: Stage, split: str) -> tuple[SketchPairs, pd.DataFrame]:
    """The pairs of a split, and their rows of the table.

    Raises:
        UserError: there are none, or a file is missing or damaged.
    """
    table = stage.read_csv(SKETCH_TABLE, list(COLUMNS))
    rows = table[table["status"].eq("ok") & table["split"].eq(split)].reset_index(drop=True)
    again = stage.command("30_make_sketch_pairs", "--force")
    if not len(rows):
        raise UserError(
            f"{SKETCH_TABLE} has no pair of the split {split}, so there is nothing to work on. Make pairs of "
            f"more pictures:\n    {again}"
        )
    sketches, portraits, strokes = [], [], []
    for number in map(int, rows["img_no"]):
        _, sketch, portrait, stroke_file = pair_paths(number, split)
        with stage.foreseen(ImageFileError, files.ArrayFileError, mend=f"Make the pairs anew:\n    {again}"):
            sketches.append(read_label_map(stage.workspace / sketch))
            portraits.append(read_image(stage.workspace / portrait))
            strokes.append(unpack_strokes(files.read_arrays(stage.workspace / stroke_file)))
    if len({part.shape[:2] for part in (*sketches, *portraits)}) != 1:
        raise UserError(
            f"sketches and portraits of {SKETCH_TABLE} differ in size, so they are no pairs. Make them anew:"
            f"\n    {again}"
        )
    colors = np.array(
        [[parse_color(text) for text in row] for row in rows[list(COLOR_NAMES)].itertuples(index=False)],
        np.float32,
    )
    return SketchPairs(np.stack(portraits), np.stack(sketches), strokes, colors), rows
