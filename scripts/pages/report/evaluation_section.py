"""The section about what 09 measured: goals, response matrices, strips of every dial, edited pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.evaluation_report import LEVEL_NAMES, Cell
from scripts.pages.report.evaluation import Evaluation, Row
from scripts.pages.report.html import Html, code, details, element, figure, join, note, table
from scripts.pages.report.images import UnreadablePictureError, image, picture_figure, read_picture, row_of
from scripts.pipeline.pictures import cut_grid
from segmentation.property_table import PROPERTIES, PROPERTY_NAMES, Property

if TYPE_CHECKING:
    from PIL import Image

STRIPS = "evaluation/strips_{}.png"
EDITING = "evaluation/editing_{}.png"
PREVIEW = "stylegan_modified/previews/{}.png"
LEVELS = len(LEVEL_NAMES)
PREVIEW_PEOPLE, PREVIEW_LEVELS = 4, 3  # rows of a preview, and pictures of each dial
SMALL_PX = 96  # side of a picture in the strips of all people
STRONG = 0.85  # from this share of colour on, white is the more legible text


@dataclass(frozen=True)
class Strip:
    """One dial of one person: the property, what low and high look like, and the pictures side by side."""

    name: str
    low: str
    high: str
    pictures: Html


def person_strips(workspace: Path, version: str) -> list[Strip]:
    """A person of 09 with every dial turned from low to high; empty without readable strips."""
    try:
        rows = cut_grid(read_picture(workspace / STRIPS.format(version)), len(PROPERTY_NAMES), LEVELS, True)
    except (UnreadablePictureError, ValueError):
        return []
    return [_strip(prop, row[:LEVELS], version) for prop, row in zip(PROPERTIES, rows, strict=True)]


def preview_strips(workspace: Path) -> tuple[str, list[Strip]]:
    """The newest version that has a preview, and its first person with every dial low, middle and high."""
    for version in ("v3", "v2", "v1"):
        path, levels = workspace / PREVIEW.format(version), len(PROPERTY_NAMES) * PREVIEW_LEVELS
        try:
            person = cut_grid(read_picture(path), PREVIEW_PEOPLE, levels)[0] if path.is_file() else []
        except (UnreadablePictureError, ValueError):
            continue
        if person:
            parts = [person[n : n + PREVIEW_LEVELS] for n in range(0, levels, PREVIEW_LEVELS)]
            return version, [
                _strip(prop, part, version) for prop, part in zip(PROPERTIES, parts, strict=True)
            ]
    return "", []


def _strip(prop: Property, pictures: Sequence[Image.Image], version: str) -> Strip:
    alt = f"One person by {version}, {prop.meaning}: {prop.low} to {prop.high} in {len(pictures)} steps"
    return Strip(prop.name, prop.low, prop.high, image(row_of(pictures), alt))


def evaluation_parts(workspace: Path, evaluation: Evaluation) -> Iterator[Html]:
    """Everything about the versions that 09 evaluated."""
    yield element("h3", "Goals")
    yield _summary(evaluation)
    yield details("Every value with its 95 % interval", _full_table(evaluation))
    yield element("h3", "What each dial moves")
    yield _responses(evaluation)
    yield element("h3", "Every dial, low to high")
    for version in sorted(evaluation.results, key=lambda version: version != evaluation.best):
        strips = _strips(workspace, version)
        if strips is not None:
            yield strips if version == evaluation.best else details(f"Strips of {version}", strips)
    for version in evaluation.results:
        path = workspace / EDITING.format(version)
        if path.is_file():
            caption = (
                f"Given pictures that {version} reconstructs and edits: each dial at the 5 and 95 % of the "
                "training scores, all else as the picture has it."
            )
            yield element("h3", f"Given pictures, edited by {version}")
            yield picture_figure(path, caption, caption)


def _summary(evaluation: Evaluation) -> Html:
    versions = list(evaluation.results)
    rows = []
    for row in evaluation.rows:
        if any(row.reached(version) for version in versions):
            cells = [_summary_cell(row, version) for version in versions]
            seven = " (worst of seven)" if len(row.names) > 1 else ""
            rows.append((f"{row.goal.title}{seven}", row.goal.text(), *cells))
    counts = element(
        "p",
        join(
            [
                join(
                    [element("b", version), f" reaches {100 * evaluation.share(version):.0f} % of the goals"]
                )
                for version in versions
            ],
            "; ",
        ),
        ". Goals are those of the best version; a tick marks a value that reaches it.",
    )
    label = "Measures of all versions against their goals"
    return join([counts, table(("measure", "goal", *versions), rows, label, "goals")])


def _summary_cell(row: Row, version: str) -> Html:
    found, count = row.worst(version), row.reached(version)
    if found is None or count is None:
        return element("td", "-", class_="soft")
    is_reached = count[0] == count[1]
    shown = [row.goal.spell(found.value), " ", _tick(is_reached)]
    if count[1] > 1 and not is_reached:
        shown.append(element("small", f" {count[0]} of {count[1]}"))
    return element("td", *shown, class_="reached" if is_reached else "missed")


def _tick(is_reached: bool) -> Html:
    word = "reached" if is_reached else "not reached"
    return element("span", "\u2713" if is_reached else "\u2717", role="img", aria_label=word, title=word)


def _full_table(evaluation: Evaluation) -> Html:
    versions = list(evaluation.results)
    rows = []
    for row in evaluation.rows:
        for index, name in enumerate(row.names):
            title = f"{row.goal.title}: {name}" if name else row.goal.title
            cells = [_full_cell(row, row.cells[version][index]) for version in versions]
            rows.append((title, row.goal.text(), row.goal.text(for_v1=True), *cells))
    label = "All values with intervals"
    return table(("measure", "goal", "goal of v1", *versions), rows, label, "goals")


def _full_cell(row: Row, found: Cell) -> Html:
    if found.value is None:
        return element("td", "-", class_="soft")
    spell = row.goal.spell
    interval = ""
    if found.low is not None and found.high is not None:
        interval = element("small", f" {spell(found.low)} to {spell(found.high)}")
    tick = None if found.reached is None else join([" ", _tick(found.reached)])
    kind = {True: "reached", False: "missed", None: None}[found.reached]
    return element("td", spell(found.value), tick, interval, class_=kind)


def _responses(evaluation: Evaluation) -> Html:
    maps = []
    for version, entry in evaluation.results.items():
        matrix = evaluation.response(version)
        if matrix is None:
            maps.append(note(f"The response matrix of {version} cannot be read."))
            continue
        rows = [
            (name, *(_heat(value) for value in row)) for name, row in zip(PROPERTY_NAMES, matrix, strict=True)
        ]
        columns = ("turned", *(element("span", name) for name in PROPERTY_NAMES))
        label = f"Response matrix of {version}: slopes of the measured on the requested properties"
        caption = f"{version}, {entry.get('n_latents', '?')} people"
        maps.append(figure(table(columns, rows, label, "heat"), caption))
    text = (
        "A row is the dial that is turned, a column the property that is measured, both in standard "
        "deviations: 1 on the diagonal and 0 elsewhere would be perfect."
    )
    return join([element("p", text), element("div", *maps, class_="maps")])


def _heat(value: float) -> Html:
    if not math.isfinite(value):
        return element("td", "-")
    share = min(abs(value), 1.0)
    colour = "47, 108, 168" if value >= 0 else "190, 74, 40"
    style = f"background: rgba({colour}, {share:.2f})" + ("; color: #fff" if share > STRONG else "")
    return element("td", f"{value:.2f}".replace("-0.00", "0.00"), style=style)


def _strips(workspace: Path, version: str) -> Html | None:
    """All people of the sheet, dial by dial."""
    path = workspace / STRIPS.format(version)
    if not path.is_file():
        return None
    try:
        rows = cut_grid(read_picture(path), len(PROPERTY_NAMES), LEVELS, True)
    except (UnreadablePictureError, ValueError) as error:
        return note(f"The strips of {version} cannot be shown: {error}.")
    figures = []
    for prop, row in zip(PROPERTIES, rows, strict=True):
        people = [row[start : start + LEVELS] for start in range(0, len(row), LEVELS)]
        shown = [
            image(
                row_of([picture.resize((SMALL_PX, SMALL_PX)) for picture in person]),
                f"Person {n} by {version}: {prop.name} at {', '.join(LEVEL_NAMES)}",
            )
            for n, person in enumerate(people)
        ]
        caption = join([element("b", prop.name), f" {prop.meaning}: {prop.low} \u2192 {prop.high}"])
        figures.append(figure(element("div", *shown, class_="people"), caption, class_="dial"))
    levels = f"The dial at the {', '.join(LEVEL_NAMES)} of the training scores, all others at the median. "
    return join([element("p", levels, "People by ", element("b", version), " ", code(path.name)), *figures])
