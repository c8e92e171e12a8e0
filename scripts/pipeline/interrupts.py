"""Ctrl-C and SIGTERM: the first asks for an orderly stop, the second stops at once.

Under torchrun, which passes signals on and sends some of its own, they only ask; it kills after 30 seconds.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType

from scripts.pipeline.errors import Interrupted
from scripts.pipeline.launch import place_among_processes


class StopRequest:
    """Context manager that turns SIGINT and SIGTERM into a flag which loops look at between two items."""

    def __init__(self) -> None:
        self.requested = False
        self._is_alone = place_among_processes() is None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and self._is_alone:
            raise KeyboardInterrupt
        self.requested = True
        if self._is_alone:
            print("\nStopping after the current step; once more stops at once.", file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raise `Interrupted` if a stop was asked for."""
        if self.requested:
            raise Interrupted("Stopped on request.")
