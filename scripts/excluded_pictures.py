"""Pictures that a person rules out, whatever the networks say: names in a file, or what lies in a folder."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.face_pictures import PICTURE_SUFFIXES
from scripts.pipeline import Input, Stage, UserError, files, tables

if TYPE_CHECKING:
    import pandas as pd

NAME_COLUMNS = ("img_name", "img_path", "img_no")


def inputs(sources: Sequence[Path]) -> tuple[Input, ...]:
    """What `--exclude` names, as inputs of a stage: another content is another result."""
    note = "--exclude names it: a file with one picture name per line, a CSV, or a folder of pictures."
    return tuple(Input(source.resolve().as_posix(), note=note) for source in sources)


def find_excluded(stage: Stage, candidates: pd.DataFrame, sources: Sequence[Path]) -> dict[int, str]:
    """Candidates that the sources rule out.

    Args:
        candidates: columns `img_no` and `img_path`.
        sources: text files with one name per line; CSVs with a column `img_name`, `img_path` or `img_no`;
            folders whose pictures are candidates, by place or as copies of the same name.

    Returns:
        img_no -> the source that names it.

    Raises:
        UserError: a source cannot be read, names no candidate, or has another picture of the same name.
    """
    numbers = {
        Path(path).name: n for n, path in zip(candidates["img_no"], candidates["img_path"], strict=True)
    }
    paths = dict(zip(candidates["img_no"], candidates["img_path"], strict=True))
    excluded: dict[int, str] = {}
    for source in sources:
        names = _names_in_folder(source) if source.is_dir() else _names_in_file(source, paths)
        found = {numbers[name]: str(source) for name in names if name in numbers}
        if not found:
            raise UserError(
                f"--exclude {source} names none of the {len(numbers)} candidates, so it would exclude nobody "
                "without a word. Names look like 000123.jpg; is it the list of another run?"
            )
        if source.is_dir():
            _check_same_pictures(stage, source, {n: paths[n] for n in found})
        excluded |= found
    return excluded


def _names_in_folder(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES}


def _names_in_file(source: Path, paths: dict[int, str]) -> set[str]:
    """File names in a CSV's name column, or one per line."""
    if source.suffix.lower() != ".csv":
        try:
            lines = files.read_text(source).splitlines()
        except files.TextFileError as error:
            raise UserError(
                f"--exclude {source} is no UTF-8 text ({error}), so no names can be read from it. "
                "Give a file with one picture name per line, a CSV, or a folder."
            ) from error
        return {Path(line.strip()).name for line in lines if line.strip()}
    table = tables.read_csv(source)
    column = next((name for name in NAME_COLUMNS if name in table.columns), None)
    if column is None:
        raise UserError(
            f"--exclude {source} has none of the columns {', '.join(NAME_COLUMNS)}, so it does not say which "
            "pictures it means. Name the column, or give one picture name per line in a .txt file."
        )
    if column == "img_no":
        return {Path(paths[n]).name for n in table[column] if n in paths}
    return {Path(str(name)).name for name in table[column].dropna()}


def _check_same_pictures(stage: Stage, folder: Path, found: dict[int, str]) -> None:
    """A picture of another run with the same number must not rule out a candidate."""
    for path in found.values():
        if not filecmp.cmp(stage.workspace / path, folder / Path(path).name, shallow=False):
            raise UserError(
                f"--exclude {folder}: {Path(path).name} is not the candidate of that name, so the folder "
                "belongs to another run and would exclude the wrong people. Copy pictures of this run there, "
                "or list the names in a text file."
            )
