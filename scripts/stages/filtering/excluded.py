"""Pictures that a person rules out, whatever the networks say: names in a file, or what lies in a folder."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from scripts.pipeline import Stage, UserError, files, tables
from scripts.stages.pictures import find_pictures, plain_text, some_of

NAME_COLUMNS = ("img_name", "img_path", "img_no")
# The number of a picture, whatever a program made of its name: 000005.jpg, 5, 000005 (1).png, and the words
# that systems add to a copy in any language: "000005 - Copy.jpg", "000005 copy 2.jpg". Words need the suffix:
# "3 men" is no picture.
NUMBERED = re.compile(
    r"0*([0-9]{1,18})(( ?\([0-9]+\))?(\.[A-Za-z]+)?|( -)? [^\W\d_]+( ?\(?[0-9]+\)?)?\.[A-Za-z]+)"
)


def find_excluded(stage: Stage, candidates: pd.DataFrame, sources: Sequence[Path]) -> dict[int, str]:
    """Candidates that the sources rule out; names that are no candidate's are told.

    Args:
        candidates: columns `img_no` and `img_path`.
        sources: text files with one name per line; CSVs with a column `img_name`, `img_path` or `img_no`;
            folders whose pictures are candidates, by place or as copies of the same name.

    Returns:
        img_no -> the source that names it.

    Raises:
        UserError: a source cannot be read, names no candidate, or has another picture of the same name.
    """
    paths = dict(zip(candidates["img_no"], candidates["img_path"], strict=True))
    numbers = {Path(path).name.casefold(): n for n, path in paths.items()}
    excluded: dict[int, str] = {}
    for source in sources:
        copies = find_pictures(source, deep=False).pictures if source.is_dir() else {}
        names = list(copies) if source.is_dir() else _names_in_file(source)
        found = {name: n for name in names if (n := _number(name, numbers, paths)) is not None}
        if not found:
            raise UserError(
                f"--exclude {source} names none of the {len(paths)} candidates, so it would exclude nobody "
                "without a word. Names look like 000123.jpg; is it the list of another run?"
            )
        if unknown := [plain_text(name) for name in names if name not in found]:
            stage.log(
                f"--exclude {source}: {len(unknown)} of {len(names)} names are no candidate's and exclude "
                f"nobody ({some_of(unknown)})"
            )
        for copy, path in ((copies[name], paths[n]) for name, n in found.items() if name in copies):
            if not filecmp.cmp(stage.workspace / path, copy, shallow=False):
                raise UserError(
                    f"--exclude {source}: {copy.name} is not the candidate of that name, so the folder "
                    "belongs to another run and would exclude the wrong people. Copy pictures of this run "
                    "there, or list the names in a text file."
                )
        excluded |= dict.fromkeys(found.values(), str(source))
    return excluded


def _number(name: str, numbers: Mapping[str, int], known: Collection[int]) -> int | None:
    """The candidate that a name means; None if it means none.

    Args:
        numbers: file name, casefolded -> img_no.
        known: img_nos of all candidates.
    """
    last = re.split(r"[/\\]", name)[-1].strip()
    if last.casefold() in numbers:
        return numbers[last.casefold()]
    match = NUMBERED.fullmatch(last)
    return int(match[1]) if match and int(match[1]) in known else None


def _names_in_file(source: Path) -> list[str]:
    """What stands in a CSV's name column, or one name per line."""
    if source.suffix.lower() != ".csv":
        try:
            lines = files.read_text(source).splitlines()
        except files.TextFileError as error:
            raise UserError(
                f"--exclude {source} is no UTF-8 text ({error}), so no names can be read from it. "
                "Give a file with one picture name per line, a CSV, or a folder."
            ) from error
        return [line.strip() for line in lines if line.strip()]
    table = tables.read_csv(source)
    column = next((name for name in NAME_COLUMNS if name in table.columns), None)
    if column is None:
        raise UserError(
            f"--exclude {source} has none of the columns {', '.join(NAME_COLUMNS)}, so it does not say which "
            "pictures it means. Name the column, or give one picture name per line in a .txt file."
        )
    return [str(name) for name in table[column].dropna()]
