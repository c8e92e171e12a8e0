"""What a stage declares about itself: its inputs, its outputs and its place in the row of scripts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.pipeline.places import REPOSITORY

Counts = dict[str, dict[str, int]]
"""Unit -> how many are done, skipped and failed."""


@dataclass(frozen=True)
class Input:
    """A file or folder that a stage reads.

    Attributes:
        path: POSIX path relative to the workspace.
        made_by: name of the script that makes it, without ``.py``; empty if the user places it.
        optional: the stage can run without it; its presence still counts for the fingerprint.
        note: a sentence that tells how to get it when no script makes it, or otherwise than from it.
        in_repository: the path is relative to the repository instead; for files that come with the code.
    """

    path: str
    made_by: str = ""
    optional: bool = False
    note: str = ""
    in_repository: bool = False

    def locate(self, workspace: Path) -> Path:
        """Absolute path of the input."""
        return (REPOSITORY if self.in_repository else workspace) / self.path


@dataclass(frozen=True)
class StageSpec:
    """The declaration of a stage.

    Attributes:
        name: the script's name without ``.py``.
        inputs: what it reads; a function of the options where the options decide that.
        outputs: files (workspace-relative) that exist when it is complete; or a function of the options.
        item_folders: folders of the pictures that its rows vouch for; recorded with a hash, like the outputs.
        clears: folders and files removed, together with outputs and journals, by ``--force``.
        keeps: which of those (workspace-relative) belong to the user, so that ``--force`` leaves them.
        next_script: name of the script to run next, empty at the end of the row.
        check: looks at the inputs and raises `UserError`, before anything is removed or recorded; called with
            the stage and its options, and not at all where the result is complete.
        confirm: called instead where the result is complete; raises `UserError` if the command line names a
            source that the result was not made of.
        several_processes: torchrun may run it in several processes, which share its work.
        version: raised by the author when the same options give another result than before.
    """

    name: str
    inputs: tuple[Input, ...] | Callable[[Any], tuple[Input, ...]] = ()
    outputs: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = ()
    item_folders: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    keeps: Callable[[Any], Collection[str]] = lambda stage: ()
    next_script: str = ""
    check: Callable[[Any, Any], None] | None = None
    confirm: Callable[[Any, Any], None] | None = None
    several_processes: bool = False
    version: int = 1

    def inputs_for(self, options: Any) -> tuple[Input, ...]:
        """Inputs that the stage reads under these options."""
        return self.inputs(options) if callable(self.inputs) else self.inputs

    def outputs_for(self, options: Any) -> tuple[str, ...]:
        """Outputs that the stage makes under these options."""
        return self.outputs(options) if callable(self.outputs) else self.outputs
