"""Small charts as inline SVG. Their colours are those of the page, so they suit light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.pages.report.html import Html, element

WIDTH, HEIGHT = 260, 120
LEFT, RIGHT, TOP, BOTTOM = 52, 250, 10, 98
MOST_POINTS = 240
LOG_FROM_RATIO = 40.0
HISTOGRAM_EDGE, HISTOGRAM_BINS = 3.5, 28


@dataclass(frozen=True)
class Line:
    """Values over steps; `kind` is the class that the page's style gives a colour."""

    xs: Sequence[float]
    ys: Sequence[float]
    kind: str = "line"


def line_chart(label: str, lines: Sequence[Line], x_name: str) -> Html | None:
    """Lines in one panel, on a logarithmic scale where positive values span decades.

    Returns:
        the chart, or None without a single finite value.
    """
    kept = [_finite(line) for line in lines]
    kept = [line for line in kept if line.xs]
    if not kept:
        return None
    values = [y for line in kept for y in line.ys]
    low, high = min(values), max(values)
    is_log = low > 0 and high / low > LOG_FROM_RATIO
    x_low, x_high = (pick(x for line in kept for x in line.xs) for pick in (min, max))

    def place(x: float, y: float) -> str:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        up = _share(y, low, high, is_log)
        return f"{LEFT + across * (RIGHT - LEFT):.1f},{BOTTOM - up * (BOTTOM - TOP):.1f}"

    drawn = []
    for line in kept:
        points = [place(x, y) for x, y in zip(line.xs, line.ys, strict=True)]
        if len(points) == 1:
            x, y = points[0].split(",")
            drawn.append(element("circle", cx=x, cy=y, r=3, class_=f"dot {line.kind}"))
        else:
            drawn.append(element("polyline", points=" ".join(points), class_=line.kind))
    marks = [
        _text(LEFT - 5, TOP + 4, spell(high), "end"),
        _text(LEFT - 5, BOTTOM + 3, spell(low), "end") if high > low else None,
        _text(RIGHT, BOTTOM + 15, f"{x_name} {x_high:,.0f}", "end"),
        _text(LEFT, BOTTOM + 15, "log scale", "start") if is_log else None,
    ]
    return _svg(label, _frame(), *drawn, *marks)


def histogram(label: str, values: Sequence[float], low: str, high: str) -> Html:
    """Scores in standard deviations, with the normal curve of as many.

    Args:
        label: what is shown.
        values: scores.
        low, high: what low and high scores look like.
    """
    width = 2 * HISTOGRAM_EDGE / HISTOGRAM_BINS
    counts = [0] * HISTOGRAM_BINS
    for value in values:
        index = int((value + HISTOGRAM_EDGE) / width)
        counts[min(max(index, 0), HISTOGRAM_BINS - 1)] += 1
    curve = [
        len(values) * width * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        for x in (-HISTOGRAM_EDGE + n * width / 2 for n in range(2 * HISTOGRAM_BINS + 1))
    ]
    highest = max(*counts, *curve, 1)
    step = (RIGHT - 10) / HISTOGRAM_BINS
    bars = [
        element(
            "rect",
            x=f"{10 + n * step:.1f}",
            y=f"{BOTTOM - count / highest * (BOTTOM - TOP):.1f}",
            width=f"{step - 0.8:.1f}",
            height=f"{count / highest * (BOTTOM - TOP):.1f}",
            class_="bar",
        )
        for n, count in enumerate(counts)
        if count
    ]
    points = " ".join(
        f"{10 + n * step / 2:.1f},{BOTTOM - value / highest * (BOTTOM - TOP):.1f}"
        for n, value in enumerate(curve)
    )
    middle = 10 + HISTOGRAM_BINS * step / 2
    marks = [
        element("line", x1=10, y1=BOTTOM, x2=RIGHT, y2=BOTTOM, class_="axis"),
        _text(10, BOTTOM + 15, low, "start"),
        _text(middle, BOTTOM + 15, "mean", "middle"),
        _text(RIGHT, BOTTOM + 15, high, "end"),
    ]
    return _svg(label, *bars, element("polyline", points=points, class_="line second"), *marks)


def spell(value: float) -> str:
    """A number in few characters."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.0e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _finite(line: Line) -> Line:
    pairs = [(x, y) for x, y in zip(line.xs, line.ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    step = max(1, math.ceil(len(pairs) / MOST_POINTS))
    thinned = pairs[::step]
    if pairs and thinned[-1] != pairs[-1]:
        thinned.append(pairs[-1])
    return Line([x for x, _ in thinned], [y for _, y in thinned], line.kind)


def _share(value: float, low: float, high: float, is_log: bool) -> float:
    if high <= low:
        return 0.5
    if is_log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _frame() -> Html:
    return element("path", d=f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}", class_="axis")


def _text(x: float, y: float, text: str, anchor: str) -> Html:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _svg(label: str, *content: object) -> Html:
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart",
        role="img",
        aria_label=label,
    )
