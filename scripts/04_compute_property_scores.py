"""Measure the seven properties of every segmented face and normalise them to mean 0 and deviation 1."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, UserError, option, run_stage
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.scoring import score_sources
from scripts.stages.scoring.segmented_faces import (
    BOX,
    FACES,
    BadPictureError,
    Item,
    Pictures,
    read_item,
    read_whole,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RESULTS = "segmentation/property_score_results"
RAW_SCORES = f"{RESULTS}/raw_scores.csv"
STATISTICS = f"{RESULTS}/score_statistics.json"
HISTOGRAMS = f"{RESULTS}/histograms.png"
CORRELATIONS = f"{RESULTS}/correlations.png"
EXTREMES = f"{RESULTS}/extremes.png"
PROPERTY_SHEET = f"{RESULTS}/extremes_{{}}.png"
SCORE_TABLES = {
    1: f"{RESULTS}/all_scores.csv",
    2: f"{RESULTS}/all_scores_v2.csv",
    3: f"{RESULTS}/all_scores_v3.csv",
}
LABELS = 3  # the algorithm whose scores the later stages learn from
FACE_COLUMNS = ("img_no", "img_path", "status", *BOX)
ITEM_COLUMNS = ("img_no", "img_path", "status", "reason")


@dataclass(frozen=True)
class Options(StageOptions):
    """Measure the seven properties of every segmented face and normalise them to mean 0 and deviation 1."""

    replace: tuple[str, ...] = option(
        (), help="properties whose labels come from regress_property instead of the label maps"
    )
    batch_size: int = option(64, help="faces read and measured at once", affects_results=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError("--batch-size must be at least 1.")
        score_sources.check_replaced(self.replace)


def inputs(options: Options) -> tuple[Input, ...]:
    """The faces, and the predictions that replace measurements."""
    faces = Input(FACES, made_by="03_segment_faces")
    return (faces, *(score_sources.replacement_input(name) for name in options.replace))


def outputs(options: Options) -> tuple[str, ...]:
    """Tables, statistics and pictures."""
    from segmentation.property_table import PROPERTY_NAMES

    pictures = (HISTOGRAMS, CORRELATIONS, EXTREMES, *map(PROPERTY_SHEET.format, PROPERTY_NAMES))
    return (RAW_SCORES, *SCORE_TABLES.values(), STATISTICS, *pictures)


SPEC = StageSpec(
    name="04_compute_property_scores",
    inputs=inputs,
    outputs=outputs,
    clears=(RESULTS,),
    next_script="05_fine_tune_v1",
    version=3,
)


def raw_columns() -> tuple[str, ...]:
    """Columns of a value and its validity: property, then algorithm."""
    from segmentation.property_table import PROPERTY_NAMES

    return tuple(
        f"{name}{kind}_v{algorithm}"
        for algorithm in SCORE_TABLES
        for kind in ("", "_valid")
        for name in PROPERTY_NAMES
    )


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
    stage: Stage, pool: ThreadPoolExecutor, items: Sequence[Item]
) -> Iterator[dict[str, float | bool | str | int]]:
    """Journal rows of a batch: measured ones, and failed ones with the reason."""

    def attempt(item: Item) -> Pictures | BadPictureError:
        try:
            return read_item(stage, item)
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
                "reason": str(outcome),
            } | empty
        else:
            by_size.setdefault(outcome.whole.shape, []).append((item, outcome))
    for group in by_size.values():
        group_items, pictures = zip(*group, strict=True)
        for item, row in zip(group_items, measure(group_items, pictures), strict=True):
            yield {"img_no": item.img_no, "img_path": item.img_path, "status": "ok", "reason": ""} | row


def measure_all(stage: Stage, options: Options, items: Sequence[Item]) -> "pd.DataFrame":
    """Measure what the journal does not have yet; the journal's table, sorted by image number.

    An interrupted batch is measured again as a whole: in other company the last digits would differ.
    """
    columns = (*ITEM_COLUMNS, *raw_columns())
    with (
        stage.journal(columns) as journal,
        stage.progress(len(items), "faces", done=len(journal)) as progress,
        ThreadPoolExecutor(options.threads or min(8, os.cpu_count() or 1)) as pool,
    ):
        known = set(journal.rows)
        for start in range(0, len(items), options.batch_size):
            batch = items[start : start + options.batch_size]
            if all(item.img_no in known for item in batch):
                continue
            for row in measure_batch(stage, pool, batch):
                if row["img_no"] not in journal:
                    journal.append(row)
                    progress.update()
        table = journal.frame()
    failed = table["status"] == "failed"
    skipped = int((table["img_no"].isin(known) & ~failed).sum())
    stage.count("faces", len(table) - skipped - int(failed.sum()), skipped, int(failed.sum()))
    return table


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


def normalize(stage: Stage, options: Options, raw: "pd.DataFrame") -> dict[int, "pd.DataFrame"]:
    """Write each algorithm's normalised table and the statistics; the tables by algorithm.

    A face without all seven properties is no training label: it stays out of the statistics, and is listed
    without scores.
    """
    from segmentation.property_table import PROPERTY_NAMES

    tables, statistics = {}, {}
    more = stage.command("01_generate_candidates", "--count", "4000", "--force")
    for algorithm, path in SCORE_TABLES.items():
        values = raw[[f"{name}_v{algorithm}" for name in PROPERTY_NAMES]].to_numpy(float)
        # A failed row has no validity at all, which is not True either.
        valid = raw[[f"{name}_valid_v{algorithm}" for name in PROPERTY_NAMES]].eq(True).to_numpy()
        replaced = read_replaced(stage, options, raw) if algorithm == LABELS else {}
        mend = f"{FACES} has {len(raw)} faces; more candidates give more:\n    {more}"
        with stage.foreseen(ValueError, mend=mend):
            normalized, complete, fitted = normalize_one(values, valid, replaced)
        table = raw[["img_no", "img_path"]].copy()
        table[[f"{name}_score" for name in PROPERTY_NAMES]] = normalized
        table["valid"] = complete
        stage.write_csv(path, table)
        tables[algorithm], statistics[f"algorithm_{algorithm}"] = table, fitted
    stage.write_json(STATISTICS, statistics)
    return tables


def normalize_one(
    values: "np.ndarray", valid: "np.ndarray", replaced: Mapping[int, "np.ndarray"]
) -> tuple["np.ndarray", "np.ndarray", dict[str, dict[str, object]]]:
    """Normalise the scores of one algorithm.

    Args:
        values: float64 [N, 7], measured.
        valid: bool [N, 7].
        replaced: column -> float64 [N], labels that take the place of the measured ones; NaN if not valid.

    Returns:
        (labels float64 [N, 7], NaN unless all seven are valid; bool [N], whether they are; statistics by
        property).
        The statistics of a replaced property keep the measured scale, on which new pictures are judged, and
        describe the replacement.

    Raises:
        ValueError: a property has too few valid values, or is the same for all faces.
    """
    import numpy as np

    from segmentation.normalization import fit
    from segmentation.property_table import PROPERTY_NAMES

    usable = valid.copy()
    for column, labels in replaced.items():
        usable[:, column] = np.isfinite(labels)
    complete = usable.all(axis=1)
    fitted = fit(values, valid & complete[:, None])
    statistics = fitted.to_dict()
    normalized = np.where(valid, fitted.normalize(values), np.nan)
    for column, labels in replaced.items():
        name = PROPERTY_NAMES[column]
        own = fit(labels[:, None], complete[:, None], (name,))
        statistics[name]["labels_replaced_by"] = {
            "file": score_sources.PREDICTED.format(name),
            "r_with_measured": score_sources.agreement(normalized[:, column], labels),
            **own.to_dict()[name],
        }
        normalized[:, column] = own.normalize(labels[:, None])[:, 0]
    return np.where(complete[:, None], normalized, np.nan), complete, statistics


def read_replaced(stage: Stage, options: Options, raw: "pd.DataFrame") -> dict[int, "np.ndarray"]:
    """Predicted scores [N] of the replaced properties by column; NaN for faces that could not be read."""
    import numpy as np

    from segmentation.property_table import PROPERTY_NAMES

    readable = (raw["status"] == "ok").to_numpy()
    replaced = {}
    for name in options.replace:
        scores = np.full(len(raw), np.nan)
        scores[readable] = score_sources.read_replacement(stage, name, raw.loc[readable, "img_no"])
        replaced[PROPERTY_NAMES.index(name)] = scores
        stage.log(f"{name}: labels from {score_sources.PREDICTED.format(name)} instead of the label maps")
    return replaced


def draw(stage: Stage, tables: dict[int, "pd.DataFrame"]) -> None:
    """Histograms, correlations, and the pictures with the lowest, median and highest scores."""
    from scripts.stages.scoring import property_plots
    from segmentation.property_table import PROPERTIES, PROPERTY_NAMES

    columns = [f"{name}_score" for name in PROPERTY_NAMES]
    scores = {
        f"algorithm {algorithm}": table.loc[table["valid"], columns].to_numpy(float)
        for algorithm, table in tables.items()
    }
    stage.save_figure(HISTOGRAMS, property_plots.histograms(scores, PROPERTY_NAMES))
    stage.save_figure(CORRELATIONS, property_plots.correlation_matrices(scores, PROPERTY_NAMES))
    listed = tables[LABELS][tables[LABELS]["valid"]]
    paths = listed["img_path"].tolist()
    labels = scores[f"algorithm {LABELS}"]

    def read(row: int) -> "np.ndarray":
        return read_whole(stage, paths[row])

    meanings = [f"{prop.low} / {prop.high}" for prop in PROPERTIES]
    stage.save_image(EXTREMES, property_plots.extremes(labels, PROPERTY_NAMES, meanings, read))
    for column, name in enumerate(PROPERTY_NAMES):
        sheet = property_plots.property_sheet(labels[:, column], listed["img_no"].tolist(), read)
        stage.save_image(PROPERTY_SHEET.format(name), sheet)


def run(stage: Stage, options: Options) -> None:
    """Measure, normalise, draw."""
    keep_freed_memory()
    items = read_items(stage)
    raw = measure_all(stage, options, items)
    failed = stage.counts()["faces"]["failed"]
    stage.check_failures(failed, len(raw))
    stage.write_csv(RAW_SCORES, raw)
    tables = normalize(stage, options, raw)
    draw(stage, tables)
    usable = int(tables[LABELS]["valid"].sum())
    stage.finish(
        {
            "faces": f"{len(raw)}, of them {failed} unreadable",
            "training labels": f"{usable} with all seven properties (algorithm {LABELS}"
            + (f"; {', '.join(options.replace)} from labels)" if options.replace else ")"),
            "scale": f"mean and deviation per property in {STATISTICS}",
        },
        [EXTREMES, HISTOGRAMS, CORRELATIONS, SCORE_TABLES[LABELS]],
    )


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
