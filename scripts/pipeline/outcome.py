"""``--json``: how a run ended, as one JSON object, the only thing on its standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TextIO

from scripts.pipeline.errors import EXIT_INTERRUPTED, EXIT_OK
from scripts.pipeline.launch import place_among_processes
from scripts.pipeline.layers import script_path
from scripts.pipeline.stage import Tool

UNFORESEEN = 1


class Outcome:
    """Context manager around a run: under ``--json`` text goes to standard error, and at the end the object
    is printed. Without ``--json`` it does nothing.

    Args:
        script: name of the script without ``.py``.
        argv: its command line; read here because a mistake in it must be told as JSON, too.

    Attributes:
        tool: the running script, once its options are known.
        exit_code, message: how it ended; the message is empty unless it failed or was stopped.
    """

    def __init__(self, script: str, argv: Sequence[str]) -> None:
        self.script = script
        self.tool: Tool | None = None
        self.exit_code = UNFORESEEN
        self.message = ""
        given = next((word for word in reversed(argv) if word in {"--json", "--no-json"}), "")
        is_help = bool({"-h", "--help"} & set(argv))
        place = place_among_processes()  # of several processes one speaks
        self._wanted = given == "--json" and (place is None or place.is_first) and not is_help
        self._stdout: TextIO | None = None
        self._began_at = time.monotonic()

    def __enter__(self) -> Outcome:
        if self._wanted:
            self._stdout, sys.stdout = sys.stdout, sys.stderr
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._wanted:
            return
        sys.stdout = self._stdout
        if isinstance(error, SystemExit):
            self.exit_code = int(error.code or 0)
            self.message = f"the command line has a mistake; see {script_path(self.script)} --help"
        elif error is not None:
            self.message = f"{kind.__name__}: {error}"
        print(json.dumps(self.to_json(), ensure_ascii=False), flush=True)

    def to_json(self) -> dict[str, Any]:
        """The object; files are relative to the workspace unless they lie elsewhere."""
        result = self.tool.result() if self.tool is not None else {}
        state = result.pop("state", "failed")
        if self.exit_code != EXIT_OK:
            state = "interrupted" if self.exit_code == EXIT_INTERRUPTED else "failed"
        found = {
            "script": self.script,
            "state": state,
            "exit_code": self.exit_code,
            "workspace": str(self.tool.workspace) if self.tool is not None else None,
            "seconds": round(time.monotonic() - self._began_at, 1),
            **result,
        }
        return found | ({"message": self.message} if self.message else {})
