"""Options of the tools that train one network; light, since ``--help`` reads them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scripts.pipeline import REPOSITORY, ToolOptions, option
from scripts.pipeline.places import script_path


@dataclass(frozen=True)
class TrainingToolOptions(ToolOptions):
    """Options of every tool that trains one network."""

    steps: int = option(1_000, help="optimiser steps")
    seed: int = option(0, help="of the weights, the batches and the augmentation")
    save_seconds: float = option(60.0, help="seconds between checkpoints", affects_results=False)
    log_every: int = option(20, help="steps between rows of the log", affects_results=False)
    preview_every: int = option(
        250, help="steps between preview pictures in TensorBoard, 0: none", affects_results=False
    )
    force: bool = option(False, help="start over although there is a checkpoint", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "steps", "log_every")


def stored_command(options: TrainingToolOptions, name: str) -> str:
    """The command that trains the same network again, for the notes in its file.

    It has every option that decides the result and is not the script's default, so it needs no preset.
    """
    words = ["python", script_path(name)]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.metadata.get("affects_results", True) and value != field.default:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{field.name.replace('_', '-')}", *map(_word, values)]
    return shlex.join(words)


def _word(value: Any) -> str:
    if isinstance(value, Path) and value.is_relative_to(REPOSITORY):
        return value.relative_to(REPOSITORY).as_posix()
    return str(value)
