"""Options: a frozen dataclass becomes a command line, and four layers give the values.

Order: default in the dataclass < table of the preset < table of the ``--config`` file < command line.
A preset may name a ``base`` preset, which it refines; ``[common]`` holds for all scripts. With
``--quality full`` the ``[full.<script>]`` table of each file lies over its ``[<script>]``.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from scripts.pipeline.errors import UsageError
from scripts.pipeline.files import read_text

REPOSITORY = Path(__file__).resolve().parents[2]
PRESETS = REPOSITORY / "scripts" / "presets"
SCRIPT_FOLDERS = ("scripts", "scripts/bundle")
FULL_PREFIX = "full."
SHARED_TABLES = ("base", "full", "weights")  # names in a file that belong to no script
NOT_IN_FILES = {"preset", "quality", "config", "force", "json"}
REMOVED_FLAGS = {
    "--shard": "several processes now share one run; start it with\n    python -m torch.distributed.run "
    "--standalone --nproc-per-node N {script}",
    "--output": "write --out",
    "--checkpoint-s": "write --save-seconds",
    "--restart": "write --force",
    "--realism-weight": "the term that it weighed made v2 worse (RESULTS.md), so v2 has it no longer",
    "--deep": "check_setup compares every recorded file with its SHA-256, which finds more",
}

OptionsT = TypeVar("OptionsT", bound="ToolOptions")
StageOptionsT = TypeVar("StageOptionsT", bound="StageOptions")


def option(default: Any, *, help: str, affects_results: bool = True) -> Any:
    """A dataclass field that is an option of the command line.

    Args:
        default: value when no layer says otherwise; tuples, not lists.
        help: meaning and unit, shown by ``--help``.
        affects_results: False for options such as batch sizes that change no file's content; only options
            that affect results enter the fingerprint.
    """
    return dataclasses.field(default=default, metadata={"help": help, "affects_results": affects_results})


@dataclass(frozen=True)
class ToolOptions:
    """Options that every script has."""

    preset: str = option("embedded", help="scripts/presets/<name>.toml", affects_results=False)
    quality: Literal["quick", "full"] = option(
        "quick", help="full: lay the preset's [full.<script>] tables over its others", affects_results=False
    )
    workspace: Path | None = option(
        None,
        help="folder of all files that the scripts make; None: data/runs/<preset>",
        affects_results=False,
    )
    config: Path | None = option(
        None, help="TOML file with one table per script, laid over the preset", affects_results=False
    )
    device: str = option("auto", help="auto, cpu, cuda or cuda:<index>", affects_results=False)
    threads: int = option(0, help="CPU threads; 0: torch's choice", affects_results=False)
    deterministic: bool = option(
        False,
        help="on a GPU: add up in a fixed order, slower; a resumed training then ends with the same weights",
        affects_results=False,
    )
    quiet: bool = option(False, help="print errors only", affects_results=False)
    json: bool = option(
        False,
        help="print one JSON object about the run, and nothing else, on standard output",
        affects_results=False,
    )

    def need_at_least(self, least: float, *names: str) -> None:
        """Raise `ValueError` if one of these options is smaller."""
        for name in names:
            if getattr(self, name) < least:
                raise ValueError(f"{flag_of(name)} must be at least {least:g}.")

    def need_above(self, limit: float, *names: str) -> None:
        """Raise `ValueError` if one of these options is not larger."""
        for name in names:
            if getattr(self, name) <= limit:
                raise ValueError(f"{flag_of(name)} must be above {limit:g}.")


@dataclass(frozen=True)
class StageOptions(ToolOptions):
    """Options that every numbered script has."""

    force: bool = option(False, help="remove what this script made and start over", affects_results=False)
    max_failures: float = option(
        0.05, help="share of the items that may fail before the script gives up", affects_results=False
    )


@dataclass(frozen=True)
class ResolvedOptions(Generic[OptionsT]):
    """Options with the layer that each value came from: default, preset, config or command line.

    A value of a ``full`` table came from "preset (full)" or "config (full)".
    """

    options: OptionsT
    origins: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """``{"name": {"value": ..., "from": ...}}`` in the order of the dataclass."""
        return {
            name: {"value": plain_value(value), "from": self.origins[name]}
            for name, value in vars(self.options).items()
        }


def flag_of(name: str) -> str:
    """The flag of an option on the command line."""
    return f"--{name.replace('_', '-')}"


def plain_value(value: Any) -> Any:
    """The value as JSON knows it: paths as POSIX text, tuples as lists."""
    if isinstance(value, Path):
        return value.as_posix()
    return [plain_value(item) for item in value] if isinstance(value, (tuple, list)) else value


def given_options(options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The words of a command line, from `ResolvedOptions.to_json`, without those that `Tool.command` adds."""
    repeated = {"preset", "quality", "config", "workspace", "force"}
    words: list[str] = []
    for name, entry in options.items():
        if entry["from"] != "command line" or name in repeated:
            continue
        flag, value = flag_of(name), entry["value"]
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, *map(str, value if isinstance(value, list) else [value])]
    return words


def results_options(options: ToolOptions) -> dict[str, Any]:
    """Options that affect results, as plain JSON values: the part that enters the fingerprint."""
    return {
        field.name: plain_value(getattr(options, field.name))
        for field in dataclasses.fields(options)
        if field.metadata.get("affects_results", True)
    }


def resolve_options(
    options_class: type[OptionsT], name: str, argv: Sequence[str], presets: Path = PRESETS
) -> ResolvedOptions[OptionsT]:
    """Read all four layers; ``name`` is the script's, and that of its table in the TOML files.

    Raises:
        UsageError: unknown preset, unknown key, or value of the wrong type.
        SystemExit: 0 after ``--help``; 2 after tyro printed what is wrong with the command line.
    """
    import tyro

    for flag, instead in REMOVED_FLAGS.items():
        if any(word.partition("=")[0] == flag for word in argv):
            raise UsageError(f"{flag} is no option any more: {instead.format(script=script_path(name))}")
    preset, config, quality = _layer_choice(options_class, argv)
    values: dict[str, Any] = {"preset": preset}
    origins = {field.name: "default" for field in dataclasses.fields(options_class)}
    hints = typing.get_type_hints(options_class)
    common = typing.get_type_hints(StageOptions)
    may_have = {"common": set(common) - NOT_IN_FILES, name: set(hints) - NOT_IN_FILES}
    for source, path, tables in read_layers(preset, config, presets):
        _check_tables(path, tables, name)
        for prefix in ("", FULL_PREFIX):
            for table, known in may_have.items():
                # Read in any case: a mistake in a full table should not wait for the long run to show.
                layer = _table_values(path, tables, prefix + table, hints, known)
                if not prefix or quality == "full":
                    values.update(layer)
                    origins.update(dict.fromkeys(layer, f"{source} (full)" if prefix else source))
    try:
        default = options_class(**values)
        options = tyro.cli(options_class, prog=script_path(name), args=list(argv), default=default)
        _check_values(options)
    except ValueError as error:
        raise UsageError(f"{error} See {script_path(name)} --help.") from error
    origins.update(dict.fromkeys(_named_on_command_line(options_class, argv), "command line"))
    return ResolvedOptions(options, origins)


def _check_values(options: ToolOptions) -> None:
    """Raise `ValueError` for NaN, infinity, names that are no text, and unknown devices."""
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device) is None:
        raise ValueError(
            f"--device {options.device} is not supported: the networks were made for CPUs and for GPUs with "
            "CUDA. Use auto, cpu, cuda or cuda:<index>."
        )
    for name, value in vars(options).items():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, float) and not math.isfinite(part):
                raise ValueError(f"{flag_of(name)} is {value}, which is no finite number.")
            if isinstance(part, Path) and any("\ud800" <= letter <= "\udfff" for letter in str(part)):
                raise ValueError(
                    f"{flag_of(name)} {str(part)!r} has bytes that are no text, which no record can hold. "
                    "Rename it."
                )


def _layer_choice(options_class: type[ToolOptions], argv: Sequence[str]) -> tuple[str, Path | None, str]:
    """Preset, config and quality: the options that decide where the defaults of all others come from."""
    defaults = {field.name: field.default for field in dataclasses.fields(options_class)}
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default=defaults["preset"])
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--quality", default=defaults["quality"])
    found, _ = parser.parse_known_args(list(argv))
    return found.preset, found.config, found.quality


def _named_on_command_line(options_class: type[ToolOptions], argv: Sequence[str]) -> set[str]:
    """Fields that the command line names, by their own name, their ``--no-`` form or an alias."""
    given = {word[2:].split("=", 1)[0].replace("-", "_") for word in argv if word.startswith("--")}
    given |= {name.removeprefix("no_") for name in given}
    found = set()
    for name, hint in typing.get_type_hints(options_class, include_extras=True).items():
        extras = getattr(hint, "__metadata__", ())
        aliases = (alias for extra in extras for alias in getattr(extra, "aliases", None) or ())
        if given & {name, *(alias.lstrip("-").replace("-", "_") for alias in aliases)}:
            found.add(name)
    return found


def script_path(name: str) -> str:
    """Path of a script, relative to the repository; one that does not exist counts as one of ``scripts``."""
    paths = [f"{folder}/{name}.py" for folder in SCRIPT_FOLDERS]
    return next((path for path in paths if (REPOSITORY / path).is_file()), paths[0])


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


def _check_tables(path: Path, tables: Mapping[str, Any], name: str) -> None:
    """Raise `UsageError` if a file has a table that no script reads; ``name`` is the running script."""
    known = known_tables(name)
    for table in tables:
        if table not in known:
            is_full = table.startswith(FULL_PREFIX)
            alike = {other for other in known if other.startswith(FULL_PREFIX) == is_full}
            raise UsageError(f"{path}: no script is called {table!r}. {nearest(table, alike)}")


def _table_values(
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
