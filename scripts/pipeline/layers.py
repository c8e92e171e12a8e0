"""The TOML layers below the command line: base preset < preset < ``--config`` file.

In each of them ``[full.<script>]`` is laid over ``[<script>]`` when ``--quality full`` is given.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.pipeline.errors import UsageError
from scripts.pipeline.files import read_text

REPOSITORY = Path(__file__).resolve().parents[2]
PRESETS = REPOSITORY / "scripts" / "presets"
SCRIPT_FOLDERS = ("scripts", "scripts/bundle")
BASE_KEY = "base"
COMMON_TABLE = "common"
SHARED_TABLES = ("weights",)
FULL_TABLE = "full"
FULL_PREFIX = f"{FULL_TABLE}."


def nearest(name: str, known: Iterable[str]) -> str:
    """Sentence that suggests the known name nearest to an unknown one, or lists all if none is near."""
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {matches[0]!r}?" if matches else f"Known: {', '.join(names) or 'none'}."


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a missing or malformed one is a `UsageError`."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10 has none; pytest brings the same reader under its first name.
        import tomli as tomllib

    try:
        return tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist. Give --config the path of a TOML file.") from None
    except (ValueError, IsADirectoryError, RecursionError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}.") from error


def read_tables(path: Path) -> dict[str, Any]:
    """Read a preset or config file; the tables inside ``full`` join the others as ``full.<script>``."""
    tables = read_toml(path)
    full = tables.pop(FULL_TABLE, {})
    if not isinstance(full, dict):
        raise UsageError(f"{path}: {FULL_TABLE!r} must hold tables: write [{FULL_PREFIX}<script>].")
    return tables | {FULL_PREFIX + name: table for name, table in full.items()}


def read_layers(preset: str, config: Path | None, presets: Path) -> list[tuple[str, Path, dict[str, Any]]]:
    """Read the TOML files that count.

    Returns:
        (origin, file, contents), the weakest first. A preset may name a ``base`` preset, which it refines.

    Raises:
        UsageError: unknown preset, or a file that cannot be read.
    """
    layers = [("config", config, read_tables(config))] if config else []
    seen: set[str] = set()
    while preset:
        known = {path.stem for path in presets.glob("*.toml")} - seen
        if preset not in known:
            raise UsageError(f"There is no preset {preset!r} in {presets}. {nearest(preset, known)}")
        seen.add(preset)
        path = presets / f"{preset}.toml"
        tables = read_tables(path)
        layers.append(("preset", path, tables))
        preset = tables.get(BASE_KEY, "")
    return layers[::-1]


def shared_list(name: str, key: str, preset: str, config: Path | None) -> list[dict[str, Any]]:
    """A list of tables that belongs to no script, such as that of the weights.

    An entry of a preset replaces the one of its base that has the same `key`; a list in ``--config`` replaces
    all of it.
    """
    found: dict[Any, dict[str, Any]] = {}
    for origin, _, tables in read_layers(preset, config, PRESETS):
        if name in tables:
            found = (found if origin == "preset" else {}) | {entry[key]: entry for entry in tables[name]}
    return list(found.values())


def script_path(name: str) -> str:
    """Path of a script, relative to the repository; one that does not exist counts as one of ``scripts``."""
    paths = [f"{folder}/{name}.py" for folder in SCRIPT_FOLDERS]
    return next((path for path in paths if (REPOSITORY / path).is_file()), paths[0])


def known_tables(*more_scripts: str) -> set[str]:
    """Names that `read_tables` may find: scripts, plain and ``full``, shared tables and the base preset."""
    paths = (path for folder in SCRIPT_FOLDERS for path in (REPOSITORY / folder).glob("*.py"))
    scripts = {path.stem for path in paths} - {"__init__"} | {COMMON_TABLE, *more_scripts}
    return scripts | {FULL_PREFIX + script for script in scripts} | {BASE_KEY, FULL_TABLE, *SHARED_TABLES}


def check_tables(path: Path, tables: Mapping[str, Any], name: str) -> None:
    """Raise `UsageError` if a file has a table that no script reads; ``name`` is the running script."""
    known = known_tables(name)
    for table in tables:
        if table not in known:
            is_full = table.startswith(FULL_PREFIX)
            alike = {other for other in known if other.startswith(FULL_PREFIX) == is_full}
            raise UsageError(f"{path}: no script is called {table!r}. {nearest(table, alike)}")


def layer_values(
    path: Path, tables: Mapping[str, Any], table: str, hints: Mapping[str, Any], may_have: Iterable[str]
) -> dict[str, Any]:
    """Values that one table of a file gives.

    Args:
        path: the file, for messages.
        tables: its contents.
        table: name of the table.
        hints: option -> type, of the running script.
        may_have: options that the table may have; those that are not in ``hints`` belong to other scripts.

    Raises:
        UsageError: an unknown option, or a value of another type.
    """
    entries = tables.get(table, {})
    if not isinstance(entries, dict):
        raise UsageError(f"{path}: {table!r} must be a table: write [{table}] on a line of its own.")
    known = set(may_have)
    for key in entries:
        if key not in known:
            raise UsageError(f"{path}: [{table}] has no option {key!r}. {nearest(key, known)}")
    return {
        key: convert(value, hints[key], f"{path}: [{table}] {key}")
        for key, value in entries.items()
        if key in hints
    }


def convert(value: Any, annotation: Any, where: str) -> Any:
    """A TOML value as the type of a dataclass field.

    Raises:
        UsageError: the value is of another type, or not among the choices of a ``Literal``.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        for choice in arguments:
            try:
                return convert(value, choice, where)
            except UsageError:
                continue
    elif origin is typing.Literal:
        if value in arguments:
            return value
        raise UsageError(f"{where} is {value!r}. {nearest(str(value), map(str, arguments))}")
    elif origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(convert(item, arguments[0], where) for item in value)
        if len(arguments) == len(value):
            return tuple(convert(item, kind, where) for item, kind in zip(value, arguments, strict=True))
    elif annotation is Path and isinstance(value, str):
        return Path(value)
    elif annotation is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif annotation in (int, str, bool) and type(value) is annotation:
        return value
    type_name = getattr(annotation, "__name__", str(annotation)) if origin is None else str(annotation)
    raise UsageError(f"{where} is {value!r}, which is not a value of type {type_name}.")
