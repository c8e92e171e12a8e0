"""The objects that a script's ``run`` receives: `Tool` for any script, `Stage` for a numbered one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.pipeline import files, locks, records, tables
from scripts.pipeline.console import Progress, StopRequest, script_command
from scripts.pipeline.errors import MissingInputError, TooManyFailuresError, UserError
from scripts.pipeline.journal import Journal
from scripts.pipeline.options import StageOptions, ToolOptions
from scripts.pipeline.places import REPOSITORY
from scripts.pipeline.spec import Counts, Input, StageSpec
from scripts.pipeline.torchrun import place_among_processes

if TYPE_CHECKING:
    import pandas as pd
    import torch

LOG_NAME = "log.txt"
HEARTBEAT_NAME = "heartbeat"


class Tool:
    """Files, screen and device of a running script.

    Attributes:
        name: the script's name without ``.py``.
        workspace: absolute path of the folder with all files of the run.
        log_dir: folder of this script's logs: ``logs/<preset>/<name>``, or ``logs/<name>`` inside a workspace
            that was given by hand.
        log_path: the log file; None: no log.
        writes: False in all processes of a run but the first, which alone writes results and speaks for all.
    """

    def __init__(
        self, name: str, options: ToolOptions, stop: StopRequest, has_log: bool = True, writes: bool = True
    ) -> None:
        self.name = name
        self.options = options
        default_workspace = REPOSITORY / "data" / "runs" / options.preset
        self.workspace = options.workspace.resolve() if options.workspace else default_workspace
        own_workspace = self.workspace != default_workspace
        logs = self.workspace / "logs" if own_workspace else REPOSITORY / "logs" / options.preset
        self.log_dir = logs / name
        self.log_path = self.log_dir / LOG_NAME if has_log and writes else None
        self.writes = writes
        self.is_quiet = options.quiet or not writes
        self.numbers: dict[str, str] = {}
        self.look_at: list[str] = []
        self._written: dict[str, None] = {}
        self._stop = stop
        self._counts: Counts = {}
        self._progress: Progress | None = None

    @property
    def stop_requested(self) -> bool:
        """True after Ctrl-C or SIGTERM."""
        return self._stop.requested

    def check_stop(self) -> None:
        """Raise `Interrupted` after Ctrl-C or SIGTERM; call it where nothing is half done."""
        self._stop.check()

    @cached_property
    def device(self) -> torch.device:
        """Device to compute on; ``auto`` is CUDA where there is one, else the CPU.

        Several processes of one machine take a GPU each, or divide the CPU among them. Sets the threads of
        the CPU, and what --deterministic asks for.
        """
        import torch

        place = place_among_processes()
        threads = self.options.threads
        if threads == 0 and place is not None:
            threads = max(1, len(os.sched_getaffinity(0)) // place.local_count)
        if threads > 0:
            torch.set_num_threads(threads)
        if self.options.deterministic:
            # cuBLAS reads this when it starts; where torch knows no fixed order, it warns.
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
            torch.use_deterministic_algorithms(True, warn_only=True)
        has_gpu, name = torch.cuda.is_available(), self.options.device
        device = torch.device(name if name != "auto" else "cuda" if has_gpu else "cpu")
        if device.type == "cuda" and place is not None:
            device = torch.device("cuda", place.local_rank)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise UserError(
                f"--device {name} asks for a GPU, and torch sees {torch.cuda.device_count()} here. "
                "Use --device cpu, or --device auto."
            )
        return device

    def finish(self, numbers: Mapping[str, str], look_at: Sequence[str] = ()) -> None:
        """State the result: about three numbers with their units, and files that a person should open.

        A stage prints and stores it once its outputs have been checked; a tool gives it to ``--json``.
        """
        self.numbers = {name: str(value) for name, value in numbers.items()}
        self.look_at = list(look_at)

    def result(self) -> dict[str, Any]:
        """State, numbers and files of the run, for ``--json``."""
        outputs = list(self._written)
        return {"state": "complete", "numbers": self.numbers, "look_at": self.look_at, "outputs": outputs}

    def path(self, relative: str) -> Path:
        """Absolute path of a workspace file; its folder is made."""
        path = self.workspace / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def atomic(self, relative: str) -> AbstractContextManager[Path]:
        """Context manager: a temporary path beside the file, renamed to it on success."""
        self._written[relative] = None
        return files.atomic_path(self.workspace / relative)

    def write(self, relative: str, value: Any, **options: Any) -> None:
        """Write a result atomically, in the first process only; see `files.write`."""
        if self.writes:
            self._written[relative] = None
            files.write(self.workspace / relative, value, **options)

    @contextmanager
    def alone_in(self, folder: Path, instead: str = "another --workspace") -> Iterator[None]:
        """Keep a second run out of a folder, and remove what killed ones left there. See `locks.locked`."""
        if not self.writes:  # the first process holds the lock for all
            yield
            return
        with locks.locked(folder, instead):
            files.remove_leftovers((folder, self.log_dir))
            yield

    def say(self, text: str) -> None:
        """Print a line, unless ``--quiet``."""
        if not self.is_quiet:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Append a line with the time to the log file, without printing it."""
        if self.log_path is not None:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def log(self, text: str) -> None:
        """Print a line and append it to the log file."""
        self.say(text)
        self.note(text)

    def progress(
        self,
        total: int,
        unit: str = "images",
        done: int = 0,
        check_stop: Callable[[], None] | None = None,
    ) -> Progress:
        """Progress display; ``update`` also raises `Interrupted` after Ctrl-C, or calls ``check_stop``.

        ``done`` items were finished by an earlier run, and do not count as speed.
        """
        on_update = check_stop or self.on_progress
        self._progress = Progress(total, unit, self.name, self.is_quiet, on_update, done)
        return self._progress

    def on_progress(self) -> None:
        """Called after every item."""
        self.check_stop()

    def count(self, unit: str, done: int, skipped: int = 0, failed: int = 0) -> None:
        """State how the items of this run ended; skipped: from an earlier run, or left out on purpose."""
        self._counts[unit] = {"done": int(done), "skipped": int(skipped), "failed": int(failed)}

    def counts(self) -> Counts:
        """What `count` was told; before that, as far as the last progress display got."""
        if self._counts or self._progress is None:
            return self._counts
        done, before = self._progress.done, self._progress.done_before
        return {self._progress.unit: {"done": done - before, "skipped": before, "failed": 0}}

    @cached_property
    def recorded(self) -> dict[str, records.Recorded]:
        """What finished stages recorded of their files, by workspace-relative path."""
        return records.read_outputs(self.workspace)

    def recorded_sha256(self, relative: str) -> str:
        """SHA-256 that a file had when its stage finished; empty if none recorded it."""
        return self.recorded[relative].sha256 if relative in self.recorded else ""

    def check_unchanged(self, relative: str) -> None:
        """Raise `UserError` if a file is no longer what its stage wrote."""
        known, path = self.recorded.get(relative), self.workspace / relative
        if known and path.is_file() and records.cached_sha256(path) != known.sha256:
            raise UserError(
                f"{relative} is not what {known.maker} wrote: it was changed or damaged since, so results "
                f"would rest on something else than they say. Bring it back, or make it anew:\n    "
                f"{self.command(known.maker, '--force')}"
            )

    @contextmanager
    def foreseen(self, *kinds: type[Exception], mend: str = "") -> Iterator[None]:
        """Turn errors of these kinds into a `UserError`, with what mends it behind the text."""
        try:
            yield
        except kinds as error:
            text = str(error)
            stop = "." if mend and text and text[-1] not in ".!?:" else ""
            raise UserError(f"{text}{stop} {mend}".strip()) from error

    def command(self, name: str, *arguments: str) -> str:
        """Command line of a script on the same preset, quality, config and workspace."""
        options = self.options
        words = [] if options.preset == "embedded" else ["--preset", options.preset]
        words += [] if options.quality == "quick" else ["--quality", options.quality]
        for flag, path in (("--config", options.config), ("--workspace", options.workspace)):
            words += [] if path is None else [flag, str(path)]
        return script_command(name, *words, *arguments)


class Stage(Tool):
    """A running numbered script.

    Attributes:
        record: what ``_stage.json`` says, once the stage is complete or up to date.
    """

    options: StageOptions

    def __init__(
        self, spec: StageSpec, options: StageOptions, stop: StopRequest, writes: bool = True
    ) -> None:
        super().__init__(spec.name, options, stop, writes=writes)
        self.spec = spec
        self.inputs = spec.inputs_for(options)
        self.folder = records.stage_folder(self.workspace, spec.name)
        self.record: dict[str, Any] = {}
        self._journal: Journal | None = None

    def on_progress(self) -> None:
        self.beat()
        super().on_progress()

    def beat(self) -> None:
        """Leave a sign of life: a run that is killed cannot record when it ended."""
        with suppress(OSError):
            (self.folder / HEARTBEAT_NAME).touch()

    def journal(self, columns: Sequence[str], key: str = "img_no", name: str = "journal") -> Journal:
        """Journal of finished items (see `Journal`), ``<workspace>/_stages/<stage>/<name>.csv``."""
        self._journal = Journal(self.folder / f"{name}.csv", columns, key, self.check_stop)
        return self._journal

    def counts(self) -> Counts:
        """As of a tool; the journal knows better than the display how far an unfinished run got."""
        if self._counts or self._progress is None or self._journal is None:
            return super().counts()
        before = self._journal.taken_over
        return {self._progress.unit: {"done": len(self._journal) - before, "skipped": before, "failed": 0}}

    def read_csv(self, relative: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Read a table of an earlier stage and check that it has these columns.

        Raises:
            MissingInputError: there is no such file.
            UserError: unreadable, a column is missing, or an ``img_no`` occurs twice.
        """
        item = next((item for item in self.inputs if item.path == relative), Input(relative))
        if not (self.workspace / relative).is_file():
            raise MissingInputError(self.missing_message(item))
        mend = f"Make it anew: {self.command(item.made_by, '--force')}" if item.made_by else item.note
        return tables.read_csv(self.workspace / relative, columns, mend)

    def missing_message(self, item: Input) -> str:
        """What is missing, who makes it, and the command to type."""
        root = REPOSITORY if item.in_repository else self.workspace
        where = f"it needs {item.path}, which is not in {root}."
        if not item.made_by:
            return f"{where} {item.note}".strip()
        return f"{where} {item.made_by} makes it:\n    {self.command(item.made_by)}\n{item.note}".strip()

    def check_inputs(self) -> None:
        """Raise `MissingInputError` if an input is absent or its maker has begun but not finished."""
        for item in self.inputs:
            maker = records.read(self.workspace, item.made_by) if item.made_by else None
            if not item.locate(self.workspace).exists():
                if item.optional:
                    continue
                raise MissingInputError(self.missing_message(item))
            if maker and maker["state"] != "complete":
                raise MissingInputError(
                    f"it needs {item.path}, but {item.made_by} has not finished, so its files may be "
                    f"incomplete. Let it finish:\n    {self.command(item.made_by)}"
                )
            if not item.in_repository:
                self.check_unchanged(item.path)

    def check_failures(self, failed: int, total: int) -> None:
        """Raise `TooManyFailuresError` if more than ``--max-failures`` of the items failed."""
        allowed = self.options.max_failures
        if total and failed > allowed * total:
            raise TooManyFailuresError(
                f"{failed} of {total} items failed, more than --max-failures {allowed:g} allows, so later "
                f"stages would have too little to work on. The reasons stand in "
                f"{self.folder / 'journal.csv'}. Mend them and start over:\n    "
                f"{self.command(self.name, '--force')}\nor accept them:\n    "
                f"{self.command(self.name, '--max-failures', f'{failed / total + 0.01:.2f}')}"
            )

    def result(self) -> dict[str, Any]:
        """The record of this run, or of the one that is up to date, for ``--json``."""
        kept = ("state", "numbers", "counts", "look_at", "outputs")
        found = {name: self.record[name] for name in kept if name in self.record}
        if "outputs" in found and self.spec.next_script:
            found["next"] = self.command(self.spec.next_script)
        return found
