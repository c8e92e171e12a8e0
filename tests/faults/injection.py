"""What a script's process does to itself before the script begins: ``prepare`` of `ScriptProcess`."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate"}
CAPABILITY_VERSION = 0x20080522
CAPABILITIES = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
WRITING = os.O_WRONLY | os.O_RDWR


def _changes_files(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether an audit event is a change of a file or folder below ``folder``."""
    if event == "open":
        return bool(arguments[2] & WRITING) and str(arguments[0]).startswith(folder)
    return event in CHANGES and str(arguments[0]).startswith(folder)


def count_operations(folder: Path, counted: Path) -> None:
    """Let ``counted`` grow by a byte before each operation that changes a file in ``folder``."""
    descriptor = os.open(counted, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _changes_files(event, arguments, str(folder)):
            os.write(descriptor, b".")

    sys.addaudithook(hook)


def kill_before_operation(folder: Path, number: int) -> None:
    """End by SIGKILL just before the n-th operation, from 1, that changes a file in ``folder``."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if _changes_files(event, arguments, str(folder)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def limit_file_size(size_bytes: int) -> None:
    """Let writing fail, as on a full disk, in files that would become larger than this."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


def obey_permissions() -> None:
    """Give up what lets root use files whatever their permissions say (Linux)."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    # Twice effective, permitted and inheritable: for the capabilities below 32 and those above.
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for place in (0, 1, 2):
        sets[place] &= ~sum(1 << capability for capability in CAPABILITIES)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")
