"""Tables between scripts: UTF-8 CSV without an index column, sorted and joined by ``img_no``."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.pipeline.errors import UserError
from scripts.pipeline.files import read_text

if TYPE_CHECKING:
    import pandas as pd

KEY = "img_no"
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

    def fail(what: object) -> UserError:
        return UserError(f"{path} {what}. {mend}".strip())

    try:
        frame = parse_csv(read_text(path))
        if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus fields for row names
            raise pd.errors.ParserError("rows have more fields than there are columns")
    except (OSError, ValueError) as error:  # all errors of pandas are ValueErrors
        raise fail(f"is not a readable UTF-8 CSV: {error}") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise fail(f"has no column {', '.join(map(repr, missing))}; it has {', '.join(frame.columns)}")
    if KEY not in frame.columns:
        return frame
    if len(frame) and not pd.api.types.is_integer_dtype(frame[KEY]):
        raise fail(f"has a row whose {KEY} is no whole number")
    repeated = frame.loc[frame[KEY].duplicated(), KEY]
    if len(repeated):
        raise fail(f"has {KEY} {repeated.iloc[0]} more than once")
    return frame.sort_values(KEY, ignore_index=True)


def parse_csv(text: str) -> pd.DataFrame:
    """Parse a table: numbers exact, only empty fields and ``nan`` missing.

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
    is_exact = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    exact = {} if is_exact else {"float_precision": "round_trip"}
    reading = {"keep_default_na": False, "na_values": ["", "nan"], "sep": separator, "decimal": decimal}
    return pd.read_csv(io.StringIO(text), **reading, **exact)
