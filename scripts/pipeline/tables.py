"""Checked tables: UTF-8, no index column, POSIX relative paths, sorted and joined by ``img_no`` alone."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from scripts.pipeline.errors import UserError
from scripts.pipeline.files import atomic_path, read_text

if TYPE_CHECKING:
    import pandas as pd

KEY = "img_no"
PATH_ENDING = "_path"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\n', re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"\d,\d")


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
        frame = parse_csv(read_text(path))
        if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus fields for row names
            raise pd.errors.ParserError("rows have more fields than there are columns")
    except (OSError, ValueError) as error:  # all errors of pandas are ValueErrors
        raise UserError(f"{path} is not a readable UTF-8 CSV: {error}. {mend}".strip()) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(frame.columns)}. "
            f"It was changed or made by another version. {mend}".strip()
        )
    _check_paths(frame, path, mend)
    if KEY not in frame.columns:
        return frame
    if len(frame) and not pd.api.types.is_integer_dtype(frame[KEY]):
        raise UserError(f"{path} has a row whose {KEY} is no whole number. {mend}".strip())
    _check_unique(frame, str(path), mend)
    return frame.sort_values(KEY, ignore_index=True)


def parse_csv(text: str) -> pd.DataFrame:
    """Parse a table as the writers here spell it: numbers exact, only empty fields and ``nan`` missing.

    What spreadsheets make of one is read too: a first line ``sep=;``, semicolons or tabs in place of commas,
    and then decimal commas.
    """
    import pandas as pd

    separator = ","
    if named := SEPARATOR_LINE.match(text):
        separator, text = named[1], text[named.end() :]
    elif "," not in (header := text.partition("\n")[0]):
        separator = next((other for other in ";\t" if other in header), ",")
    decimal = "," if separator != "," and DECIMAL_COMMA.search(text) else "."

    # Pandas 3.1 made the exact parser its default and deprecated asking for it.
    asks = (
        {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    )
    return pd.read_csv(
        io.StringIO(text),
        keep_default_na=False,
        na_values=["", "nan"],
        sep=separator,
        decimal=decimal,
        **asks,
    )


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically, sorted by ``img_no`` if it has that column.

    Texts that a spreadsheet would run as a formula get an apostrophe in front: names of files are foreign.

    Raises:
        ValueError: a column named ``*_path`` holds an absolute path or a backslash.
    """
    for name in frame.columns:
        if str(name).endswith(PATH_ENDING):
            for text in frame[name].dropna():
                if not is_inside(text):
                    raise ValueError(f"{name} must be a POSIX path relative to the workspace, not {text!r}")
    ordered = frame.sort_values(KEY, ignore_index=True) if KEY in frame.columns else frame
    for name in ordered.columns:
        if any(map(_is_formula, ordered[name])):
            texts = [f"'{value}" if _is_formula(value) else value for value in ordered[name]]
            ordered = ordered.assign(**{str(name): texts})
    with atomic_path(path) as temporary:
        ordered.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")


def _is_formula(value: object) -> bool:
    return isinstance(value, str) and value.startswith(FORMULA_STARTS)


def _check_paths(frame: pd.DataFrame, path: Path, mend: str) -> None:
    """A table may only name files below the folder that its paths start from."""
    for name in frame.columns:
        if not str(name).endswith(PATH_ENDING):
            continue
        for text in frame[name].dropna().unique():
            if not isinstance(text, str) or not is_inside(text):
                raise UserError(
                    f"{path} names {str(text)[:80]!r} as {name}, which is no path inside its folder, and "
                    f"files elsewhere are none of its business. {mend}".strip()
                )


def is_inside(relative: str) -> bool:
    """True for a POSIX path without a way up: a table's paths must not lead out of the workspace."""
    parts = PurePosixPath(relative).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and "\\" not in relative


def _check_unique(frame: pd.DataFrame, name: str, mend: str) -> None:
    repeated = frame.loc[frame[KEY].duplicated(), KEY]
    if len(repeated):
        raise UserError(f"{name} has {KEY} {repeated.iloc[0]} more than once. {mend}".strip())
