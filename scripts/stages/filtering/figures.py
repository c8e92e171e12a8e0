"""Pictures that let a person judge the filter: how far to trust it, and whom it keeps and rejects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn.reliability import Evaluation
from scripts.pipeline import Stage
from scripts.stages.filtering.images import CandidateImages
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import FILTER_SHEETS

SHEET_COUNT, SHEET_COLUMNS, SHEET_PICTURE_PX = 60, 12, 128
CLASSES = {"gender": ("man", "woman"), "quality": ("bad", "good")}
SMALLEST = 1e-6  # the tables round probabilities to six digits


def margins(table: pd.DataFrame, options: Any) -> np.ndarray:
    """Smaller distance of gender and quality from their thresholds, in log odds [N]; negative is rejected."""

    def log_odds(probability: Any) -> np.ndarray:
        clipped = np.clip(np.asarray(probability, np.float64), SMALLEST, 1 - SMALLEST)
        return np.log(clipped / (1 - clipped))

    distance = log_odds(table["quality"]) - log_odds(options.quality_threshold)
    if options.keep == "all":
        return distance
    gender = table["gender"] if options.keep == "women" else 1 - table["gender"]
    return np.minimum(distance, log_odds(gender) - log_odds(options.gender_threshold))


def save_sheets(stage: Stage, options: Any, images: CandidateImages, table: pd.DataFrame) -> list[str]:
    """Contact sheets of kept, rejected and borderline pictures; the paths of those that have pictures.

    Borderline are the pictures nearest to the thresholds among those that the networks judged, from the
    most clearly rejected to the most clearly kept.
    """
    seen = table[table["status"] != "failed"]
    judged = seen[(seen["status"] == "ok") & (seen["source"] == "network")]
    judged = judged.assign(margin=margins(judged, options)).sort_values("margin", key=abs)
    kinds = (seen[seen["kept"] == 1], seen[seen["kept"] == 0], judged[:SHEET_COUNT].sort_values("margin"))
    written = []
    scale = max(1, SHEET_PICTURE_PX // images.picture_size)
    for relative, rows in zip(FILTER_SHEETS, kinds, strict=True):
        rows = rows[:SHEET_COUNT].set_index("img_no")
        for found, pictures in images.batches(rows.index.tolist(), SHEET_COUNT, images.picture_size):
            if found:
                texts = [f"{rows.at[n, 'gender']:.2f} / {rows.at[n, 'quality']:.2f}" for n in found]
                stage.write(relative, contact_sheet(pictures, SHEET_COLUMNS, texts, scale))
                written.append(relative)
    return written


def evaluation_figure(evaluation: Evaluation, name: str, source: str) -> Figure:
    """Reliability, ROC and confusion of one property; the title names the `source` of the answers."""
    figure = Figure(figsize=(12.5, 4.2))
    axes = figure.subplots(1, 3)
    # A layout engine would draw everything twice, and measure every text in between.
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.12, top=0.84, wspace=0.22)
    figure.suptitle(f"{name}: {source}, n = {evaluation.count}")
    _draw_reliability(axes[0], evaluation, CLASSES[name][1])
    _draw_roc(axes[1], evaluation)
    _draw_confusion(axes[2], evaluation, CLASSES[name])
    return figure


def _draw_reliability(panel: Axes, evaluation: Evaluation, positive: str) -> None:
    bins = evaluation.reliability
    panel.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    panel.plot(bins.predicted, bins.observed, "o-", color="tab:blue", markersize=4)
    for x, y, count in zip(bins.predicted, bins.observed, bins.counts, strict=True):
        panel.annotate(str(count), (x, y), textcoords="offset points", xytext=(5, -10), fontsize=8)
    panel.set(xlim=(-0.03, 1.08), ylim=(-0.08, 1.05), xlabel=f"predicted probability ({positive})")
    panel.set(ylabel=f"observed share ({positive})")
    panel.set_title(f"reliability, expected calibration error {bins.expected_calibration_error:.3f}")


def _draw_roc(panel: Axes, evaluation: Evaluation) -> None:
    panel.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    panel.plot(*evaluation.roc, color="tab:blue")
    marked = (evaluation.confusion[0, 1] / evaluation.confusion[0].sum(), 1 - evaluation.lost_ones)
    panel.plot(*marked, "o", color="tab:orange", label=f"threshold {evaluation.threshold:g}")
    panel.set(xlabel="false positive rate", ylabel="true positive rate")
    panel.set_title(f"ROC, AUROC {evaluation.auroc:.3f}")
    panel.legend(loc="lower right")


def _draw_confusion(panel: Axes, evaluation: Evaluation, classes: tuple[str, str]) -> None:
    shares = evaluation.confusion / evaluation.confusion.sum(axis=1, keepdims=True)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{evaluation.confusion[row, column]}\n{share:.1%}"
        panel.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")
    panel.set_xticks([0, 1], [f"below {evaluation.threshold:g}", f"at least {evaluation.threshold:g}"])
    panel.set_yticks([0, 1], classes)
    panel.set(xlabel=f"probability ({classes[1]})", ylabel="label")
    panel.set_title(f"confusion, accuracy at 0.5 {evaluation.accuracy:.3f}")
