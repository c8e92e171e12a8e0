"""What the user sees and does: progress, commands to type, Ctrl-C."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from scripts import short_path
from scripts.pipeline.errors import Interrupted
from scripts.pipeline.places import REPOSITORY, script_path
from scripts.pipeline.torchrun import place_among_processes

LINE_INTERVAL_S = 30.0
EXIT_CLOSED_OUTPUT = 141  # as the shell tells of programs that end by SIGPIPE


@contextmanager
def closed_output_ends() -> Iterator[None]:
    """Leave without a traceback when what reads the output has ended, as `head` does."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        sys.exit(EXIT_CLOSED_OUTPUT)


class StopRequest:
    """Context manager that turns SIGINT and SIGTERM into a flag which loops look at between two items.

    The second signal stops at once; not under torchrun, which passes signals on and sends some of its own.
    """

    def __init__(self) -> None:
        self.requested = False
        self._is_alone = place_among_processes() is None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
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


class Progress:
    """Progress over a known number of items: a bar on a terminal, a line now and then in a file.

    Context manager; ``update`` also calls `on_update`, which raises if the user asked to stop.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        description: str,
        quiet: bool,
        on_update: Callable[[], None],
        done: int = 0,
    ) -> None:
        from tqdm import tqdm

        self.total = total
        self.unit = unit
        self.done = self.done_before = done
        self._on_update = on_update
        is_terminal = sys.stderr.isatty()
        self._prints_lines = not quiet and not is_terminal
        self._started_at = self._printed_at = time.monotonic()
        shown = {"unit": f" {unit}", "desc": description, "disable": quiet or not is_terminal}
        self._bar = tqdm(total=total, initial=done, leave=False, **shown)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, count: int = 1) -> None:
        """Count finished items. Raises `Interrupted` after Ctrl-C, so call it when they are on disk."""
        self.done += count
        self._bar.update(count)
        if self._prints_lines and time.monotonic() - self._printed_at > LINE_INTERVAL_S:
            self._printed_at = time.monotonic()
            rate = max(self.done - self.done_before, 1) / (self._printed_at - self._started_at)
            left_s = (self.total - self.done) / rate
            print(f"  {self.done} of {self.total} {self.unit}, {rate:.1f}/s, {left_s:.0f} s left", flush=True)
        self._on_update()


def script_command(name: str, *arguments: str) -> str:
    """The command that runs a script with the interpreter in use, as the user can type it here."""
    return shlex.join([python_command(), short_path(REPOSITORY / script_path(name)), *arguments])


def running_command(without: Collection[str] = ()) -> str:
    """The command that started this process, and others with it, as the user can type it again.

    Args:
        without: words to leave out.
    """
    words = [python_command(), *(word for word in sys.argv if word not in without)]
    place = place_among_processes()
    return shlex.join(words if place is None else place.command(words))


def python_command() -> str:
    """The interpreter in use, as it can be typed: by its name where the shell finds it, else by its path."""
    interpreter = Path(sys.executable)
    is_found = shutil.which(interpreter.name) == sys.executable
    return interpreter.name if is_found else short_path(interpreter)
