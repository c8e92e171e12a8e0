"""A CSV that grows by one row per finished item, so that a killed run goes on where it was."""

from __future__ import annotations

import csv
import io
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from scripts.pipeline.errors import UserError
from scripts.pipeline.tables import parse_csv

if TYPE_CHECKING:
    import pandas as pd

SYNC_INTERVAL_S = 1.0
CHECKSUM = "crc32"


class JournalRows(MutableMapping[Any, "dict[str, str]"]):
    """Key -> row as text. Kept as lines of the file, which take a fraction of the memory of dictionaries."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._lines: dict[Any, bytes] = {}

    def __getitem__(self, key: Any) -> dict[str, str]:
        fields = next(csv.reader([self._lines[key].decode("utf-8")]))
        return dict(zip(self._columns, fields, strict=True))

    def __setitem__(self, key: Any, row: Mapping[str, str]) -> None:
        self._lines[key] = _to_line([row[name] for name in self._columns])

    def __delitem__(self, key: Any) -> None:
        del self._lines[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, key: object) -> bool:
        return key in self._lines

    def table(self) -> pd.DataFrame:
        """All rows, with numbers as numbers and empty fields as NaN, sorted by key."""
        lines = (self._lines[key] for key in sorted(self._lines))
        return parse_csv(b"".join((_to_line(self._columns), *lines)).decode("utf-8"))


class Journal:
    """Rows of finished items. Used as a context manager.

    A row is appended after the files of its item are in place, flushed at once and synced to the disk at
    least once a second and at the end. A half-written last row is cut off when the file is opened again.

    Args:
        path: the journal file; made if there is none.
        columns: names of the columns, the key among them.
        key: column that identifies an item.
        key_type: type of the key: ``int`` for ``img_no``, ``str`` otherwise, unless given.
        check_stop: called after each append; raises to end the loop.
        checked: each row ends with its checksum, so that a run goes on from no row that was damaged. Without
            it the file is a plain table for people.

    Attributes:
        rows: finished items, those of earlier runs included.
        taken_over: how many of them earlier runs had finished.

    Raises:
        UserError: the file has other columns than this version of the script writes.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        key: str = "img_no",
        key_type: Callable[[str], Any] | None = None,
        check_stop: Callable[[], None] = lambda: None,
        checked: bool = False,
    ) -> None:
        if key not in columns:
            raise ValueError(f"the key column {key!r} is not among the columns {list(columns)}")
        self.path = path
        self.columns = tuple(columns)
        self.key = key
        self.key_type = key_type or (int if key == "img_no" else str)
        self.rows = JournalRows(self.columns)
        self.taken_over = 0
        self._check_stop = check_stop
        self._checked = checked
        self._file: io.BufferedWriter | None = None
        self._synced_at = 0.0

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        good_bytes = self.read() if self.path.exists() else 0
        self._file = self.path.open("r+b" if self.path.exists() else "w+b")
        self._file.truncate(good_bytes)
        self._file.seek(good_bytes)
        self.taken_over = len(self.rows)
        if good_bytes == 0:
            self._write([*self.columns, CHECKSUM] if self._checked else self.columns)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.flush()
                os.fsync(file.fileno())
            finally:
                file.close()

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
        # One row is one line: a line break inside a value would defeat the search for a half-written row.
        texts = {name: " ".join(_to_text(row[name]).splitlines()) for name in self.columns}
        key = self.key_type(texts[self.key])
        if key in self.rows:
            raise ValueError(f"{self.key} {key} is in the journal already")
        fields = [texts[name] for name in self.columns]
        self._write([*fields, checksum(fields)] if self._checked else fields)
        self.rows[key] = texts
        self._check_stop()

    def frame(self) -> pd.DataFrame:
        """All rows, with numbers as numbers and empty fields as NaN, sorted by key."""
        return self.rows.table()

    def read(self) -> int:
        """Fill ``rows`` from the file; returns the number of bytes up to the last whole row."""
        data = self.path.read_bytes()
        lines = data.splitlines(keepends=True)
        if not lines or not lines[0].endswith(b"\n"):
            return 0
        header = tuple(next(csv.reader([lines[0].decode("utf-8", "replace")])))
        if header != (*self.columns, *((CHECKSUM,) if self._checked else ())):
            raise UserError(
                f"{self.path} has the columns {list(header)}, this version of the script writes "
                f"{list(self.columns)}, so the earlier run cannot be continued. Start over with --force."
            )
        good_bytes = len(lines[0])
        for line in lines[1:]:
            row = self._parse(line)
            if row is None:
                break
            self.rows[self.key_type(row[self.key])] = row
            good_bytes += len(line)
        return good_bytes

    def _parse(self, line: bytes) -> dict[str, str] | None:
        """A row, or None for a line that a crash left half-written, or that was damaged."""
        if not line.endswith(b"\n"):
            return None
        try:
            fields = next(csv.reader([line.decode("utf-8")], strict=True))
            if self._checked and fields.pop() != checksum(fields):
                return None
            row = dict(zip(self.columns, fields, strict=True))
            self.key_type(row[self.key])
        except (ValueError, LookupError, csv.Error):
            return None
        return row

    def _write(self, fields: Sequence[str]) -> None:
        if self._file is None:
            raise ValueError("the journal is not open; use it in a with statement")
        self._file.write(_to_line(fields))
        self._file.flush()
        if time.monotonic() - self._synced_at >= SYNC_INTERVAL_S:
            os.fsync(self._file.fileno())
            self._synced_at = time.monotonic()


def _to_line(fields: Sequence[str]) -> bytes:
    """A line of the file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(fields)
    return buffer.getvalue().encode("utf-8")


def checksum(fields: Sequence[str]) -> str:
    """CRC-32 of a row, 8 hexadecimal digits."""
    return f"{zlib.crc32(chr(0).join(fields).encode('utf-8')):08x}"


def _to_text(value: Any) -> str:
    """Text of a value; floats in the shortest form that reads back exactly, None as an empty field."""
    if value is None:
        return ""
    if hasattr(value, "item"):
        value = value.item()
    return repr(value) if isinstance(value, float) else str(value)
