"""Pictures that let a person judge property scores: histograms, correlations and extreme examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scripts.stages.sheets import contact_sheet, labelled_grid
from segmentation.property_table import PROPERTIES, PROPERTY_NAMES

PER_PLACE, PER_PLACE_ON_SHEET = 4, 12  # pictures at each of the places, of all properties and of one
PLACES = ("lowest", "median", "highest")
EXAMPLE_SIZE_PX = 128
HISTOGRAM_LIMIT = 4.0  # standard deviations


def histograms(scores: Mapping[str, np.ndarray]) -> Figure:
    """Histograms of normalised scores under the normal curve that they are compared with.

    Args:
        scores: title of a row -> float [N, 7], valid rows only; the rows may differ in N.
    """
    figure = Figure(figsize=(2.6 * len(PROPERTY_NAMES), 2.2 * len(scores)))
    axes = figure.subplots(len(scores), len(PROPERTY_NAMES), squeeze=False, sharex=True)
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.09, top=0.94, wspace=0.06, hspace=0.08)
    edges = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, 41)
    curve_x = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, 100)
    curve_y = np.exp(-(curve_x**2) / 2) / np.sqrt(2 * np.pi)
    for row, (title, values) in zip(axes, scores.items(), strict=True):
        for panel, column in zip(row, values.T, strict=True):
            density, _ = np.histogram(column.clip(edges[0], edges[-1]), edges, density=True)
            panel.stairs(density, edges, fill=True, color="tab:blue", alpha=0.7)
            panel.plot(curve_x, curve_y, color="tab:orange", linewidth=1)
            panel.set_yticks([])
        row[0].set_ylabel(f"{title}\nn = {len(values)}", fontsize=9)
    for panel, name in zip(axes[0], PROPERTY_NAMES, strict=True):
        panel.set_title(name, fontsize=10)
    figure.supxlabel("normalised score; the curve is the standard normal density", fontsize=9, y=0.005)
    return figure


def correlation_matrices(scores: Mapping[str, np.ndarray]) -> Figure:
    """Pearson correlations between properties, one matrix per entry of `scores` (as in `histograms`)."""
    figure = Figure(figsize=(4.6 * len(scores) + 0.8, 4.6))
    axes = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(left=0.09, right=0.91, bottom=0.24, top=0.94, wspace=0.04)
    ticks = range(len(PROPERTY_NAMES))
    for panel, (title, values) in zip(axes, scores.items(), strict=True):
        matrix = np.corrcoef(values, rowvar=False)
        shown = panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            color = "white" if abs(value) > 0.6 else "black"
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        panel.set_xticks(ticks, PROPERTY_NAMES, rotation=60, ha="right", fontsize=8)
        panel.set_yticks(ticks, PROPERTY_NAMES, fontsize=8)
        panel.set_title(f"{title}, n = {len(values)}", fontsize=10)
    figure.colorbar(shown, cax=figure.add_axes((0.93, 0.3, 0.012, 0.58)), label="correlation")
    return figure


def scatter(labels: np.ndarray, predicted: np.ndarray, title: str) -> Figure:
    """Predictions [N] against labels [N], with the line on which they agree."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    panel = figure.subplots()
    ends = [min(labels.min(), predicted.min()), max(labels.max(), predicted.max())]
    panel.plot(ends, ends, color="grey", linewidth=1, linestyle="--")
    panel.scatter(labels, predicted, s=8, alpha=0.6)
    panel.set(xlabel="label", ylabel="predicted by the network that did not train on it", title=title)
    return figure


def extremes(scores: np.ndarray, read: Callable[[int], np.ndarray]) -> Image.Image:
    """The pictures with the lowest, the middle and the highest score of each property, one row each.

    Args:
        scores: float [N, 7], without NaN.
        read: row of `scores` -> uint8 [H, W, 3] RGB.
    """
    rows = [[_example(read(row)) for row in _chosen(column, PER_PLACE)] for column in scores.T]
    row_labels = [f"{prop.name}: {prop.low} / {prop.high}" for prop in PROPERTIES]
    return labelled_grid(rows, row_labels, np.repeat(PLACES, len(rows[0]) // len(PLACES)).tolist())


def property_sheet(
    scores: np.ndarray, img_nos: Sequence[int], read: Callable[[int], np.ndarray]
) -> Image.Image:
    """The pictures `img_nos` with the lowest, middle and highest of their `scores` [N]; `read` as above."""
    chosen = _chosen(scores, PER_PLACE_ON_SHEET)
    columns = len(chosen) // len(PLACES)
    texts = [
        f"{PLACES[place // columns]} {img_nos[row]:06d} {scores[row]:+.2f}"
        for place, row in enumerate(chosen)
    ]
    return contact_sheet([_example(read(row)) for row in chosen], columns, texts)


def _chosen(scores: np.ndarray, count: int) -> list[int]:
    """Rows of the `count` lowest, then middle, then highest scores [N]; fewer where N is less."""
    order = np.argsort(scores, kind="stable").tolist()
    count = min(count, len(order))
    middle = (len(order) - count) // 2
    return [*order[:count], *order[middle : middle + count], *order[len(order) - count :]]


def _example(picture: np.ndarray) -> np.ndarray:
    method = cv2.INTER_AREA if picture.shape[0] > EXAMPLE_SIZE_PX else cv2.INTER_CUBIC
    return cv2.resize(picture, (EXAMPLE_SIZE_PX, EXAMPLE_SIZE_PX), interpolation=method)
