"""The whole page: what a run came to, each stage, what was left out, commands and versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.pages.report import pictures
from scripts.pages.report.charts import Panels, training_panels
from scripts.pages.report.evaluation import Evaluation, read_evaluation
from scripts.pages.report.results import LeftOut, Results
from scripts.pages.status import StageStatus, judge, read_stages
from segmentation.normalization import LEVEL_NAMES
from segmentation.property_table import PROPERTY_NAMES


@dataclass(frozen=True)
class Run:
    """What is known about a workspace."""

    workspace: Path
    logs: Path
    stages: Sequence[StageStatus]
    results: Results
    evaluation: Evaluation | None
    problems: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """True if no script has run here."""
        return all(stage.state == "never run" for stage in self.stages)

    def option(self, name: str) -> str:
        """The value of an option in the latest stage that has it."""
        known = [value for stage in self.stages if (value := stage.option(name)) is not None]
        return str(known[-1]) if known else "unknown"

    def left_out(self) -> list[LeftOut]:
        """What did not go on, and why."""
        reasons = self.evaluation.left_out if self.evaluation else {}
        versions = [LeftOut("09", f"version {version}", 1, why) for version, why in reasons.items()]
        return [*self.results.left_out(self.stages), *versions]


def read_run(workspace: Path, logs: Path) -> Run:
    """Read the records and results of a workspace.

    Args:
        workspace: of the run.
        logs: folder with one folder of logs per script.
    """
    evaluation, problem = read_evaluation(workspace)
    stages = read_stages(workspace, logs)
    judge(stages, workspace)
    problems = [problem] if problem else []
    return Run(workspace, logs, list(stages.values()), Results(workspace), evaluation, problems)


def page(run: Run, written: str) -> str:
    """The page as text.

    Args:
        run: what to report.
        written: when, as the page shows it.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "facts": facts}
    best = run.evaluation.best if run.evaluation else None
    text = environment.get_template("report.html").render(
        run=run,
        title=f"Seven dials: {run.workspace.name}",
        written=written,
        best=best,
        hero=pictures.hero(run.workspace, best),
        funnel=run.results.funnel(),
        figures=partial(pictures.figures_of, run.workspace),
        film=partial(pictures.film, run.workspace),
        training=partial(_training, run),
        levels=LEVEL_NAMES,
        properties=PROPERTY_NAMES,
        beside=[training_panels(log) for log in run.results.trainings_beside(run.logs)],
        left_out=run.left_out(),
        versions=_versions(run.stages),
    )
    return text.strip() + "\n"


def duration(seconds: float | None) -> str:
    """Seconds in a form that is read at a glance."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def facts(stage: StageStatus) -> list[tuple[str, str]]:
    """Time, device, counts and numbers of a stage, each with its name."""
    account, found = stage.account, []
    if "seconds" in account:
        on = f" on {account['device']}" if account.get("device", "none") != "none" else ""
        found.append(("time", f"{duration(account['seconds'])}{on}"))
    for unit, parts in account.get("counts", {}).items():
        found.append((unit, ", ".join(f"{count:,} {name}" for name, count in parts.items())))
    attempts = [one.get("how", "not ended") for one in account.get("attempts", ())]
    if len(attempts) > 1 or attempts[-1:] not in ([], ["complete"]):
        found.append(("attempts", ", ".join(attempts)))
    if "peak_memory_mib" in account:
        found.append(("memory", f"{account['peak_memory_mib']:,.0f} MiB at most"))
    return found + list(account.get("numbers", {}).items())


def _training(run: Run, title: str, relative: str) -> Panels | None:
    log = run.results.training(title, relative)
    return training_panels(log) if log else None


def _versions(stages: Sequence[StageStatus]) -> str:
    """The packages of all scripts; where they ran with several versions of one, all of them."""
    found: dict[str, dict[str, None]] = {}
    for stage in stages:
        for name, version in stage.account.get("versions", {}).items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found.items()) or "unknown"
