"""The section of each numbered script: what it does, how it went, and what to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.pages.report import charts
from scripts.pages.report.html import Html, code, details, element, figure, join, note, table
from scripts.pages.report.images import UnreadablePictureError, image, picture_figure, read_picture
from scripts.pages.report.records import COMPLETE, NEVER, STALE, StageRecord
from scripts.pages.report.results import Results, TrainingLog
from scripts.pipeline.pictures import cut_grid, labelled_grid
from segmentation.property_table import PROPERTIES, PROPERTY_NAMES

if TYPE_CHECKING:
    from PIL import Image

PREVIEWS = "stylegan_modified/previews"
FRAMES = 6  # of a filmstrip


@dataclass(frozen=True)
class Look:
    """A picture of a stage: file, caption, and whether it is a plot on white; folded ones open on request."""

    path: str
    caption: str
    is_plot: bool = False
    folded: bool = False


LOOKS: dict[str, tuple[Look, ...]] = {
    "01_generate_candidates": (Look("stylegan/candidates_sheet.png", "The first candidates, not selected."),),
    "02_filter_candidates": (
        Look(
            "cnn/kept_sheet.png", "Kept: each with its gender (0 man, 1 woman) and quality (0 poor, 1 good)."
        ),
        Look("cnn/rejected_sheet.png", "Not kept."),
        Look("cnn/borderline_sheet.png", "Nearest to the thresholds, from rejected to kept."),
        Look("cnn/log/evaluation_gender.png", "How far the gender networks can be trusted.", is_plot=True),
        Look("cnn/log/evaluation_quality.png", "How far the quality networks can be trusted.", is_plot=True),
    ),
    "03_segment_faces": (
        Look("segmentation/faces_sheet.png", "Faces and the classes of their pixels."),
        Look("segmentation/faces_unsure_sheet.png", "Those of which the parser is least sure.", folded=True),
        Look("segmentation/faces_failed_sheet.png", "Pictures without a usable face.", folded=True),
    ),
    "04_compute_property_scores": (
        Look(
            "segmentation/property_score_results/extremes.png",
            "The faces with the lowest, median and highest score of each property.",
        ),
        Look(
            "segmentation/property_score_results/correlations.png",
            "How the properties go together in the filtered pictures.",
            is_plot=True,
        ),
        *(
            Look(
                f"segmentation/property_score_results/extremes_{name}.png",
                f"More extremes of {name}.",
                folded=True,
            )
            for name in PROPERTY_NAMES
        ),
    ),
    "05_fine_tune_v1": (Look(f"{PREVIEWS}/v1.png", "v1: four people, each dial low, middle and high."),),
    "06_fine_tune_v2": (Look(f"{PREVIEWS}/v2.png", "v2: four people, each dial low, middle and high."),),
    "07_fine_tune_v3": (Look(f"{PREVIEWS}/v3_reconstructions.png", "Pictures above what v3 makes of them."),),
    "08_regenerate_images": (
        Look("stylegan_modified/synthesize_results/grid.png", "The pictures that were asked for."),
    ),
}
# Stages whose trainings have previews, and the version that these are named after.
FILMS = {"05_fine_tune_v1": "v1", "06_fine_tune_v2": "v2", "07_fine_tune_v3": "v3"}


def stage_section(workspace: Path, stage: StageRecord, results: Results) -> Html:
    """The section of one stage."""
    heading = element(
        "h2", element("span", stage.number, class_="number"), " ", stage.title, " ", badge(stage.state)
    )
    parts: list[object] = [heading, element("p", stage.purpose, " ", code(f"{stage.name}.py"), class_="lead")]
    if stage.state == NEVER:
        parts.append(note("It has not run in this workspace."))
    for reason in stage.reasons:
        parts.append(note(f"{reason}, so this result no longer follows from what is there."))
    if stage.state == STALE:
        parts.append(element("p", "To make it again: ", code(f"{stage.command()} --force")))
    parts.append(_facts(stage))
    if stage.state != NEVER:
        parts += _pictures(workspace, stage.name)
        parts += _charts(stage.name, results)
        parts += _filmstrip(workspace, stage.name)
    return element("section", *parts, id=f"stage-{stage.number}", class_="stage")


def badge(state: str) -> Html:
    """The state of a stage, as a word in a coloured frame."""
    return element("span", state, class_=f"badge {state.split()[0]}")


def duration(seconds: float | None) -> str:
    """Seconds in a form that is read at a glance."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _facts(stage: StageRecord) -> Html | None:
    """Time, device, counts and numbers as a list of terms."""
    facts: list[tuple[str, object]] = []
    if stage.seconds is not None:
        device = stage.record.get("device")
        on = f" on {device}" if device and device != "none" else ""
        facts.append(("time", f"{duration(stage.seconds)}{on}"))
    for unit, parts in stage.counts().items():
        facts.append((unit, ", ".join(f"{count:,} {name}" for name, count in parts.items())))
    attempts = stage.attempts()
    if len(attempts) > 1 or attempts[-1:] not in ([], [COMPLETE]):
        facts.append(("attempts", ", ".join(attempts)))
    memory = stage.record.get("peak_memory_mib")
    if isinstance(memory, (int, float)):
        facts.append(("memory", f"{memory:,.0f} MiB at most"))
    facts += list(stage.mapping("numbers").items())
    if not facts:
        return None
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in facts),
        class_="facts",
    )


def _pictures(workspace: Path, name: str) -> Iterator[Html]:
    folded = []
    for look in LOOKS.get(name, ()):
        path = workspace / look.path
        if not path.is_file():
            continue
        caption = join([look.caption, " ", code(look.path)])
        shown = picture_figure(path, caption, look.caption, look.is_plot)
        if look.folded:
            folded.append(shown)
        else:
            yield shown
    if folded:
        count = f"{len(folded)} more picture{'s' if len(folded) > 1 else ''}"
        yield details(count, *folded)


def _charts(name: str, results: Results) -> Iterator[Html]:
    if name == "04_compute_property_scores":
        yield from _histograms(results)
    for log in results.trainings(name):
        yield training_charts(log)


def _histograms(results: Results) -> Iterator[Html]:
    scores = results.scores()
    if not scores:
        return
    panels = [
        _panel(
            prop.name,
            "",
            charts.histogram(
                f"Histogram of {len(scores[prop.name])} scores: {prop.meaning}",
                *(scores[prop.name], prop.low, prop.high),
            ),
        )
        for prop in PROPERTIES
    ]
    count = len(next(iter(scores.values())))
    caption = (
        f"Scores of the {count} training labels, in deviations from the mean; the line is the normal curve."
    )
    yield figure(element("div", *panels, class_="panels"), caption)


def training_charts(log: TrainingLog) -> Html:
    """Small multiples, one per measure of the log, with the last value of each."""
    panels = []
    for name, lines in log.curves.items():
        kind = "line second" if name.startswith("valid") else "line"
        last = [charts.spell(ys[-1]) for _, ys in lines if ys]
        label = f"{name} of {log.title} over {log.x_name}s, at last {', '.join(last)}"
        chart = charts.line_chart(label, [charts.Line(xs, ys, kind) for xs, ys in lines], log.x_name)
        if chart is not None:
            panels.append(_panel(name, "" if len(last) > 1 else last[-1], chart))
    folds = max((len(lines) for lines in log.curves.values()), default=1)
    per_fold = f", one line per fold ({folds})" if folds > 1 else ""
    caption = f"Training of {log.title}{per_fold}."
    return figure(element("div", *panels, class_="panels"), caption)


def _panel(title: str, aside: str, chart: Html) -> Html:
    heading = element("p", element("b", title), " ", element("span", aside), class_="panel-title")
    return element("div", heading, chart, class_="panel")


def _filmstrip(workspace: Path, name: str) -> Iterator[Html]:
    version = FILMS.get(name)
    steps = sorted(
        (int(path.stem.rsplit("_", 1)[1]), path)
        for path in (workspace / PREVIEWS).glob(f"{version}_[0-9]*.png")
        if path.stem.rsplit("_", 1)[1].isdigit()
    )
    if version is None or len(steps) < 2:
        return
    last = len(steps) - 1
    chosen = [steps[n] for n in sorted({round(k * last / (FRAMES - 1)) for k in range(FRAMES)})]
    try:
        film = _draw_film(version, chosen)
    except (UnreadablePictureError, ValueError) as error:
        yield note(f"There is no filmstrip of {version}: {error}.")
        return
    what = "one person, each dial low and high" if version != "v3" else "pictures and what v3 makes of them"
    caption = f"As the training of {version} went on: {what}."
    box = element(
        "div", image(film, caption), class_="scroll", role="region", tabindex="0", aria_label=caption
    )
    yield figure(box, caption, class_="sheet")


def _draw_film(version: str, chosen: list[tuple[int, Path]]) -> Image.Image:
    """Rows: steps of the training. Columns: for v1 and v2 the ends of each dial, for v3 given pictures."""
    import numpy as np

    rows, labels, columns = [], [], []
    for step, path in chosen:
        if version == "v3":
            given, copies = cut_grid(read_picture(path), 2)
            if not rows:
                rows.append(given)
                labels.append("given")
            rows.append(copies)
        else:
            person = cut_grid(read_picture(path), 4, group=3 * len(PROPERTY_NAMES))[0]
            rows.append([picture for n, picture in enumerate(person) if n % 3 != 1])
        labels.append(f"step {step}")
    if version == "v3":
        columns = [""] * len(rows[0])
    else:
        columns = [f"{prop.name[:11]} {end}" for prop in PROPERTIES for end in ("-", "+")]
    return labelled_grid([[np.asarray(picture) for picture in row] for row in rows], labels, columns)


def options_table(stage: StageRecord) -> Html:
    """The options that were not left at their defaults, with where they came from; the others folded."""
    chosen = {name: entry for name, entry in stage.options.items() if entry["from"] != "default"}
    others = {name: entry for name, entry in stage.options.items() if entry["from"] == "default"}
    shown = [(code(name), str(entry["value"]), entry["from"]) for name, entry in chosen.items()]
    parts = []
    if shown:
        label = f"Options of {stage.name} that were set"
        parts.append(table(("option", "value", "from"), shown, label, "options"))
    if others:
        defaults = join([f"{name} = {entry['value']}" for name, entry in others.items()], "; ")
        parts.append(
            details(f"{len(others)} options at their defaults", element("p", defaults, class_="soft"))
        )
    return join(parts)
