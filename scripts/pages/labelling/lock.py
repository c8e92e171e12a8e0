"""One label page per workspace: a lock that the system frees when its owner ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.pages.labelling.answers import FOLDER
from scripts.pipeline import UserError, files, locks

LOCK = f"{FOLDER}/lock"


@contextmanager
def page_lock(workspace: Path) -> Iterator[Callable[[str], None]]:
    """Hold the workspace's lock; yields a function that writes the page's address into it.

    Raises:
        UserError: another page is open on this workspace; names its process and address.
    """
    path = workspace / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:

        def publish(address: str) -> None:
            file.seek(0)
            file.truncate()
            json.dump({"process": os.getpid(), "address": address}, file)
            file.flush()

        if not locks.attempt(file, fcntl.LOCK_EX):
            raise UserError(_who_holds(path))
        publish("not open yet")
        yield publish


def _who_holds(path: Path) -> str:
    try:
        holder = files.read_json(path)
        process, address = holder["process"], holder["address"]
    except (ValueError, KeyError, TypeError):
        process, address = "unknown", "unknown"
    return (
        f"a label page is open on {path.parents[2]} already (process {process}, address {address}), and two "
        f"would mix their answers. Go on in that page, or end it with Ctrl-C in its terminal or:\n"
        f"    kill {process}"
    )
