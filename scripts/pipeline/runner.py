"""`run_stage` and `run_tool`: the frame around every script, from the command line to the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from scripts.pipeline import files, fingerprint, manifest, recorded
from scripts.pipeline.console import Console, running_command
from scripts.pipeline.disk_full import is_disk_full, writing_errors
from scripts.pipeline.errors import EXIT_INTERRUPTED, EXIT_OK, Interrupted, UserError
from scripts.pipeline.interrupts import StopRequest
from scripts.pipeline.options import OptionsT, ResolvedOptions, StageOptions, resolve_options
from scripts.pipeline.spec import StageSpec
from scripts.pipeline.stage import Stage, Tool


def run_stage(
    spec: StageSpec,
    options_class: type[OptionsT],
    run: Callable[[Stage, OptionsT], None],
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Run a numbered script and leave with its exit code.

    Args:
        spec: what the stage reads and writes.
        options_class: its options, a frozen subclass of `StageOptions`.
        run: the work itself; called only if there is something to do.
        argv: command line without the program's name; None: that of the process.

    Raises:
        SystemExit: 0 done or up to date, 2 command line, 3 missing input, 4 too many failures, 5 other
            foreseen error, 130 Ctrl-C. Any other exception is a bug and keeps its traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)

    def body(stop: StopRequest) -> None:
        resolved = resolve_options(options_class, spec.name, arguments)
        StageRun(spec, resolved, stop).execute(run)

    sys.exit(guard(body, spec.name))


def run_tool(
    options_class: type[OptionsT],
    run: Callable[[Tool, OptionsT], None],
    name: str | None = None,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Run a script without a number: the same options, messages and exit codes, but no record of the run.

    Args:
        options_class: its options, a frozen subclass of `ToolOptions`.
        run: the work.
        name: name of its table in the TOML files; None: that of the file that defines ``run``.
        argv: command line without the program's name; None: that of the process.
    """
    tool_name = name or Path(run.__code__.co_filename).stem
    arguments = sys.argv[1:] if argv is None else list(argv)

    def body(stop: StopRequest) -> None:
        resolved = resolve_options(options_class, tool_name, arguments)
        tool = Tool(tool_name, resolved.options, stop)
        files.write_json(tool.log_dir / "options.json", resolved.to_json())
        run(tool, resolved.options)

    sys.exit(guard(body, tool_name))


def guard(body: Callable[[StopRequest], None], name: str) -> int:
    """Run the body; foreseen errors become one message and an exit code."""
    go_on = f"What is finished is kept; the same command goes on from there:\n    {running_command()}"
    try:
        with StopRequest() as stop:
            body(stop)
    except (Interrupted, KeyboardInterrupt):
        _complain(f"{name} stopped. {go_on}")
        return EXIT_INTERRUPTED
    except UserError as error:
        _complain(f"{name}: {error}")
        return error.exit_code
    except PermissionError as error:
        _complain(
            f"{name}: no permission to use {error.filename}, so the run cannot go on. "
            "Change who may use it, or give another --workspace."
        )
        return UserError.exit_code
    except writing_errors() as error:
        if not is_disk_full(error):
            raise
        _complain(f"{name}: the disk is full ({error}). Free some space. {go_on}")
        return UserError.exit_code
    return EXIT_OK


def _complain(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class StageRun:
    """One run of a stage: up to date, refused, resumed or done from the start."""

    def __init__(self, spec: StageSpec, resolved: ResolvedOptions[Any], stop: StopRequest) -> None:
        self.spec = spec
        self.resolved = resolved
        self.options: StageOptions = resolved.options
        self.stage = Stage(spec, self.options, stop)
        self.workspace = self.stage.workspace
        self.outputs = spec.outputs_for(self.options)

    def execute(self, run: Callable[[Stage, Any], None]) -> None:
        """Do what is to be done. See `run_stage` for the errors."""
        self.stage.check_inputs()
        with manifest.locked(self.workspace, self.spec.name):
            depends_on = fingerprint.dependencies(self.spec, self.options, self.workspace)
            previous = manifest.read(self.workspace, self.spec.name)
            if self.spec.check is not None and (previous is None or self.options.force):
                self.spec.check(self.stage, self.options)
            if self.options.force:
                self._clear()
                previous = None
            if previous is None:
                self._remove_journals()
            else:
                self._check_same(previous, depends_on)
                if previous["state"] == "complete" and self._is_up_to_date(previous):
                    return
            files.remove_leftovers(self._folders())
            self._run(run, depends_on)

    def _remove_journals(self) -> None:
        """Remove the rows of finished items: without a record nobody knows which options made them."""
        for path in self.stage.folder.glob("*.csv"):
            files.remove(path)

    def _clear(self) -> None:
        """Remove everything that the stage made, the journals first: they vouch for the rest."""
        self._remove_journals()
        files.remove(self.stage.folder / manifest.MANIFEST_NAME)
        for relative in (*self.outputs, *self.spec.clears):
            files.remove(self.workspace / relative)

    def _check_same(self, previous: dict[str, Any], depends_on: dict[str, Any]) -> None:
        if previous["fingerprint"] == fingerprint.fingerprint(depends_on):
            return
        lines = fingerprint.differences(previous.get("depends_on", {}), depends_on)
        quality = previous.get("options", {}).get("quality", {}).get("value", "quick")
        if quality != self.options.quality:
            lines.insert(0, f'--quality: was "{quality}", is "{self.options.quality}"')
        state = "was made" if previous["state"] == "complete" else "was begun"
        again = self.stage.command(self.spec.name, *_given_options(self.resolved), "--force")
        raise UserError(
            "\n    ".join([f"the result in {self.workspace} {state} with other settings or inputs:", *lines])
            + "\nMixing the two would spoil it. Give the earlier values, or another --workspace to keep "
            + f"both, or remove the result and start over:\n    {again}"
        )

    def _is_up_to_date(self, previous: dict[str, Any]) -> bool:
        vanished = [relative for relative in self.outputs if not (self.workspace / relative).exists()]
        if vanished:
            self.stage.log(f"{self.spec.name}: {', '.join(vanished)} vanished; making it again.")
            return False
        # The log file stays as the real run left it: nothing happened now.
        screen = Console(None, self.options.quiet)
        screen.log(f"{self.spec.name} is up to date ({previous.get('finished', 'earlier')}).")
        self._summarise(screen, previous.get("numbers", {}), previous.get("look_at", []))
        return True

    def _folders(self) -> set[Path]:
        folders = {(self.workspace / relative).parent for relative in self.outputs}
        return folders | {self.workspace / relative for relative in self.spec.clears} | {self.stage.folder}

    def _run(self, run: Callable[[Stage, Any], None], depends_on: dict[str, Any]) -> None:
        started_at = time.monotonic()
        resolved_json = self.resolved.to_json()
        record = {
            "stage": self.spec.name,
            "state": "running",
            "fingerprint": fingerprint.fingerprint(depends_on),
            "depends_on": depends_on,
            "options": resolved_json,
            "started": manifest.now(),
        }
        manifest.write(self.workspace, self.spec.name, record)
        for folder in (self.stage.folder, self.stage.log_dir):
            files.write_json(folder / "options.json", resolved_json)
        run(self.stage, self.options)
        missing = [relative for relative in self.outputs if not (self.workspace / relative).exists()]
        if missing:
            raise RuntimeError(f"{self.spec.name} ended without its outputs {missing}")
        recorded.write(self.workspace, self.spec.name, self.outputs)
        seconds = time.monotonic() - started_at
        device = self.stage.__dict__.get("device")
        record |= {
            "state": "complete",
            "finished": manifest.now(),
            "seconds": round(seconds, 1),
            "device": str(device) if device is not None else "none",
            "numbers": self.stage.numbers,
            "look_at": self.stage.look_at,
            "outputs": list(self.outputs),
            **manifest.environment(),
        }
        manifest.write(self.workspace, self.spec.name, record)
        self.stage.log(f"{self.spec.name} finished in {seconds:.1f} s.")
        self._summarise(self.stage, self.stage.numbers, self.stage.look_at)

    def _summarise(self, screen: Stage | Console, numbers: dict[str, str], look_at: Sequence[str]) -> None:
        for name, value in numbers.items():
            screen.log(f"  {name}: {value}")
        for relative in look_at:
            screen.log(f"  look at: {self.workspace / relative}")
        if self.spec.next_script:
            screen.log(f"  next: {self.stage.command(self.spec.next_script)}")


def _given_options(resolved: ResolvedOptions[Any]) -> list[str]:
    """The options of the command line, but for those that `Stage.command` repeats anyway."""
    words: list[str] = []
    for name, entry in resolved.to_json().items():
        if entry["from"] != "command line" or name in {"preset", "quality", "config", "workspace", "force"}:
            continue
        flag, value = f"--{name.replace('_', '-')}", entry["value"]
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, *map(str, value if isinstance(value, list) else [value])]
    return words
