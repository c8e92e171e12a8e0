"""Options: a frozen dataclass becomes a command line, and four layers give the values.

Order: default in the dataclass < table of the preset < table of the ``--config`` file < command line.
A preset may name a ``base`` preset, which it refines; ``[common]`` holds for all scripts. With
``--quality full`` the ``[full.<script>]`` table of each file lies over its ``[<script>]``.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from scripts.pipeline.errors import UsageError
from scripts.pipeline.layers import FULL_PREFIX, check_tables, read_layers, table_values
from scripts.pipeline.places import PRESETS, script_path

NOT_IN_FILES = {"preset", "quality", "config", "force", "json"}
REMOVED_FLAGS = {
    "--shard": "several processes now share one run; start it with\n    python -m torch.distributed.run "
    "--standalone --nproc-per-node N {script}",
    "--output": "write --out",
    "--checkpoint-s": "write --save-seconds",
    "--restart": "write --force",
    "--realism-weight": "its frozen discriminator was fooled (RESULTS.md); --adversary-weight asks one that "
    "learns along",
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
        check_tables(path, tables, name)
        for prefix in ("", FULL_PREFIX):
            for table, known in may_have.items():
                # Read in any case: a mistake in a full table should not wait for the long run to show.
                layer = table_values(path, tables, prefix + table, hints, known)
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
