"""A CSV that grows by one row per finished item, so that a killed run goes on where it was."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from scripts.pipeline.errors import UserError
from scripts.pipeline.tables import parse_csv

if TYPE_CHECKING:
    import pandas as pd

SYNC_INTERVAL_S = 1.0


class Journal:
    """Rows of finished items. Used as a context manager.

    A row is appended after the files of its item are in place, flushed at once and synced to the disk at
    least once a second and at the end. A half-written last row is cut off when the file is opened again.

    Args:
        path: the journal file; made if there is none.
        columns: names of the columns, the key among them.
        key: column that identifies an item; ``img_no`` is a number.
        check_stop: called after each append; raises to end the loop.

    Attributes:
        rows: finished items, those of earlier runs included: key -> column -> text.
        taken_over: how many of them earlier runs had finished.

    Raises:
        UserError: the file is damaged or has other columns than this version of the script writes.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        key: str = "img_no",
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.columns = tuple(columns)
        self.key = key
        self.key_type: Callable[[str], Any] = int if key == "img_no" else str
        self.rows: dict[Any, dict[str, str]] = {}
        self.taken_over = 0
        self._check_stop = check_stop
        self._file: TextIO | None = None
        self._synced_at = 0.0

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole_bytes = self.read()
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self._file.truncate(whole_bytes)
        self.taken_over = len(self.rows)
        if whole_bytes == 0:
            self._write(self.columns)
        return self

    def __exit__(self, *error: object) -> None:
        with self._open_file() as file:
            self._file = None
            file.flush()
            os.fsync(file.fileno())

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def append(self, row: Mapping[str, Any]) -> None:
        """Record a finished item.

        Raises:
            ValueError: the row's names are not the columns, or the item is there already.
            Interrupted: a stop was asked for; the row is on disk.
        """
        if set(row) != set(self.columns):
            raise ValueError(f"row has {sorted(row)}, the journal's columns are {sorted(self.columns)}")
        texts = {name: _to_text(row[name]) for name in self.columns}
        key = self.key_type(texts[self.key])
        if key in self.rows:
            raise ValueError(f"{self.key} {key} is in the journal already")
        self._write(texts.values())
        self.rows[key] = texts
        self._check_stop()

    def frame(self) -> pd.DataFrame:
        """All rows, with numbers as numbers and empty fields as NaN, sorted by key."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows[key] for key in sorted(self.rows))
        return parse_csv(text.getvalue())

    def read(self) -> int:
        """Fill ``rows`` from the file; returns the number of bytes up to the last whole row."""
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        try:
            header, *lines = csv.reader(whole.decode("utf-8").split("\n")[:-1]) if whole else [self.columns]
            rows = [dict(zip(header, fields, strict=True)) for fields in lines]
            if tuple(header) == self.columns:
                self.rows = {self.key_type(row[self.key]): row for row in rows}
                return len(whole)
        except (ValueError, csv.Error) as error:
            raise UserError(f"{self.path} is damaged ({error}). Start over with --force.") from error
        raise UserError(
            f"{self.path} has the columns {header}, this version of the script writes "
            f"{list(self.columns)}, so the earlier run cannot be continued. Start over with --force."
        )

    def _open_file(self) -> TextIO:
        if self._file is None:
            raise ValueError(f"the journal {self.path} is not open")
        return self._file

    def _write(self, fields: Iterable[str]) -> None:
        file = self._open_file()
        csv.writer(file, lineterminator="\n").writerow(fields)
        file.flush()
        if time.monotonic() - self._synced_at >= SYNC_INTERVAL_S:
            os.fsync(file.fileno())
            self._synced_at = time.monotonic()


def _to_text(value: Any) -> str:
    """Text of a value in one line; floats in the shortest exact form, None as an empty field."""
    if value is None:
        return ""
    if hasattr(value, "item"):
        value = value.item()
    return repr(value) if isinstance(value, float) else " ".join(str(value).splitlines())
