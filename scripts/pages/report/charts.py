"""Small charts as paths of SVG. The template draws them in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.pages.report.results import TrainingLog

LEFT, RIGHT, TOP, BOTTOM = 52, 250, 10, 98  # of what is drawn, in an SVG of 260 x 120
MOST_POINTS = 240
LOG_FROM_RATIO = 40.0

Points = Sequence[tuple[float, float]]
Text = tuple[float, float, str, str]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title, aside: above it; label: what it shows, for those who do not see it.
        paths: class and path of each line.
        texts: x, y, anchor and text of each.
    """

    title: str
    aside: str
    label: str
    paths: list[tuple[str, str]]
    texts: list[Text]


@dataclass(frozen=True)
class Panels:
    """Small charts side by side under one caption."""

    caption: str
    charts: list[Chart]


def training_panels(log: TrainingLog) -> Panels:
    """One chart per measure of the log, with its last value."""
    charts = []
    for name, curves in log.curves.items():
        last = [spell(ys[-1]) for _, ys in curves if ys]
        label = f"{name} of {log.title} over {log.x_name}s, at last {', '.join(last)}"
        kind = "line second" if name.startswith("valid") else "line"
        lines = [points for curve in curves if (points := _finite(*curve))]
        if lines:
            paths, texts = _lines(lines, kind, log.x_name)
            charts.append(Chart(name, "" if len(last) > 1 else last[-1], label, paths, texts))
    folds = max((len(curves) for curves in log.curves.values()), default=1)
    per_fold = f", one line per fold ({folds})" if folds > 1 else ""
    return Panels(f"Training of {log.title}{per_fold}.", charts)


def spell(value: float) -> str:
    """A number in few characters."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.0e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _finite(xs: Sequence[float], ys: Sequence[float]) -> Points:
    """The finite points, thinned out; the last one stays."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    thinned = points[:: max(1, math.ceil(len(points) / MOST_POINTS))]
    return thinned if thinned[-1:] == points[-1:] else [*thinned, points[-1]]


def _lines(lines: Sequence[Points], kind: str, x_name: str) -> tuple[list[tuple[str, str]], list[Text]]:
    """Paths and texts of lines over one pair of axes, logarithmic where positive values span decades."""
    all_x, all_y = zip(*(point for points in lines for point in points), strict=True)
    low, high, x_low, x_high = min(all_y), max(all_y), min(all_x), max(all_x)
    is_log = low > 0 and high / low > LOG_FROM_RATIO
    scale = math.log if is_log else float

    def place(x: float, y: float) -> str:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        up = (scale(y) - scale(low)) / (scale(high) - scale(low)) if high > low else 0.5
        return f"{LEFT + across * (RIGHT - LEFT):.1f},{BOTTOM - up * (BOTTOM - TOP):.1f}"

    paths = [("axis", f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}")]
    for points in lines:
        path = "M" + " ".join(place(x, y) for x, y in points)
        paths.append((kind, path) if len(points) > 1 else (f"{kind} dot", f"{path}h0"))
    texts: list[Text] = [
        (LEFT - 5, TOP + 4, "end", spell(high)),
        (RIGHT, BOTTOM + 15, "end", f"{x_name} {x_high:,.0f}"),
    ]
    texts += [(LEFT - 5, BOTTOM + 3, "end", spell(low))] if high > low else []
    return paths, texts + ([(LEFT, BOTTOM + 15, "start", "log scale")] if is_log else [])
