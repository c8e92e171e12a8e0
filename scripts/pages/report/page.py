"""The whole page: headline, what came of the run, each stage, what was left out, commands and versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.pages.report.evaluation import Evaluation, read_evaluation
from scripts.pages.report.evaluation_section import evaluation_parts, person_strips, preview_strips
from scripts.pages.report.html import Html, code, details, element, join, note, table
from scripts.pages.report.records import COMPLETE, NEVER, StageRecord, read_stages
from scripts.pages.report.results import LeftOut, Results
from scripts.pages.report.stages import badge, duration, options_table, stage_section, training_charts

STYLE = Path(__file__).with_name("style.css")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Run:
    """What is known about a workspace."""

    workspace: Path
    logs: Path
    stages: Sequence[StageRecord]
    results: Results
    evaluation: Evaluation | None
    problems: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """True if no script has run here."""
        return all(stage.state == NEVER for stage in self.stages)

    def value(self, option: str) -> str:
        """The value of an option in the latest stage that has it."""
        known = [value for stage in self.stages if (value := stage.value(option)) is not None]
        return str(known[-1]) if known else "unknown"


def read_run(workspace: Path, logs: Path) -> Run:
    """Read the records and results of a workspace.

    Args:
        workspace: of the run.
        logs: folder with one folder of logs per script.
    """
    evaluation, problem = read_evaluation(workspace)
    stages = read_stages(workspace, logs)
    return Run(workspace, logs, stages, Results(workspace), evaluation, [problem] if problem else [])


def page(run: Run, written: str) -> str:
    """The page as text.

    Args:
        run: what to report.
        written: when, as the page shows it.
    """
    stages = [_stage(run, stage) for stage in run.stages]
    left_out, beside = run.results.left_out(run.stages), run.results.trainings_beside(run.logs)
    title = f"Seven dials: {run.workspace.name}"
    main = [
        _hero(run, title, written),
        _overview(run),
        *stages,
        _beside([training_charts(log) for log in beside]),
        _left_out(left_out),
        _how(run),
        _problems([*run.problems, *run.results.problems]),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", title),
        element("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    body = element("body", _contents(run, bool(beside)), element("main", *main, id="top"))
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _contents(run: Run, has_beside: bool) -> Html:
    """Table of contents: a column on a wide window, folded on a narrow one."""
    links = [("overview", "", "Scripts"), *((f"stage-{s.number}", s.number, s.title) for s in run.stages)]
    links += [("beside", "", "Beside the row")] if has_beside else []
    links += [("left-out", "", "Left out"), ("how", "", "Commands and versions")]
    states = {f"stage-{stage.number}": stage.state for stage in run.stages}
    items = [
        element(
            "li",
            element(
                "a", element("span", number, class_="number") if number else None, " ", text, href=f"#{to}"
            ),
            class_=states.get(to, COMPLETE).split()[0],
        )
        for to, number, text in links
    ]
    folded = details("Contents", element("ol", *items))
    return join(
        [
            element("nav", element("ol", *items), class_="side", aria_label="Contents"),
            element("nav", folded, class_="top", aria_label="Contents, folded"),
        ]
    )


def _hero(run: Run, title: str, written: str) -> Html:
    """The dials of the best version, and what the run came to in a few figures."""
    about = f"Preset {run.value('preset')}, quality {run.value('quality')}. Written {written}."
    shown = _dials(run)
    return element(
        "header",
        element("h1", title),
        element("p", about, class_="soft"),
        element("p", _in_short(run), class_="lead"),
        element("div", shown, element("div", _tiles(run), _funnel(run)), class_="headline"),
    )


def _dials(run: Run) -> Html:
    """One person with every dial turned: by the best version, or before 09 by the newest one."""
    version = run.evaluation.best if run.evaluation else None
    strips = person_strips(run.workspace, version) if version else []
    who, class_ = "One person that no training saw", "strips"
    if not strips:
        version, strips = preview_strips(run.workspace)
        who, class_ = "One person", "strips short"
    if not strips:
        return note("There are no dials to show: no generator with dials has been trained here.")
    lines = [
        element(
            "div",
            element("p", element("b", strip.name), element("span", strip.low), element("span", strip.high)),
            strip.pictures,
            class_="strip",
        )
        for strip in strips
    ]
    caption = f"{who}, by {version}: each dial from low to high, all else the same."
    return element(
        "figure", element("div", *lines, class_=class_), element("figcaption", caption), class_="hero"
    )


def _in_short(run: Run) -> str:
    """The run in two or three sentences."""
    counts = dict(run.results.funnel())
    drawn, kept = counts.get("candidates drawn"), counts.get("kept by the filter")
    parts = []
    if drawn and kept is not None:
        parts.append(f"Of {drawn:,} people that the original generator drew, the filter kept {kept:,}.")
    elif drawn:
        parts.append(f"The original generator drew {drawn:,} people.")
    evaluation = run.evaluation
    if evaluation is not None and evaluation.best is not None:
        best = evaluation.best
        count = evaluation.results[best].get("n_latents", "some")
        share = f"{100 * evaluation.share(best):.0f} %"
        parts.append(f"Tested on {count} people that no training saw, {best} reaches {share} of the goals.")
    others = [
        f"{stage.number} is {stage.state}" for stage in run.stages if stage.state not in {COMPLETE, NEVER}
    ]
    never = [stage.number for stage in run.stages if stage.state == NEVER]
    others += [f"{', '.join(never)} never ran"] if never else []
    parts.append(f"Of the scripts, {'; '.join(others)}." if others else "All scripts are complete.")
    return " ".join(parts)


def _tiles(run: Run) -> Html:
    tiles: list[tuple[str, str]] = []
    evaluation = run.evaluation
    if evaluation is not None and evaluation.best is not None:
        best = evaluation.best
        for key, text in (
            ("control", "lowest control r of the seven dials"),
            ("leakage", "sd moved elsewhere per sd of a dial"),
            ("identity_auc", "same person: identity AUC"),
            ("women", "women"),
            ("good_quality", "of good quality"),
            ("kid", "KID to the filtered pictures"),
        ):
            row = evaluation.row(key)
            found = row.worst(best) if row else None
            if found is not None:
                shown = f"{100 * found.value:.1f} %" if row.goal.percent else f"{found.value:.3f}"
                tiles.append((shown, f"{text} ({best})"))
        tiles.append((f"{100 * evaluation.share(best):.0f} %", f"of the goals reached ({best})"))
    done = sum(stage.state == COMPLETE for stage in run.stages)
    tiles.append((f"{done} of {len(run.stages)}", "scripts complete"))
    times = [stage.seconds for stage in run.stages if stage.seconds is not None]
    if times:
        tiles.append((duration(sum(times)), "in all"))
    return element(
        "dl",
        *(element("div", element("dt", text), element("dd", value)) for value, text in tiles),
        class_="tiles",
    )


def _funnel(run: Run) -> Html | None:
    """How many pictures the first stages handed on."""
    steps = run.results.funnel()
    if not steps:
        return None
    most = max(count for _, count in steps) or 1
    bars = [_bar(text, f"{count:,}", count / most) for text, count in steps]
    return join(
        [element("h3", "Pictures, from the first to the labels"), element("div", *bars, class_="bars")]
    )


def _overview(run: Run) -> Html:
    """The scripts with their states, and where the time went."""
    longest = max((stage.seconds or 0 for stage in run.stages), default=0) or 1
    rows = [
        (
            element(
                "a",
                element("span", stage.number, class_="number"),
                " ",
                stage.title,
                href=f"#stage-{stage.number}",
            ),
            element("td", badge(stage.state)),
            element("td", _bar("", duration(stage.seconds), (stage.seconds or 0) / longest), class_="time"),
        )
        for stage in run.stages
    ]
    shown = table(("script", "state", "time"), rows, "State and time of each script", "scripts")
    return element("section", element("h2", "Scripts"), shown, id="overview")


def _bar(text: str, value: str, share: float) -> Html:
    fill = element("span", class_="fill", style=f"width: {100 * share:.1f}%")
    label = element("span", text, class_="label") if text else None
    return element(
        "div", label, element("span", fill, class_="track"), element("span", value), class_="bar-row"
    )


def _stage(run: Run, stage: StageRecord) -> Html:
    section = stage_section(run.workspace, stage, run.results)
    if stage.number != "09" or run.evaluation is None:
        return section
    parts = join(evaluation_parts(run.workspace, run.evaluation))
    return Html(section.removesuffix("</section>") + parts + "</section>")


def _beside(charts: Sequence[Html]) -> Html | None:
    if not charts:
        return None
    heading = element("h2", "Beside the row")
    return element(
        "section", heading, element("p", "Trainings that are no numbered script."), *charts, id="beside"
    )


def _left_out(rows: Sequence[LeftOut]) -> Html:
    heading = element("h2", "Left out, and why")
    if not rows:
        return element("section", heading, element("p", "Nothing is recorded as left out."), id="left-out")
    cells = [
        (element("span", row.stage, class_="number"), row.what, f"{row.count:,}", row.why) for row in rows
    ]
    shown = table(("script", "what", "how many", "why"), cells, "What was left out", "left-out")
    return element("section", heading, shown, id="left-out")


def _how(run: Run) -> Html:
    """Commands, options with their origin, commits, seeds and versions."""
    ran = [stage for stage in run.stages if stage.state != NEVER]
    text = (
        "The command of each script. Unfolded, it says where every option came from: the command line, a "
        "configuration file, the preset, or the script's default."
    )
    rows = [
        (
            element("span", stage.number, class_="number"),
            str(stage.record.get("started") or "-")[:16].replace("T", " "),
            _commit(stage),
            _seeds(stage),
        )
        for stage in ran
    ]
    return element(
        "section",
        element("h2", "Commands and versions"),
        element("p", text),
        *(details(code(stage.command()), options_table(stage)) for stage in ran),
        table(("script", "started (UTC)", "commit", "seeds"), rows, "Start, commit and seeds of each script"),
        element("p", f"Versions: {_versions(ran)}.", class_="soft"),
        id="how",
    )


def _commit(stage: StageRecord) -> Html:
    changed = " with changes" if stage.record.get("dirty") is True else ""
    return join([code(str(stage.record.get("commit") or "-")[:10]), changed])


def _versions(stages: Sequence[StageRecord]) -> str:
    """The packages of all scripts; where they ran with several versions of one, all of them."""
    found: dict[str, list[str]] = {}
    for stage in stages:
        for name, version in stage.mapping("versions").items():
            if str(version) not in found.setdefault(name, []):
                found[name].append(str(version))
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found.items()) or "unknown"


def _seeds(stage: StageRecord) -> str:
    """Seeds as the record has them, or the options that are named so."""
    recorded = stage.record.get("seeds")
    if isinstance(recorded, dict):
        return ", ".join(f"{name} {value}" for name, value in recorded.items())
    if recorded is not None:
        return str(recorded)
    named: Iterator[str] = (
        f"{name} {entry['value']}" for name, entry in stage.options.items() if "seed" in name.split("_")
    )
    return ", ".join(named) or "-"


def _problems(problems: Sequence[str]) -> Html | None:
    if not problems:
        return None
    items = [element("li", problem) for problem in problems]
    return element("section", element("h2", "Could not be read"), element("ul", *items), id="problems")
