"""What shows how good predicted properties are: figures, a scatter plot, extreme pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnn.tasks import regression_measures
from scripts.pipeline import Tool, tables
from scripts.pipeline.pictures import contact_sheet
from scripts.stages.filtering.images import CandidateImages
from scripts.stages.scoring import plots
from scripts.stages.scoring.labels import LabelledProperty
from scripts.stages.workspace import SCORES
from segmentation.property_table import PROPERTIES

FIGURE, SHEET = "cnn/log/property_{}.png", "cnn/log/property_{}_sheet.png"
SHEET_COLUMNS = 12
SHEET_PICTURE_PX = 128


def report(tool: Tool, meant: LabelledProperty, figures: dict[str, float], table: pd.DataFrame) -> None:
    """Print which way the scores run, how good they are, and how far stage 04 agrees.

    Args:
        figures: `r` and `mae` of labelled pictures by the network that did not train on them.
        table: columns `img_no`, `<name>_score`, `valid`.
    """
    prop = next(prop for prop in PROPERTIES if prop.name == meant.name)
    low_label = prop.high if meant.is_reversed else prop.low
    tool.log(f"a low label means {low_label!r}; the score runs from {prop.low!r} to {prop.high!r}")
    tool.log(
        f"out of fold: r {figures['r']:.3f}, mean absolute error {figures['mae']:.3f} (units of the labels)"
    )
    compared = compare_with_scores(tool, meant.name, table)
    if compared:
        tool.log(f"against the measured scores of {SCORES}: {compared}")
    tool.log(f"look at {tool.workspace / SHEET.format(meant.name)} and {FIGURE.format(meant.name)}")


def compare_with_scores(tool: Tool, name: str, table: pd.DataFrame) -> str:
    """Correlation with the scores that stage 04 measured on the same pictures; empty where there are none."""
    path = tool.workspace / SCORES
    column = f"{name}_score"
    if not path.is_file():
        return ""
    measured = tables.read_csv(path, ("img_no", column))[["img_no", column]].dropna()
    both = table.loc[table["valid"], ["img_no", column]].merge(measured, on="img_no", suffixes=("", "_04"))
    if len(both) < 3 or both[column].std() == 0:
        return ""
    r = float(np.corrcoef(both[column], both[f"{column}_04"])[0, 1])
    warning = "; they run the other way: do the labels?" if r < 0 else ""
    return f"r {r:.3f} on {len(both)} pictures{warning}"


def save_pictures(
    tool: Tool,
    images: CandidateImages,
    name: str,
    labels: np.ndarray,
    predicted: np.ndarray,
    table: pd.DataFrame,
) -> None:
    """Write the scatter plot of labels and out-of-fold predictions [N], and the sheet of extremes."""
    title = f"{name}: r {regression_measures(predicted, labels)['r']:.3f}, n = {len(labels)}"
    tool.save_figure(FIGURE.format(name), scatter(labels, predicted, title))
    save_sheet(tool, images, name, table)


def scatter(labels: np.ndarray, predicted: np.ndarray, title: str) -> Figure:
    """Predictions against labels, with the line on which they agree."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    panel = figure.subplots()
    ends = [min(labels.min(), predicted.min()), max(labels.max(), predicted.max())]
    panel.plot(ends, ends, color="grey", linewidth=1, linestyle="--")
    panel.scatter(labels, predicted, s=8, alpha=0.6)
    panel.set(xlabel="label", ylabel="predicted by the network that did not train on it", title=title)
    return figure


def save_sheet(tool: Tool, images: CandidateImages, name: str, table: pd.DataFrame) -> None:
    """The pictures with the lowest, median and highest scores, one row each."""
    ordered = table[table["valid"]].sort_values(f"{name}_score")
    rows = plots.examples(ordered[f"{name}_score"].to_numpy(), SHEET_COLUMNS)
    _, pictures = images.read(ordered["img_no"].iloc[rows].tolist(), images.picture_size)
    texts = [f"{score:+.2f}" for score in ordered[f"{name}_score"].iloc[rows]]
    scale = max(1, SHEET_PICTURE_PX // images.picture_size)
    tool.save_image(SHEET.format(name), contact_sheet(pictures, len(rows) // len(plots.PLACES), texts, scale))
