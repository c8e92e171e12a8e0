"""The results of stage 09, checked: values against goals, and the best version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.pipeline import files
from scripts.stages.evaluating.goals import LEFT_OUT, Cell, Goal, cell, goal_rows
from scripts.stages.workspace import EVALUATION

VERSIONS = ("v1", "v2", "v3")  # those that may be the best: trained by our own recipes


@dataclass(frozen=True)
class Row:
    """A goal, the properties that it has a value for ("": one value), and their cells for each version."""

    goal: Goal
    names: tuple[str, ...]
    cells: Mapping[str, tuple[Cell, ...]]

    def worst(self, version: str) -> Cell | None:
        """The cell of the property that is farthest from the goal; None if nothing was measured."""
        cells = self.cells[version]
        known = [(self._distance(found.value), found) for found in cells if found.value is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None

    def _distance(self, value: float) -> float:
        low, high = self.goal.low, self.goal.high
        if low is not None and high is not None:
            return abs(value - (low + high) / 2)
        return -value if low is not None else value

    @property
    def is_judged(self) -> bool:
        """True if there is a goal, and a version has a value that it is compared with, or no judge for it."""
        has_goal = bool(self.goal.text())
        return has_goal and any(self.reached(v) or not self.cells[v][0].judged for v in self.cells)

    def reached(self, version: str) -> tuple[int, int] | None:
        """How many of the properties reach the goal, and of how many; None: there is no goal."""
        judged = [found.reached for found in self.cells[version] if found.reached is not None]
        measured = any(found.value is not None for found in self.cells[version])
        return (sum(judged), len(judged)) if judged and measured else None


@dataclass(frozen=True)
class Evaluation:
    """What 09 measured.

    Attributes:
        results: version -> its entry.
        rows: goals with values.
        best: the trained version that reaches the largest share of the goals; the first of equals. None:
            none was evaluated.
        left_out: version that could not be evaluated -> reason.
    """

    results: Mapping[str, Mapping[str, Any]]
    rows: tuple[Row, ...]
    best: str | None
    left_out: Mapping[str, str]

    def row(self, key: str) -> Row | None:
        """The row of a measure."""
        return next((row for row in self.rows if row.goal.key == key), None)

    def share(self, version: str) -> float:
        """Share of the goals of generated pictures that a version reaches."""
        found = [row.reached(version) for row in self.rows if not row.goal.section]
        counts = [count for count in found if count is not None]
        return sum(done for done, _ in counts) / max(1, sum(total for _, total in counts))


def read_evaluation(workspace: Path) -> tuple[Evaluation | None, str]:
    """The results, or None with the reason why there are none (empty: 09 has not ended)."""
    path = workspace / EVALUATION
    if not path.is_file():
        return None, ""
    try:
        results = files.read_json(path)
        left_out = results.pop(LEFT_OUT, {})
        if not results:
            raise ValueError("it holds no versions")
        rows = _rows(results)
        best = max(
            (version for version in VERSIONS if version in results),
            key=Evaluation(results, rows, None, left_out).share,
            default=None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{EVALUATION} is not what 09_evaluate writes ({type(error).__name__}: {error})."
    return Evaluation(results, rows, best, left_out), ""


def _rows(results: Mapping[str, Mapping[str, Any]]) -> tuple[Row, ...]:
    names: dict[Goal, list[str]] = {}
    for goal, name in goal_rows(list(results.values())):
        names.setdefault(goal, []).append(name)
    base = results.get("base")
    return tuple(
        Row(
            goal,
            tuple(found),
            {
                version: tuple(cell(goal, name, entry, base) for name in found)
                for version, entry in results.items()
            },
        )
        for goal, found in names.items()
    )
