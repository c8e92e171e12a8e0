"""Locks that keep runs apart; the system frees them when a process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from scripts.pipeline import files
from scripts.pipeline.errors import UserError
from scripts.pipeline.manifest import LOCK_NAME, STAGES_FOLDER, stage_folder

USE_NAME = "in_use.lock"


@contextmanager
def locked(folder: Path, instead: str = "another --workspace") -> Iterator[None]:
    """Hold the lock of a folder, ``<folder>/lock``, in which the number of this process stands meanwhile.

    Args:
        folder: made if there is none.
        instead: what to give a second run so that it writes elsewhere.

    Raises:
        UserError: another process holds it.
    """
    with _opened(folder / LOCK_NAME) as lock:
        if not _try(lock, fcntl.LOCK_EX):
            raise UserError(
                f"it is running already in {folder} (process {lock.read().strip() or 'unknown'}), and two "
                f"runs would write the same files. Wait for it, or give this one {instead}."
            )
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def stage_locked(workspace: Path, name: str) -> Iterator[None]:
    """Hold the lock of a stage: no second run of it. See `locked`."""
    with locked(stage_folder(workspace, name)):
        yield


@contextmanager
def reading(workspace: Path, makers: Iterable[str]) -> Iterator[None]:
    """Keep the results of these stages as they are; many processes may do so at once.

    Raises:
        UserError: one of them is being made anew.
    """
    with ExitStack() as held:
        for maker in sorted(set(makers)):
            folder = stage_folder(workspace, maker)
            if not folder.is_dir():
                continue
            use = held.enter_context(_opened(folder / USE_NAME))
            if not _try(use, fcntl.LOCK_SH):
                raise UserError(
                    f"it needs what {maker} makes, and that is being made now{_running(workspace)}; files "
                    "from before and after would be mixed. Wait for it, then run the same command again."
                )
        yield


@contextmanager
def changing(workspace: Path, name: str) -> Iterator[None]:
    """Keep others from reading the results of a stage, while they change.

    Raises:
        UserError: another stage is reading them.
    """
    with _opened(stage_folder(workspace, name) / USE_NAME) as use:
        if not _try(use, fcntl.LOCK_EX):
            raise UserError(
                f"another script is reading what {name} has made{_running(workspace)}; with other files "
                "under its hands its result would be wrong. Wait for it, then run the same command again."
            )
        yield


def holder(lock: Path) -> int | None:
    """Process that holds the lock of a folder; None if nobody does.

    Only looks: taking the lock, even for a moment, could turn away a run.
    """
    try:
        inode = lock.stat().st_ino
        written = lock.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    pid = int(written) if written.isdecimal() else 0
    try:
        held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:  # another system: as good as the process that wrote its number
        return pid if pid and files.process_is_alive(pid) else None
    holds = any(" FLOCK " in line and f":{inode} " in line for line in held)
    return pid if holds else None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        lock.seek(0)
        yield lock


def _try(lock: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running(workspace: Path) -> str:
    """Which other stages run, with their processes, in brackets; empty if none is known."""
    stages = workspace / STAGES_FOLDER
    found = []
    for path in sorted(stages.rglob(LOCK_NAME)):
        pid = holder(path)
        if pid and pid != os.getpid():
            found.append(f"{path.parent.relative_to(stages).as_posix()}, process {pid}")
    return f" ({'; '.join(found)})" if found else ""
