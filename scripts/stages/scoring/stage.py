"""The work of stage 04: properties measured, normalised and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from scripts.pipeline import Stage
from scripts.stages import workspace as at
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.scores import COLUMNS as SCORE_COLUMNS
from scripts.stages.scoring import plots, replacing
from scripts.stages.scoring.measuring import measure_all, read_items, read_whole
from segmentation.normalization import fit
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError` if there are no faces, or no usable predictions in the place of measurements."""
    img_nos = pd.Series([item.img_no for item in read_items(stage)])
    for name in options.replace:
        replacing.read_replacement(stage, name, img_nos)


def score_faces(stage: Stage, options: Any) -> None:
    """Measure, normalise, draw."""
    keep_freed_memory()
    raw = measure_all(stage, options, read_items(stage))
    failed = stage.counts()["faces"]["failed"]
    stage.check_failures(failed, len(raw))
    stage.write(at.RAW_SCORES, raw)
    tables = normalize(stage, options, raw)
    draw(stage, tables)
    usable = int(tables[LABEL_ALGORITHM]["valid"].sum())
    stage.finish(
        {
            "faces": f"{len(raw)}, of them {failed} unreadable",
            "training labels": f"{usable} with all seven properties (algorithm {LABEL_ALGORITHM}"
            + (f"; {', '.join(options.replace)} from labels)" if options.replace else ")"),
            "scale": f"mean and deviation per property in {at.STATISTICS}",
        },
        [at.EXTREMES, at.HISTOGRAMS, at.CORRELATIONS, at.SCORE_TABLES[LABEL_ALGORITHM]],
    )


def normalize(stage: Stage, options: Any, raw: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Write each algorithm's normalised table and the statistics; the tables by algorithm.

    A face without all seven properties is no training label: it stays out of the statistics, and is listed
    without scores.
    """
    tables, statistics = {}, {}
    more = stage.command("01_generate_candidates", "--count", "4000", "--force")
    mend = f"{at.FACES} has {len(raw)} faces; more candidates give more:\n    {more}"
    for algorithm, path in at.SCORE_TABLES.items():
        values = raw[[f"{name}_v{algorithm}" for name in PROPERTY_NAMES]].to_numpy(float)
        # A failed row has an empty validity, which is not True either.
        valid = raw[[f"{name}_valid_v{algorithm}" for name in PROPERTY_NAMES]].eq(True).to_numpy()
        names = options.replace if algorithm == LABEL_ALGORITHM else ()
        replaced = replacing.read_replaced(stage, names, raw)
        with stage.foreseen(ValueError, mend=mend):
            normalized, complete, fitted = normalize_one(values, valid, replaced)
        table = raw[["img_no", "img_path"]].copy()
        table[SCORE_COLUMNS] = normalized
        table["valid"] = complete
        stage.write(path, table)
        tables[algorithm], statistics[f"algorithm_{algorithm}"] = table, fitted
    stage.write(at.STATISTICS, statistics)
    return tables


def normalize_one(
    values: np.ndarray, valid: np.ndarray, replaced: Mapping[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, dict[str, dict[str, object]]]:
    """Normalise the scores of one algorithm.

    Args:
        values, valid: [N, 7], measured.
        replaced: column -> float64 [N], labels that take the place of the measured ones; NaN if not valid.

    Returns:
        labels float64 [N, 7], NaN unless all seven are valid; bool [N], whether they are; statistics by
        property. Those of a replaced one keep the measured scale, on which new pictures are judged, and
        describe the replacement.

    Raises:
        ValueError: a property has too few valid values, or is the same for all faces.
    """
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
        r = pd.Series(normalized[:, column]).corr(pd.Series(labels), min_periods=3)
        statistics[name]["labels_replaced_by"] = {
            "file": at.PREDICTED.format(name),
            "r_with_measured": None if np.isnan(r) else float(r),
            **own.to_dict()[name],
        }
        normalized[:, column] = own.normalize(labels[:, None])[:, 0]
    return np.where(complete[:, None], normalized, np.nan), complete, statistics


def draw(stage: Stage, tables: dict[int, pd.DataFrame]) -> None:
    """Histograms, correlations, and the pictures with the lowest, median and highest scores."""
    scores = {
        f"algorithm {algorithm}": table.loc[table["valid"], SCORE_COLUMNS].to_numpy(float)
        for algorithm, table in tables.items()
    }
    stage.write(at.HISTOGRAMS, plots.histograms(scores))
    stage.write(at.CORRELATIONS, plots.correlation_matrices(scores))
    listed = tables[LABEL_ALGORITHM][tables[LABEL_ALGORITHM]["valid"]]
    paths, img_nos = listed["img_path"].tolist(), listed["img_no"].tolist()
    labels = scores[f"algorithm {LABEL_ALGORITHM}"]

    def read(row: int) -> np.ndarray:
        return read_whole(stage, paths[row])

    stage.write(at.EXTREMES, plots.extremes(labels, read))
    for name, column in zip(PROPERTY_NAMES, labels.T, strict=True):
        stage.write(at.PROPERTY_SHEET.format(name), plots.property_sheet(column, img_nos, read))
