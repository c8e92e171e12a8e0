"""Locks that keep runs apart; the system frees them when a process ends, however it ends.

Where a network drive offers no locks, a run says so and goes on.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from scripts.pipeline.errors import NO_LOCKS, NOT_WRITABLE, UserError
from scripts.pipeline.records import STAGES_FOLDER, stage_folder

LOCK_NAME = "lock"
USE_NAME = "in_use.lock"


@contextmanager
def locked(folder: Path, instead: str = "another --workspace") -> Iterator[None]:
    """Hold ``<folder>/lock``, which contains the number of this process meanwhile.

    Raises:
        UserError: another process holds it; the message advises to give ``instead``.
    """
    with _opened(folder / LOCK_NAME) as lock:
        if not attempt(lock, fcntl.LOCK_EX):
            raise UserError(
                f"it is running already in {folder} (process {lock.read().strip() or 'unknown'}), and two "
                f"runs would write the same files. Wait for it, or give this one {instead}."
            )
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def reading(workspace: Path, makers: Iterable[str]) -> Iterator[None]:
    """Keep the results of these stages as they are; `UserError` if one of them is being made anew.

    Many processes may do so at once. A lock file that can only be read still locks; where none can be made,
    nobody writes here.
    """
    with ExitStack() as held:
        for maker in sorted(set(makers)):
            path = stage_folder(workspace, maker) / USE_NAME
            if not path.parent.is_dir():
                continue
            try:
                use = held.enter_context(_opened(path))
            except OSError as error:
                if error.errno not in NOT_WRITABLE:
                    raise
                if not path.exists():
                    continue
                use = held.enter_context(path.open(encoding="utf-8"))
            if not attempt(use, fcntl.LOCK_SH):
                raise UserError(
                    f"it needs what {maker} makes, and that is being made now{_running(workspace)}; files "
                    "from before and after would be mixed. Wait for it, then run the same command again."
                )
        yield


@contextmanager
def changing(workspace: Path, name: str) -> Iterator[None]:
    """Keep others from reading the results of a stage while they change; `UserError` if one reads them."""
    with _opened(stage_folder(workspace, name) / USE_NAME) as use:
        if not attempt(use, fcntl.LOCK_EX):
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
        pid = int(lock.read_text(encoding="utf-8") or 0)  # 0: it has not said its number yet
    except (OSError, ValueError):
        return None
    held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return pid if any(" FLOCK " in line and f":{inode} " in line for line in held) else None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        lock.seek(0)
        yield lock


def attempt(lock: TextIO, kind: int) -> bool:
    """Take a lock (``LOCK_SH`` or ``LOCK_EX``) until the file is closed; False if another process holds it.

    On a file system without locks it is as good as taken, which is said once.
    """
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _say_unprotected(str(error.strerror))
    return True


@cache
def _say_unprotected(reason: str) -> None:
    """Warn once, also under ``--quiet``."""
    print(
        f"the workspace lies on a file system without locks ({reason}), so nothing keeps a second run out: "
        "start none there, on any machine, before this one has ended.",
        file=sys.stderr,
        flush=True,
    )


def _running(workspace: Path) -> str:
    """Which other stages run, with their processes, in brackets; empty if none is known."""
    paths = sorted((workspace / STAGES_FOLDER).glob(f"*/{LOCK_NAME}"))
    running = {path.parent.name: holder(path) for path in paths}
    found = [f"{name}, process {pid}" for name, pid in running.items() if pid and pid != os.getpid()]
    return f" ({'; '.join(found)})" if found else ""
