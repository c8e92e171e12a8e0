"""What the tables of a workspace say: how many pictures went on, what was left out and why, scores, logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.pages.status import StageStatus
from scripts.pipeline import UserError, tables
from scripts.stages.workspace import CANDIDATES, FACES, FILTER_TABLE, RAW_SCORES, SCORES
from segmentation.property_table import PROPERTY_NAMES

STEPS = (  # what the rows of a table count that have this value (None: any)
    ("candidates drawn", CANDIDATES, "img_no", None),
    ("kept by the filter", FILTER_TABLE, "kept", 1),
    ("faces parsed", FACES, "status", "ok"),
    ("with all seven scores", SCORES, "valid", True),
)
MOST_REASONS = 12
# Trainings that are no numbered script.
BESIDE = (
    ("base generator", "base_generator/train_log.csv"),
    ("face parser", "{logs}/train_parser/train_log.csv"),
    ("oracle", "{logs}/train_oracle/train_log.csv"),
)
NOT_CURVES = {"step", "epoch", "attempt", "fold", "learning_rate", "phase", "kind", "seconds"}


@dataclass(frozen=True)
class LeftOut:
    """Pictures, or versions, that did not go on: the stage, what, how many, and why."""

    stage: str
    what: str
    count: int
    why: str


@dataclass(frozen=True)
class TrainingLog:
    """The log of a training.

    Attributes:
        title: which training.
        x_name: what the rows count, step or epoch.
        curves: measure -> lines of steps and values, one per fold where there are folds.
    """

    title: str
    x_name: str
    curves: dict[str, list[tuple[list[float], list[float]]]]


class Results:
    """Reads the tables of a workspace; what cannot be read is noted in `problems` and counts as absent."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.problems: list[str] = []

    def table(self, relative: str, *columns: str) -> pd.DataFrame | None:
        """A table with these columns, or None."""
        if not (self.workspace / relative).is_file():
            return None
        try:
            return tables.read_csv(self.workspace / relative, columns)
        except (UserError, OSError) as error:
            problem = str(error).replace(str(self.workspace / relative), relative)
            if problem not in self.problems:
                self.problems.append(problem)
            return None

    def funnel(self) -> dict[str, int]:
        """How many pictures each of the first stages handed on."""
        found = {}
        for step, relative, column, value in STEPS:
            if (table := self.table(relative, column)) is not None:
                found[step] = len(table) if value is None else int(table[column].eq(value).sum())
        return found

    def left_out(self, stages: Sequence[StageStatus]) -> list[LeftOut]:
        """What did not go on, and why, in the order of the stages."""
        found = [*self._rejected(stages), *self._by_reason(FACES, "03", "pictures without a usable face")]
        found += [*self._by_reason(RAW_SCORES, "04", "faces without scores"), *self._unmeasurable()]
        for stage in stages:
            has_rows = any(row.stage == stage.number for row in found)
            for unit, parts in stage.account.get("counts", {}).items():
                failed = parts.get("failed", 0)
                if failed and not has_rows:
                    found.append(LeftOut(stage.number, unit, failed, "failed; see the log of the script"))
        return found

    def _rejected(self, stages: Sequence[StageStatus]) -> Iterator[LeftOut]:
        """Candidates that the filter did not keep: by status, and by the threshold that they miss."""
        table = self.table(FILTER_TABLE, "kept", "status", "reason", "gender", "quality")
        if table is None:
            return
        option = next(stage for stage in stages if stage.number == "02").option
        keep, limits = option("keep"), (option("gender_threshold"), option("quality_threshold"))
        judged = table[(table["kept"] != 1) & (table["status"] == "ok")]
        yield from _grouped(table[table["status"] != "ok"], "02", "candidates")
        if not all(isinstance(limit, (int, float)) for limit in limits):
            if len(judged):
                yield LeftOut("02", "candidates", len(judged), "below a threshold")
            return
        gender, quality = (_numbers(judged[name]) for name in ("gender", "quality"))
        probability = 1 - gender if keep == "men" else gender
        wrong = (probability < limits[0]) & (keep != "all")
        poor = quality < limits[1]
        who = {"men": "a man", "women": "a woman"}.get(str(keep), "")
        for count, why in (
            (int((wrong & ~poor).sum()), f"not {who} with probability {limits[0]:g}"),
            (int((poor & ~wrong).sum()), f"not of good quality with probability {limits[1]:g}"),
            (int((wrong & poor).sum()), f"neither {who.removeprefix('a ')} nor of good quality"),
        ):
            if count:
                yield LeftOut("02", "candidates", count, why)

    def _by_reason(self, relative: str, stage: str, what: str) -> Iterator[LeftOut]:
        table = self.table(relative, "status", "reason")
        if table is not None:
            yield from _grouped(table[table["status"] != "ok"], stage, what)

    def _unmeasurable(self) -> Iterator[LeftOut]:
        table = self.table(RAW_SCORES, "status", *(f"{name}_valid_v3" for name in PROPERTY_NAMES))
        if table is None:
            return
        usable = table[table["status"] == "ok"]
        for name in PROPERTY_NAMES:
            count = int((usable[f"{name}_valid_v3"].astype(str) == "False").sum())
            if count:
                yield LeftOut("04", "faces that are no training label", count, f"{name} cannot be measured")

    def trainings_beside(self, logs: Path) -> list[TrainingLog]:
        """The logs of the trainings that are no numbered script.

        Args:
            logs: folder with one folder of logs per script.
        """
        paths = [(title, path.format(logs=logs)) for title, path in BESIDE]
        regressions = sorted(self.workspace.glob("cnn/log/epoch_detail_property_*.csv"))
        found = (self.training(*one) for one in [*paths, *((path.stem, str(path)) for path in regressions)])
        return [log for log in found if log is not None]

    def training(self, title: str, relative: str) -> TrainingLog | None:
        """The log of a training; None if there is none."""
        table = self.table(relative)
        return None if table is None or not len(table) else training_log(title, table)


def training_log(title: str, table: pd.DataFrame) -> TrainingLog:
    """The curves of a log: columns of numbers over the step, or over the epochs of each fold."""
    has_folds = "fold" in table.columns
    parts = [part for _, part in table.groupby("fold")] if has_folds else [table]
    curves: dict[str, list[tuple[list[float], list[float]]]] = {}
    for part in parts:
        steps = _numbers(part["step"]) if "step" in part.columns else None
        for name in part.columns:
            values = _numbers(part[name])
            if name in NOT_CURVES or not values.notna().any():
                continue
            # The epochs of all attempts of a fold stand one after the other.
            xs = list(range(1, len(part) + 1)) if steps is None else steps.tolist()
            curves.setdefault(name, []).append((xs, values.tolist()))
    return TrainingLog(title, "epoch" if has_folds else "step", curves)


def _numbers(column: pd.Series) -> pd.Series:
    """A column as numbers; what is none is NaN."""
    return pd.to_numeric(column, errors="coerce").astype(float)


def _grouped(rows: pd.DataFrame, stage: str, what: str) -> Iterator[LeftOut]:
    """Rows counted by status and reason; beyond a dozen reasons the rest is summed up."""
    if not len(rows):
        return
    texts = rows["status"].astype(str).str.cat(rows["reason"].fillna("").astype(str), sep=": ")
    counts = texts.str.removesuffix(": ").value_counts()
    for why, count in counts[:MOST_REASONS].items():
        yield LeftOut(stage, what, int(count), str(why))
    if len(counts) > MOST_REASONS:
        rest = counts[MOST_REASONS:]
        yield LeftOut(stage, what, int(rest.sum()), f"{len(rest)} further reasons")
