"""Checked tables: UTF-8, no index column, POSIX relative paths, sorted and joined by ``img_no`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from scripts.pipeline.errors import UserError
from scripts.pipeline.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

KEY = "img_no"
EXAMPLE_COUNT = 3


def read_csv(path: Path, columns: Sequence[str] = (), mend: str = "") -> pd.DataFrame:
    """Read a table and check it.

    Args:
        path: the CSV file.
        columns: columns that must be there; others may be.
        mend: what to do if it is wrong, added to the message.

    Returns:
        The table, sorted by ``img_no`` if it has that column; empty fields are NaN.

    Raises:
        UserError: not a table, a column is missing, or an ``img_no`` is no whole number or occurs twice.
    """
    import pandas as pd

    try:
        frame = parse_csv(path)
        if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus fields for row names
            raise pd.errors.ParserError("rows have more fields than there are columns")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a readable UTF-8 CSV: {error}. {mend}".strip()) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(frame.columns)}. "
            f"It was changed or made by another version. {mend}".strip()
        )
    if KEY not in frame.columns:
        return frame
    if len(frame) and not pd.api.types.is_integer_dtype(frame[KEY]):
        raise UserError(f"{path} has a row whose {KEY} is no whole number. {mend}".strip())
    _check_unique(frame, str(path), mend)
    return frame.sort_values(KEY, ignore_index=True)


def parse_csv(source: Path | IO[bytes]) -> pd.DataFrame:
    """Parse a table as the writers here spell it: numbers exact, only empty fields and ``nan`` missing."""
    import pandas as pd

    # Pandas 3.1 made the exact parser its default and deprecated asking for it.
    asks = (
        {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    )
    return pd.read_csv(source, encoding="utf-8", keep_default_na=False, na_values=["", "nan"], **asks)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically, sorted by ``img_no`` if it has that column.

    Raises:
        ValueError: a column named ``*_path`` holds an absolute path or a backslash.
    """
    for name in frame.columns:
        if str(name).endswith("_path"):
            for text in frame[name].dropna():
                if PurePosixPath(text).is_absolute() or "\\" in text:
                    raise ValueError(f"{name} must be a POSIX path relative to the workspace, not {text!r}")
    ordered = frame.sort_values(KEY, ignore_index=True) if KEY in frame.columns else frame
    with atomic_path(path) as temporary:
        ordered.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")


def _check_unique(frame: pd.DataFrame, name: str, mend: str) -> None:
    repeated = frame.loc[frame[KEY].duplicated(), KEY]
    if len(repeated):
        raise UserError(f"{name} has {KEY} {repeated.iloc[0]} more than once. {mend}".strip())
