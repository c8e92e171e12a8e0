"""The TOML files whose tables lie over the defaults of the options: presets and ``--config``.

A preset may name a ``base`` preset, which it refines; the tables inside ``full`` are read as
``full.<script>``.
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
from scripts.pipeline.places import PRESETS, REPOSITORY, SCRIPT_FOLDERS

FULL_PREFIX = "full."
SHARED_TABLES = ("base", "full", "weights")  # names in a file that belong to no script


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
    full = tables.pop("full", {})
    if not isinstance(full, dict):
        raise UsageError(f"{path}: 'full' must hold tables: write [full.<script>].")
    return tables | {FULL_PREFIX + name: table for name, table in full.items()}


def read_layers(preset: str, config: Path | None, presets: Path) -> list[tuple[str, Path, dict[str, Any]]]:
    """(origin, file, contents) of the TOML files that count, the weakest first."""
    layers = [("config", config, read_tables(config))] if config else []
    known = {path.stem for path in presets.glob("*.toml")}
    while preset:
        if preset not in known:
            raise UsageError(f"There is no preset {preset!r} in {presets}. {nearest(preset, known)}")
        known.remove(preset)
        path = presets / f"{preset}.toml"
        layers.append(("preset", path, read_tables(path)))
        preset = layers[-1][2].get("base", "")
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


def known_tables(*more_scripts: str) -> set[str]:
    """Names that `read_tables` may find: scripts, plain and ``full``, and shared tables."""
    paths = (path for folder in SCRIPT_FOLDERS for path in (REPOSITORY / folder).glob("*.py"))
    scripts = {path.stem for path in paths} - {"__init__"} | {"common", *more_scripts}
    return scripts | {FULL_PREFIX + script for script in scripts} | set(SHARED_TABLES)


def check_tables(path: Path, tables: Mapping[str, Any], name: str) -> None:
    """Raise `UsageError` if a file has a table that no script reads; ``name`` is the running script."""
    known = known_tables(name)
    for table in tables:
        if table not in known:
            is_full = table.startswith(FULL_PREFIX)
            alike = {other for other in known if other.startswith(FULL_PREFIX) == is_full}
            raise UsageError(f"{path}: no script is called {table!r}. {nearest(table, alike)}")


def table_values(
    path: Path, tables: Mapping[str, Any], table: str, hints: Mapping[str, Any], known: set[str]
) -> dict[str, Any]:
    """Values of one table; ``known`` are the options that it may have, ``hints`` those of the running script.

    Raises:
        UsageError: an unknown option, or a value of another type.
    """
    entries = tables.get(table, {})
    if not isinstance(entries, dict):
        raise UsageError(f"{path}: {table!r} must be a table: write [{table}] on a line of its own.")
    for key in entries:
        if key not in known:
            raise UsageError(f"{path}: [{table}] has no option {key!r}. {nearest(key, known)}")
    return {
        key: convert(value, hints[key], f"{path}: [{table}] {key}")
        for key, value in entries.items()
        if key in hints
    }


def convert(value: Any, annotation: Any, where: str) -> Any:
    """A TOML value as the type of a dataclass field; one of another type is a `UsageError`."""
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
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(convert(item, kind, where) for item, kind in zip(value, kinds, strict=True))
    elif annotation is Path and isinstance(value, str):
        return Path(value)
    elif annotation is float and type(value) in (int, float):
        return float(value)
    elif annotation in (int, str, bool) and type(value) is annotation:
        return value
    type_name = getattr(annotation, "__name__", str(annotation)) if origin is None else str(annotation)
    raise UsageError(f"{where} is {value!r}, which is not a value of type {type_name}.")
