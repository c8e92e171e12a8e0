"""Measure the seven properties of every segmented face and normalise them to mean 0 and deviation 1."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, UserError, option, run_stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FACES = "segmentation/faces.csv"
SEGMENTED = "segmentation/segmentation_results"
RESULTS = "segmentation/property_score_results"
RAW_SCORES = f"{RESULTS}/raw_scores.csv"
STATISTICS = f"{RESULTS}/score_statistics.json"
HISTOGRAMS = f"{RESULTS}/histograms.png"
CORRELATIONS = f"{RESULTS}/correlations.png"
EXTREMES = f"{RESULTS}/extremes.png"
SCORE_TABLES = {
    1: f"{RESULTS}/all_scores.csv",
    2: f"{RESULTS}/all_scores_v2.csv",
    3: f"{RESULTS}/all_scores_v3.csv",
}
LABELS = 3  # the algorithm whose scores the later stages learn from
FACE_SIZE_PX = 224
BOX = ("x0", "y0", "x1", "y1")
FACE_COLUMNS = ("img_no", "img_path", "status", *BOX)
ITEM_COLUMNS = ("img_no", "img_path", "status", "reason")


@dataclass(frozen=True)
class Options(StageOptions):
    """Measure the seven properties of every segmented face and normalise them to mean 0 and deviation 1."""

    batch_size: int = option(64, help="faces read and measured at once", affects_results=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError("--batch-size must be at least 1.")


SPEC = StageSpec(
    name="04_compute_property_scores",
    inputs=(Input(FACES, made_by="03_segment_faces"),),
    outputs=(RAW_SCORES, *SCORE_TABLES.values(), STATISTICS, HISTOGRAMS, CORRELATIONS, EXTREMES),
    clears=(RESULTS,),
    next_script="05_fine_tune_v1",
)


class Item(NamedTuple):
    """One face as stage 3 left it."""

    img_no: int
    img_path: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the face crop in pixels of the picture."""


class Pictures(NamedTuple):
    """The three pictures of an item."""

    face: "np.ndarray"
    label_map: "np.ndarray"
    whole: "np.ndarray"


class BadPictureError(ValueError):
    """A picture of an item cannot be used; the text says why."""


def raw_columns() -> tuple[str, ...]:
    """Columns of a value and its validity: property, then algorithm."""
    from segmentation.property_table import PROPERTY_NAMES

    return tuple(
        f"{name}{kind}_v{algorithm}"
        for algorithm in SCORE_TABLES
        for kind in ("", "_valid")
        for name in PROPERTY_NAMES
    )


def read_pixels(path: Path, relative: str, is_rgb: bool) -> "np.ndarray":
    """uint8 [H, W, 3] RGB; or the pixels as stored, which for a label map are class ids, uint8 [H, W].

    Raises:
        BadPictureError: missing or unreadable; `relative` is what the message calls it.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB") if is_rgb else picture)
    except FileNotFoundError:
        raise BadPictureError(f"{relative} is missing") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPictureError(
            f"{relative} cannot be read: {str(error).replace(str(path), path.name)}"
        ) from error


def read_item(workspace: Path, item: Item) -> Pictures:
    """Read and check an item's pictures.

    Raises:
        BadPictureError: one is missing or unreadable, has a wrong size, or the label map has unknown classes.
    """
    from segmentation.property_scores import check_label_map

    face_path, label_path = (f"{SEGMENTED}/{kind}_{item.img_no:06d}.png" for kind in ("face", "parsing"))
    face = read_pixels(workspace / face_path, face_path, is_rgb=True)
    label_map = read_pixels(workspace / label_path, label_path, is_rgb=False)
    whole = read_pixels(workspace / item.img_path, item.img_path, is_rgb=True)
    for path, pixels in ((face_path, face), (label_path, label_map)):
        if pixels.shape[:2] != (FACE_SIZE_PX, FACE_SIZE_PX):
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise BadPictureError(f"{path} has {size} pixels instead of {FACE_SIZE_PX} x {FACE_SIZE_PX}")
    try:
        check_label_map(label_map[None])
    except ValueError as error:
        raise BadPictureError(f"{label_path}: {error}") from error
    left, top, right, bottom = item.box
    if not (0 <= left < right <= whole.shape[1] and 0 <= top < bottom <= whole.shape[0]):
        raise BadPictureError(f"the box {item.box} does not lie in {item.img_path} of {whole.shape[1::-1]}")
    return Pictures(face, label_map, whole)


def measure(items: Sequence[Item], pictures: Sequence[Pictures]) -> list[dict[str, float | bool]]:
    """Raw values and validity of all algorithms, one row per item; whole pictures of one size."""
    import numpy as np

    from segmentation.property_scores import compute_scores

    faces, label_maps, wholes = (np.stack(group) for group in zip(*pictures, strict=True))
    boxes = np.array([item.box for item in items])
    parts = []
    for algorithm in SCORE_TABLES:
        parts.extend(compute_scores(label_maps, faces, algorithm, wholes, boxes))
    columns = raw_columns()
    width = len(columns) // len(parts)
    return [
        {column: parts[index // width][row, index % width].item() for index, column in enumerate(columns)}
        for row in range(len(items))
    ]


def measure_batch(
    workspace: Path, pool: ThreadPoolExecutor, items: Sequence[Item]
) -> Iterator[dict[str, float | bool | str | int]]:
    """Journal rows of a batch: measured ones, and failed ones with the reason."""

    def attempt(item: Item) -> Pictures | BadPictureError:
        try:
            return read_item(workspace, item)
        except BadPictureError as error:
            return error

    by_size: dict[tuple[int, ...], list[tuple[Item, Pictures]]] = {}
    for item, outcome in zip(items, pool.map(attempt, items), strict=True):
        if isinstance(outcome, BadPictureError):
            empty = dict.fromkeys(raw_columns())
            yield {
                "img_no": item.img_no,
                "img_path": item.img_path,
                "status": "failed",
                "reason": outcome,
            } | empty
        else:
            by_size.setdefault(outcome.whole.shape, []).append((item, outcome))
    for group in by_size.values():
        group_items, pictures = zip(*group, strict=True)
        for item, row in zip(group_items, measure(group_items, pictures), strict=True):
            yield {"img_no": item.img_no, "img_path": item.img_path, "status": "ok", "reason": ""} | row


def measure_all(stage: Stage, options: Options, items: Sequence[Item]) -> "pd.DataFrame":
    """Measure what the journal does not have yet; the journal's table, sorted by image number."""
    columns = (*ITEM_COLUMNS, *raw_columns())
    with (
        stage.journal(columns) as journal,
        stage.progress(len(items), "faces") as progress,
        ThreadPoolExecutor(options.threads or min(8, os.cpu_count() or 1)) as pool,
    ):
        missing = [item for item in items if item.img_no not in journal]
        progress.update(len(items) - len(missing))
        for start in range(0, len(missing), options.batch_size):
            for row in measure_batch(stage.workspace, pool, missing[start : start + options.batch_size]):
                journal.append(row)
                progress.update()
        return journal.frame()


def read_items(stage: Stage) -> list[Item]:
    """Faces that stage 3 found."""
    faces = stage.read_csv(FACES, FACE_COLUMNS)
    faces = faces[faces["status"] == "ok"]
    if not len(faces):
        raise UserError(
            f"{FACES} has no face with status ok, so there is nothing to measure. Segment again:\n    "
            f"{stage.command('03_segment_faces', '--force')}"
        )
    boxes = faces[list(BOX)].to_numpy(float)
    return [
        Item(int(img_no), img_path, tuple(box.tolist()))
        for img_no, img_path, box in zip(faces["img_no"], faces["img_path"], boxes, strict=True)
    ]


def normalize(stage: Stage, raw: "pd.DataFrame") -> dict[int, "pd.DataFrame"]:
    """Write each algorithm's normalised table and the statistics; the tables by algorithm.

    A face without all seven properties is no training label: it stays out of the statistics, but is listed.
    """
    import numpy as np

    from segmentation.normalization import fit
    from segmentation.property_table import PROPERTY_NAMES

    tables, statistics = {}, {}
    for algorithm, path in SCORE_TABLES.items():
        values = raw[[f"{name}_v{algorithm}" for name in PROPERTY_NAMES]].to_numpy(float)
        # A failed row has no validity at all, which is not True either.
        valid = raw[[f"{name}_valid_v{algorithm}" for name in PROPERTY_NAMES]].eq(True).to_numpy()
        complete = valid.all(axis=1)
        more = stage.command("01_generate_candidates", "--count", "4000", "--force")
        with stage.foreseen(ValueError, mend=f"More candidates give more faces:\n    {more}"):
            fitted = fit(values, valid & complete[:, None])
        statistics[f"algorithm_{algorithm}"] = fitted.to_dict()
        normalized = np.where(valid, fitted.normalize(values), np.nan)
        table = raw[["img_no", "img_path"]].copy()
        table[[f"{name}_score" for name in PROPERTY_NAMES]] = normalized
        table["valid"] = complete
        stage.write_csv(path, table)
        tables[algorithm] = table
    stage.write_json(STATISTICS, statistics)
    return tables


def draw(stage: Stage, tables: dict[int, "pd.DataFrame"]) -> None:
    """Histograms, correlations, and the pictures with the lowest, median and highest scores."""
    from scripts import property_plots
    from segmentation.property_table import PROPERTIES, PROPERTY_NAMES

    columns = [f"{name}_score" for name in PROPERTY_NAMES]
    scores = {
        f"algorithm {algorithm}": table.loc[table["valid"], columns].to_numpy(float)
        for algorithm, table in tables.items()
    }
    stage.save_figure(HISTOGRAMS, property_plots.histograms(scores, PROPERTY_NAMES))
    stage.save_figure(CORRELATIONS, property_plots.correlation_matrices(scores, PROPERTY_NAMES))
    paths = tables[LABELS].loc[tables[LABELS]["valid"], "img_path"].tolist()
    meanings = [f"{prop.low} to {prop.high}" for prop in PROPERTIES]
    labels = scores[f"algorithm {LABELS}"]
    sheet = property_plots.extremes(
        labels,
        PROPERTY_NAMES,
        meanings,
        lambda row: read_pixels(stage.workspace / paths[row], paths[row], is_rgb=True),
    )
    stage.save_image(EXTREMES, sheet)


def run(stage: Stage, options: Options) -> None:
    """Measure, normalise, draw."""
    items = read_items(stage)
    raw = measure_all(stage, options, items)
    failed = int((raw["status"] == "failed").sum())
    stage.check_failures(failed, len(raw))
    stage.write_csv(RAW_SCORES, raw)
    tables = normalize(stage, raw)
    draw(stage, tables)
    usable = int(tables[LABELS]["valid"].sum())
    stage.finish(
        {
            "faces": f"{len(raw)}, of them {failed} unreadable",
            "training labels": f"{usable} with all seven properties (algorithm {LABELS})",
            "scale": f"mean and deviation per property in {STATISTICS}",
        },
        [EXTREMES, HISTOGRAMS, CORRELATIONS, SCORE_TABLES[LABELS]],
    )


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
