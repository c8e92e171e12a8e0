"""What the user sees: log lines, progress and the commands that messages ask to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from scripts import short_path
from scripts.pipeline.launch import place_among_processes
from scripts.pipeline.layers import REPOSITORY, script_path

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


class Console:
    """Prints to the terminal (unless quiet) and appends to a log file."""

    def __init__(self, log_path: Path | None, quiet: bool) -> None:
        self.log_path = log_path
        self.quiet = quiet

    def log(self, text: str) -> None:
        """One message, on the terminal and, with the time, in the log file."""
        if not self.quiet:
            print(text, flush=True)
        self.note(text)

    def note(self, text: str) -> None:
        """One message in the log file alone, with the time."""
        if self.log_path is not None:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


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
        self._is_terminal = sys.stderr.isatty()
        self._lines = not quiet and not self._is_terminal
        self._started_at = self._printed_at = time.monotonic()
        hidden = quiet or not self._is_terminal
        self._bar = tqdm(
            total=total, initial=done, unit=f" {unit}", desc=description, disable=hidden, leave=False
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def update(self, count: int = 1) -> None:
        """Count finished items. Raises `Interrupted` after Ctrl-C, so call it when they are on disk."""
        self.done += count
        self._bar.update(count)
        if self._lines and time.monotonic() - self._printed_at > LINE_INTERVAL_S:
            self._printed_at = time.monotonic()
            rate = max(self.done - self.done_before, 1) / (self._printed_at - self._started_at)
            left_s = (self.total - self.done) / rate
            print(f"  {self.done} of {self.total} {self.unit}, {rate:.1f}/s, {left_s:.0f} s left", flush=True)
        self._on_update()

    def start_at(self, done: int) -> None:
        """Say how many items an earlier run finished, where that is known only later."""
        self.done = self.done_before = self._bar.n = self._bar.initial = done
        self._bar.refresh()

    def set_postfix(self, **values: object) -> None:
        """Show values, such as a loss, behind the bar."""
        self._bar.set_postfix(values)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        self._bar.close()


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
