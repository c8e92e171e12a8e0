"""The log of a training: a CSV with a row every so many steps."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.pipeline import files


class StepLog:
    """A CSV of numbers by step. A row with a new column rewrites the file with it.

    Args:
        path: the file.
        columns: that it has at least, ``step`` among them.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ("step",)) -> None:
        self.path, self.columns = path, list(columns)
        self.rows: list[dict[str, str]] = []

    def begin(self, step: int, measured_again: Sequence[str] = ()) -> None:
        """Keep the rows up to a step, but for those at it that have one of the columns measured again there.

        At step 0 the rows of earlier trainings are dropped.
        """
        self.rows = []
        if step and self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    # A full disk or a kill may have left half a row.
                    is_whole = None not in row and None not in row.values() and row.get("step", "").isdigit()
                    if is_whole and int(row["step"]) <= step:
                        is_again = int(row["step"]) == step and any(map(row.get, measured_again))
                        self.rows += [] if is_again else [row]
        self._write()

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; it is on the disk when this returns."""
        self.rows.append({name: str(value) for name, value in row.items()})
        if not set(row) <= set(self.columns):
            self._write()
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            self._writer(file).writerow(self.rows[-1])
            file.flush()
            os.fsync(file.fileno())

    def _write(self) -> None:
        self.columns = list(dict.fromkeys([*self.columns, *(name for row in self.rows for name in row)]))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_path(self.path) as temporary, temporary.open("w", newline="") as file:
            self._writer(file).writeheader()
            self._writer(file).writerows(self.rows)

    def _writer(self, file: Any) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self.columns, restval="", lineterminator="\n")
