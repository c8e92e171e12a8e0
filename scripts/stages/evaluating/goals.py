"""The goals of stage 09, and the tables of all versions that say what is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

LEFT_OUT = "left_out"  # key of the results beside the versions: version that is left out -> reason
MAE_GOAL = 0.25
ABOVE_REPEATABILITY = 0.05
EQUAL_SETTINGS = "people_distance_equal_settings"
NO_JUDGE = "no judge"
REAL_PEOPLE_DISTANCE, REAL_PEOPLE_SHARE = 0.80, 0.85  # between faces of omi, by data/photographs' judge


@dataclass(frozen=True)
class Goal:
    """A row, or seven, of the table: `low` and `high` for the best version, `v1_low` and `v1_high` for v1."""

    measure: str  # key in the results
    title: str  # what the table calls it
    low: float | None = None
    high: float | None = None
    v1_low: float | None = None
    v1_high: float | None = None
    percent: bool = False
    section: str = ""  # entry of the results that holds the measure; empty: the results themselves
    judge: str = ""  # what a network must judge, "identity", "gender" or "quality"; empty: nobody is needed
    photographs: tuple[float | None, float | None] | None = None  # `low` and `high` there, if other ones

    @property
    def key(self) -> str:
        """What the CSV calls the measure."""
        return f"{self.section}.{self.measure}" if self.section else self.measure

    def results(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """The part of a version's results that holds the measure; empty: it was not measured."""
        return entry.get(self.section, {}) if self.section else entry

    def bounds(
        self, entry: Mapping[str, Any], base: Mapping[str, Any] | None, name: str
    ) -> tuple[float | None, float | None]:
        """The goal for one version; that of the error and of KID depends on the judge and on the base."""
        if self.key == "mae":
            repeatability = entry["repeatability"][name]
            return None, max(MAE_GOAL, (repeatability or 0.0) + ABOVE_REPEATABILITY)
        if self.measure == "kid":
            return None, base["kid"] if base else None
        if self.measure == EQUAL_SETTINGS:
            return base.get(EQUAL_SETTINGS) if base else None, None
        return self.low, self.high

    def text(self, for_v1: bool = False) -> str:
        """The goal as the table shows it."""
        relative = {
            "mae": f"<= {MAE_GOAL}, or repeatability + {ABOVE_REPEATABILITY}",
            "kid": "<= base",
            EQUAL_SETTINGS: ">= base",
        }
        if not for_v1 and self.measure in relative:
            return relative[self.measure]
        low, high = (self.v1_low, self.v1_high) if for_v1 else (self.low, self.high)
        if low is not None and high is not None:
            return f"{low:g} to {high:g}"
        if low is not None:
            return f">= {self.spell(low)}"
        return f"<= {self.spell(high)}" if high is not None else ""

    def on_photographs(self) -> Goal:
        """The same row where networks that know real faces judge photographs."""
        if self.photographs is None:
            return self
        low, high = self.photographs
        return replace(self, low=low, high=high, photographs=None)

    def has_judge(self, entry: Mapping[str, Any]) -> bool:
        """Whether a network could judge it; results of earlier days name no judges, and had all."""
        judges = entry.get("setting", {}).get("judges")
        return not self.judge or judges is None or judges[self.judge] is not None

    def spell(self, value: float) -> str:
        """A value of this row as text."""
        return f"{100 * value:.4g} %" if self.percent else f"{value:.4g}"


GOALS = (
    Goal("control", "control r", 0.98, v1_low=0.85, photographs=(0.97, None)),
    Goal("pooled", "pooled r", 0.93),
    Goal("slope", "slope", 0.9, 1.1),
    Goal("mae", "mean absolute error, sd"),
    Goal("repeatability", "repeatability of the judge, sd"),
    Goal("leakage", "leakage, sd per sd", high=0.06, v1_high=0.25),
    Goal("control_by_oracle", "control r, read by the oracle", 0.98, v1_low=0.85),
    Goal("pooled_by_oracle", "pooled r, read by the oracle", 0.93),
    Goal("slope_by_oracle", "slope, read by the oracle", 0.9, 1.1),
    Goal("leakage_by_oracle", "leakage, read by the oracle, sd per sd", high=0.06, v1_high=0.25),
    Goal("control_by_landmarks", "control r, read by outside landmarks", 0.9),
    Goal("identity_auc", "identity AUC", 0.995, v1_low=0.93, judge="identity", photographs=(0.97, None)),
    Goal("identity_auc_per_property", "identity AUC", 0.99, judge="identity", photographs=(0.93, None)),
    Goal("identity_verified", "ends of a dial verified as one person", 0.95, percent=True, judge="identity"),
    Goal("identity_distance_per_property", "distance of the ends of a dial", judge="identity"),
    Goal(
        "people_distance",
        "distance between people, settings drawn from the scores",
        judge="identity",
        photographs=(REAL_PEOPLE_SHARE * REAL_PEOPLE_DISTANCE, None),
    ),
    Goal("people_distance_to_kept", "the same over that between kept candidates", 0.95, judge="identity"),
    Goal(EQUAL_SETTINGS, "distance between people, equal settings", judge="identity"),
    Goal("joint_mae", "mean absolute error, all dials drawn, sd", high=0.3),
    Goal("joint_slope", "slope, all dials drawn", 0.9, 1.1),
    Goal("joint_readable", "readable pictures, all dials drawn", percent=True),
    Goal("joint_identity_auc", "identity AUC, all dials drawn", judge="identity"),
    Goal("corner_mae", "mean absolute error, all dials at an end, sd"),
    Goal("corner_slope", "slope, all dials at an end"),
    Goal("corner_readable", "readable pictures, all dials at an end", percent=True),
    Goal("corner_identity_auc", "identity AUC, all dials at an end", judge="identity"),
    Goal("preservation", "preservation", high=0.06, photographs=(None, 0.15)),
    Goal("preservation_equal_settings", "preservation, over people with equal settings"),
    Goal("hue_drift", "hue drift, sd", high=0.1, photographs=(None, 0.15)),
    *(
        Goal(name, title, 0.99, v1_low=0.97, percent=True, judge=judge, photographs=(0.98, None))
        for name, title, judge in (
            ("women", "women", "gender"),
            ("women_in_sweeps", "women in the sweeps", "gender"),
            ("good_quality", "good quality", "quality"),
            ("good_quality_in_sweeps", "good quality in the sweeps", "quality"),
        )
    ),
    Goal("pass", "reference protocol, pass", 0.99, percent=True, photographs=(0.95, None)),
    Goal("pass_strict", "reference protocol, strict pass", 0.95, percent=True, photographs=(0.8, None)),
    Goal("kid", "KID to the filtered set"),
    Goal("diversity", "diversity", 0.9),
    Goal("readable", "readable pictures", percent=True),
    Goal("reconstruction_error", "given pictures: reconstruction error of 255", section="editing"),
    Goal(
        "reconstruction_identity_auc",
        "given pictures: identity AUC, rebuilt",
        0.97,
        section="editing",
        judge="identity",
    ),
    Goal(
        "reconstruction_similarity",
        "given pictures: identity similarity, rebuilt",
        section="editing",
        judge="identity",
    ),
    Goal("own_property_mae", "given pictures: property error, rebuilt, sd", section="editing"),
    Goal("control", "given pictures: control r", section="editing"),
    Goal("slope", "given pictures: slope", section="editing"),
    Goal("leakage", "given pictures: leakage, sd per sd", high=0.1, section="editing"),
    Goal("identity_auc", "given pictures: identity AUC, edited", section="editing", judge="identity"),
    Goal("z_property_r2", "given pictures: R2 of the property from z", high=0.05, section="editing"),
    Goal("z_property_r2_largest", "given pictures: largest R2 from z", high=0.05, section="editing"),
)


@dataclass(frozen=True)
class Cell:
    """One value of one version with its interval, and whether it reaches the goal (None: no goal, or nobody
    who could judge it).
    """

    value: float | None
    low: float | None
    high: float | None
    reached: bool | None
    judged: bool = True


def goal_rows(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Goal, str]]:
    """The rows of a table of these versions: goal and property (empty: the measure has one value)."""
    on_photographs = any(entry.get("setting", {}).get("photographs") for entry in entries)
    for goal in (goal.on_photographs() if on_photographs else goal for goal in GOALS):
        parts = [part for entry in entries if (part := goal.results(entry))]
        if parts:
            value = next((part[goal.measure] for part in parts if part.get(goal.measure) is not None), None)
            yield from ((goal, name) for name in value) if isinstance(value, dict) else ((goal, ""),)


def cell(goal: Goal, name: str, entry: Mapping[str, Any], base: Mapping[str, Any] | None) -> Cell:
    """The value of a row for one version."""

    def pick(value: Any) -> float | None:
        return value.get(name) if isinstance(value, dict) else value

    part = goal.results(entry)
    value = pick(part.get(goal.measure))
    ends = part.get("confidence", {}).get(goal.measure, {"low": None, "high": None})
    low, high = goal.bounds(entry, base, name)
    if not goal.has_judge(entry):
        return Cell(None, None, None, reached=None, judged=False)
    reached = None
    if low is not None or high is not None:
        reached = value is not None and (low is None or value >= low) and (high is None or value <= high)
    return Cell(value, pick(ends["low"]), pick(ends["high"]), reached)


def results_table(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per version, measure and property: value, 95 % interval, goal, and whether it is reached."""
    rows = []
    for version, entry in results.items():
        for goal, name in goal_rows([entry]):
            row = {"version": version, "measure": goal.key, "property": name, "goal": goal.text()}
            rows.append(row | asdict(cell(goal, name, entry, results.get("base"))))
    columns = ["version", "measure", "property", "value", "low", "high", "goal", "reached", "judged"]
    return pd.DataFrame(rows, columns=columns)


def markdown(results: Mapping[str, Mapping[str, Any]], notes: Sequence[str]) -> str:
    """The table of all versions: value and 95 % interval, in bold where the goal is reached."""
    lines = [
        "# Evaluation",
        "",
        "Value [95 % bootstrap interval]; bold: the value reaches the goal of the best version.",
        "",
        f"| | goal | v1 alone | {' | '.join(results)} |",
        f"|---|---|---|{'---|' * len(results)}",
    ]
    for goal, name in goal_rows(list(results.values())):
        title = f"{goal.title}: {name}" if name else goal.title
        cells = [_spell(goal, cell(goal, name, entry, results.get("base"))) for entry in results.values()]
        lines.append(f"| {title} | {goal.text()} | {goal.text(for_v1=True)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def _spell(goal: Goal, found: Cell) -> str:
    if not found.judged:
        return NO_JUDGE
    if found.value is None:
        return "-"
    text = f"**{goal.spell(found.value)}**" if found.reached else goal.spell(found.value)
    if found.low is None or found.high is None:
        return text
    return f"{text} [{goal.spell(found.low)}, {goal.spell(found.high)}]"
