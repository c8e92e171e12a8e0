"""Pictures that let a person judge property scores: histograms, correlations and extreme examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scripts.pipeline.pictures import contact_sheet, labelled_grid

EXAMPLE_COUNT = 4  # pictures at each of lowest, median and highest
SHEET_COUNT = 12  # the same on the sheet of one property
EXAMPLE_SIZE_PX = 128
PLACES = ("lowest", "median", "highest")
HISTOGRAM_LIMIT = 4.0  # standard deviations


def histograms(scores: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Histograms of normalised scores under the normal curve that they are compared with.

    Args:
        scores: title of a row -> float [N, P], valid rows only; the rows may differ in N.
        names: the P properties, one column each.
    """
    figure = Figure(figsize=(2.6 * len(names), 2.2 * len(scores)))
    axes = figure.subplots(len(scores), len(names), squeeze=False, sharex=True)
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.09, top=0.94, wspace=0.06, hspace=0.08)
    edges = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, 41)
    curve_x = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, 100)
    curve_y = np.exp(-(curve_x**2) / 2) / np.sqrt(2 * np.pi)
    for row, (title, values) in enumerate(scores.items()):
        for column, name in enumerate(names):
            panel = axes[row, column]
            inside = np.clip(values[:, column], edges[0], edges[-1])
            density, _ = np.histogram(inside, edges, density=True)
            panel.stairs(density, edges, fill=True, color="tab:blue", alpha=0.7)
            panel.plot(curve_x, curve_y, color="tab:orange", linewidth=1)
            panel.set_yticks([])
            if row == 0:
                panel.set_title(name, fontsize=10)
        axes[row, 0].set_ylabel(f"{title}\nn = {len(values)}", fontsize=9)
    figure.supxlabel("normalised score; the curve is the standard normal density", fontsize=9, y=0.005)
    return figure


def correlation_matrices(scores: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Pearson correlations between properties, one matrix per entry of `scores` (as in `histograms`)."""
    figure = Figure(figsize=(4.6 * len(scores) + 0.8, 4.6))
    axes = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(left=0.09, right=0.91, bottom=0.24, top=0.94, wspace=0.04)
    for panel, (title, values) in zip(axes, scores.items(), strict=True):
        matrix = np.corrcoef(values, rowvar=False)
        shown = panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        for row, column in np.ndindex(matrix.shape):
            value = matrix[row, column]
            color = "white" if abs(value) > 0.6 else "black"
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        panel.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.set_title(f"{title}, n = {len(values)}", fontsize=10)
    figure.colorbar(shown, cax=figure.add_axes((0.93, 0.3, 0.012, 0.58)), label="correlation")
    return figure


def extremes(
    scores: np.ndarray, names: Sequence[str], meanings: Sequence[str], read: Callable[[int], np.ndarray]
) -> Image.Image:
    """The pictures with the lowest, the middle and the highest score of each property, one row each.

    Args:
        scores: float [N, P], normalised, without NaN.
        names: the P properties.
        meanings: what each measures, from what to what.
        read: row of `scores` -> uint8 [H, W, 3] RGB.
    """
    rows = [
        [example(read(row)) for row in examples(scores[:, column], EXAMPLE_COUNT)]
        for column in range(scores.shape[1])
    ]
    row_labels = [f"{name}: {meaning}" for name, meaning in zip(names, meanings, strict=True)]
    column_labels = [place for place in PLACES for _ in range(len(rows[0]) // len(PLACES))]
    return labelled_grid(rows, row_labels, column_labels)


def property_sheet(
    scores: np.ndarray, img_nos: Sequence[int], read: Callable[[int], np.ndarray]
) -> Image.Image:
    """The pictures with the lowest, the middle and the highest scores of one property, one row each.

    Args:
        scores: float [N], normalised, without NaN.
        img_nos: the pictures' numbers.
        read: index into `scores` -> uint8 [H, W, 3] RGB.
    """
    chosen = examples(scores, SHEET_COUNT)
    columns = len(chosen) // len(PLACES)
    places = [place for place in PLACES for _ in range(columns)]
    texts = [
        f"{place} {img_nos[row]:06d} {scores[row]:+.2f}" for place, row in zip(places, chosen, strict=True)
    ]
    return contact_sheet([example(read(row)) for row in chosen], columns, texts)


def examples(scores: np.ndarray, count: int) -> list[int]:
    """Rows of the `count` lowest, then middle, then highest scores [N]; fewer where N is less."""
    order = np.argsort(scores, kind="stable")
    count = min(count, len(order))
    middle = (len(order) - count) // 2
    return [*order[:count], *order[middle : middle + count], *order[len(order) - count :]]


def example(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3] at the size of the sheets."""
    method = cv2.INTER_AREA if picture.shape[0] > EXAMPLE_SIZE_PX else cv2.INTER_CUBIC
    return cv2.resize(picture, (EXAMPLE_SIZE_PX, EXAMPLE_SIZE_PX), interpolation=method)
