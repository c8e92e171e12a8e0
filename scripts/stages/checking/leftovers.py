"""What dead runs left behind."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.pipeline.files import TEMPORARY_PREFIX, process_is_alive
from scripts.stages.checking.findings import Finding

TEMPORARY = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?P<pid>\d+)-")


def leftovers(files: Iterable[Path], workspace: Path) -> list[Finding]:
    """Half-written files of processes that are gone."""
    dead: dict[int, int] = {}
    for path in files:
        found = TEMPORARY.match(path.name)
        pid = int(found["pid"]) if found else 0
        if pid and not process_is_alive(pid):
            dead[pid] = dead.get(pid, 0) + 1
    if not dead:
        return []
    patterns = [f"{TEMPORARY_PREFIX}{pid}-*" for pid in sorted(dead)]
    tests = shlex.join([word for text in patterns for word in ("-o", "-name", text)][1:])
    text = f"{sum(dead.values())} half-written files of {len(dead)} dead runs"
    mend = f"find {shlex.quote(str(workspace))} '(' {tests} ')' -delete"
    return [Finding("leftovers", text, mend)]


def all_files(workspace: Path) -> Iterator[Path]:
    """Every file of a workspace, without following links."""
    return (Path(folder, name) for folder, _, names in os.walk(workspace) for name in names)
