"""`run_stage` and `run_tool`: the frame around every script, from the command line to the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

from scripts import wrong_python
from scripts.pipeline import accounting, files, locks, records
from scripts.pipeline.console import Console, closed_output_ends, running_command
from scripts.pipeline.errors import EXIT_INTERRUPTED, EXIT_OK, Interrupted, UserError, explain_file_error
from scripts.pipeline.interrupts import StopRequest
from scripts.pipeline.layers import REPOSITORY
from scripts.pipeline.options import (
    OptionsT,
    ResolvedOptions,
    StageOptions,
    command_line_words,
    resolve_options,
    results_options,
)
from scripts.pipeline.outcome import Outcome
from scripts.pipeline.processes import FollowingStage, FollowingTool, LostError, carry_out, end, one_voice
from scripts.pipeline.spec import StageSpec
from scripts.pipeline.stage import HEARTBEAT_NAME, Stage, Tool


def run_stage(
    spec: StageSpec,
    options_class: type[OptionsT],
    run: Callable[[Stage, OptionsT], None],
    argv: Sequence[str] | None = None,
    follower: type[Stage] = FollowingStage,
) -> NoReturn:
    """Run a numbered script and leave with its exit code.

    Args:
        spec: what the stage reads and writes.
        options_class: its options, a frozen subclass of `StageOptions`.
        run: the work itself; called only if there is something to do.
        argv: command line without the program's name; None: that of the process.
        follower: what ``run`` receives in all processes but the first where torchrun starts several.

    Raises:
        SystemExit: 0 done or up to date, 2 command line, 3 missing input, 4 too many failures, 5 other
            foreseen error, 130 Ctrl-C. Any other exception is a bug and keeps its traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)

    def body(stop: StopRequest, outcome: Outcome) -> None:
        with one_voice():
            resolved = resolve_options(options_class, spec.name, arguments)

        def execute(work: Callable[[Stage, OptionsT], None]) -> None:
            stage_run = StageRun(spec, resolved, stop)
            outcome.tool = stage_run.stage
            stage_run.execute(work)

        further = partial(follower, spec, resolved.options, stop)
        carry_out(spec.name, spec.several_processes, execute, further, run)

    sys.exit(guard(body, spec.name, arguments))


def run_tool(
    options_class: type[OptionsT],
    run: Callable[[Tool, OptionsT], None],
    argv: Sequence[str] | None = None,
    account: Literal["always", "if possible", "never"] = "always",
    several_processes: bool = False,
) -> NoReturn:
    """Run a script without a number: the same options, messages and exit codes; its account, ``run.json``,
    lies beside its log.

    Args:
        options_class: its options, a frozen subclass of `ToolOptions`.
        run: the work; the file that defines it names the table in the TOML files.
        argv: command line without the program's name; None: that of the process.
        account: "never" for a script that must not write anything; "if possible" for one that shows what is
            there, also in a workspace that can only be read. Others end at once where they cannot write.
        several_processes: torchrun may run it in several processes, which share its work.
    """
    tool_name = Path(run.__code__.co_filename).stem
    arguments = sys.argv[1:] if argv is None else list(argv)

    def body(stop: StopRequest, outcome: Outcome) -> None:
        with one_voice():
            resolved = resolve_options(options_class, tool_name, arguments)

        def execute(work: Callable[[Tool, OptionsT], None]) -> None:
            tool = outcome.tool = Tool(tool_name, resolved.options, stop, has_log=account != "never")
            if account == "never" or (account == "if possible" and not tool.can_log()):
                work(tool, resolved.options)
                return
            files.remove_leftovers((tool.log_dir,))
            files.write_json(tool.log_dir / "options.json", resolved.to_json())
            origin = accounting.origin(resolved.options)
            record = {"script": tool_name, "options": resolved.to_json(), **origin}

            def save() -> None:
                files.write_json(tool.log_dir / "run.json", record)

            with accounting.attempt(record, (), tool, save):
                work(tool, resolved.options)

        follower = partial(FollowingTool, tool_name, resolved.options, stop)
        carry_out(tool_name, several_processes, execute, follower, run)

    sys.exit(guard(body, tool_name, arguments))


def guard(body: Callable[[StopRequest, Outcome], None], name: str, argv: Sequence[str]) -> int:
    """Run the body; foreseen errors become one message and an exit code, all ends one object for --json.

    Args:
        body: the run; it tells the outcome the tool as soon as there is one.
        name: of the script.
        argv: its command line.
    """
    with closed_output_ends(), Outcome(name, argv) as outcome:
        code, outcome.message = _guarded(body, name, outcome)
        outcome.exit_code = end(outcome.message, code) if outcome.message else code
    return outcome.exit_code


def _guarded(body: Callable[[StopRequest, Outcome], None], name: str, outcome: Outcome) -> tuple[int, str]:
    """Exit code and message."""
    same = "the same command" + (" without --force" if "--force" in sys.argv else "")
    go_on = f"What is finished is kept; {same} goes on from there:\n    {running_command(('--force',))}"
    try:
        with StopRequest() as stop:
            body(stop, outcome)
    except (Interrupted, KeyboardInterrupt):
        return EXIT_INTERRUPTED, f"{name} stopped. {go_on}"
    except LostError as error:
        return error.exit_code, f"{name}: {error} {go_on}"
    except UserError as error:
        return error.exit_code, f"{name}: {error}"
    except ModuleNotFoundError as error:
        if (REPOSITORY / str(error.name).split(".")[0]).exists():  # a mistake of ours
            raise
        return UserError.exit_code, f"{name}: {wrong_python(f'has no package {error.name}')}"
    except Exception as error:
        from segmentation.memory import is_out_of_memory  # loads torch

        message = explain_file_error(error, _elsewhere(outcome, error), go_on)
        if not message and is_out_of_memory(error):
            reason = str(error).partition("\n")[0] or type(error).__name__
            message = (
                f"there is not enough memory ({reason}). Close other programs, or use another "
                f"--device{_smaller_batch(outcome)}. {go_on}"
            )
        if not message:
            raise
        return UserError.exit_code, f"{name}: {message}"
    return EXIT_OK, ""


def _elsewhere(outcome: Outcome, error: Exception) -> str:
    """The options of the script that name another place for what it could not write."""
    tool = outcome.tool
    if tool is None or str(getattr(error, "filename", "")).startswith(str(tool.log_dir)):
        return "--workspace"
    places = [name for name in ("out", "workspace") if hasattr(tool.options, name)]
    return " or ".join(f"--{name}" for name in places)


def _smaller_batch(outcome: Outcome) -> str:
    """The advice to use a smaller batch, for scripts that have batches."""
    options = outcome.tool.options if outcome.tool is not None else None
    if not hasattr(options, "batch_size"):
        return ""
    advice = f", or a --batch-size below {options.batch_size}"
    decides = "batch_size" in results_options(options)
    return advice + (" (which gives another result, so it needs --force)" if decides else "")


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
        with locks.locked(records.stage_folder(self.workspace, self.spec.name)), self._inputs_kept():
            depends_on = records.dependencies(self.spec, self.options, self.workspace)
            previous = records.read(self.workspace, self.spec.name)
            if previous is None or self.options.force:
                self.stage.check_device()
                if self.spec.check is not None:
                    self.spec.check(self.stage, self.options)
            if previous is not None and not self.options.force:
                self._check_same(previous, depends_on)
                if previous["state"] == "complete":
                    if self.spec.confirm is not None:
                        self.spec.confirm(self.stage, self.options)
                    if self._is_up_to_date(previous):
                        return
            with locks.changing(self.workspace, self.spec.name):
                if self.options.force:
                    self._clear()
                    previous = None
                elif previous is None:
                    self._remove_journals()
                files.remove_leftovers((self.workspace, self.stage.log_dir))
                self._run(run, depends_on, self.earlier_attempts(previous))

    @contextmanager
    def _inputs_kept(self) -> Iterator[None]:
        """Keep others from changing the inputs; they are complete, also if they changed just before."""
        makers = [item.made_by for item in self.stage.inputs if item.made_by]
        with locks.reading(self.workspace, makers):
            self.stage.check_inputs()
            yield

    def earlier_attempts(self, previous: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Attempts that led to what is there already."""
        heartbeat = self.stage.folder / HEARTBEAT_NAME
        return accounting.closed(previous, heartbeat.stat().st_mtime if heartbeat.exists() else None)

    def _remove_journals(self) -> None:
        """Remove the rows of finished items: without a record nobody knows which options made them."""
        for path in self.stage.folder.glob("*.csv"):
            files.remove(path)

    def _clear(self) -> None:
        """Remove everything that the stage made, the journals first: they vouch for the rest."""
        kept = {self.workspace / relative for relative in self.spec.keeps(self.stage)}
        self._remove_journals()
        files.remove(self.stage.folder / records.MANIFEST_NAME)
        for relative in (*self.outputs, *self.spec.clears):
            files.remove(self.workspace / relative, kept)

    def _check_same(self, previous: dict[str, Any], depends_on: dict[str, Any]) -> None:
        if previous["fingerprint"] == records.fingerprint(depends_on):
            return
        lines = records.differences(previous.get("depends_on", {}), depends_on)
        quality = previous.get("options", {}).get("quality", {}).get("value", "quick")
        if quality != self.options.quality:
            lines.insert(0, f'--quality: was "{quality}", is "{self.options.quality}"')
        state = "was made" if previous["state"] == "complete" else "was begun"
        again = self.stage.command(self.spec.name, *given_options(self.resolved.to_json()), "--force")
        raise UserError(
            "\n    ".join([f"the result in {self.workspace} {state} with other settings or inputs:", *lines])
            + "\nMixing the two would spoil it. Give the earlier values, or another --workspace to keep "
            + f"both, or remove the result and start over:\n    {again}"
        )

    def _is_up_to_date(self, previous: dict[str, Any]) -> bool:
        vanished = records.vanished(self.workspace, self.spec.name, self.outputs)
        if vanished:
            self.stage.log(f"{self.spec.name}: {', '.join(vanished)} vanished; making it again.")
            return False
        self.stage.record = previous | {"state": "up to date"}
        # The log file stays as the real run left it: nothing happened now.
        screen = Console(None, self.options.quiet)
        screen.log(f"{self.spec.name} is up to date ({previous.get('finished', 'earlier')}).")
        self._summarise(screen, previous.get("numbers", {}), previous.get("look_at", []))
        return True

    def _run(
        self,
        run: Callable[[Stage, Any], None],
        depends_on: dict[str, Any],
        earlier: Sequence[dict[str, Any]],
    ) -> None:
        resolved_json = self.resolved.to_json()
        record = {
            "stage": self.spec.name,
            "state": "running",
            "fingerprint": records.fingerprint(depends_on),
            "depends_on": depends_on,
            "options": resolved_json,
            **accounting.origin(self.options, self.spec.version),
        }

        def save() -> None:
            records.write(self.workspace, self.spec.name, record)

        with accounting.attempt(record, earlier, self.stage, save) as seconds:
            for folder in (self.stage.folder, self.stage.log_dir):
                files.write_json(folder / "options.json", resolved_json)
            run(self.stage, self.options)
            missing = [relative for relative in self.outputs if not (self.workspace / relative).exists()]
            if missing:
                raise RuntimeError(f"{self.spec.name} ended without its outputs {missing}")
            item_folders = {self.workspace / relative for relative in self.spec.item_folders}
            folders = item_folders | {(self.workspace / name).parent for name in self.outputs}
            files.sync_folders(folder for folder in folders if folder.is_dir())
            made = (*self.outputs, *self.spec.item_folders)
            record |= {
                "state": "complete",
                "finished": records.now(),
                "numbers": self.stage.numbers,
                "look_at": self.stage.look_at,
                "outputs": list(self.outputs),
                "sha256": records.write_outputs(self.workspace, self.spec.name, made),
            }
            self.stage.record = record
            self.stage.log(f"{self.spec.name} finished in {seconds():.1f} s.")
            self._summarise(self.stage, self.stage.numbers, self.stage.look_at)

    def _summarise(self, screen: Stage | Console, numbers: dict[str, str], look_at: Sequence[str]) -> None:
        for name, value in numbers.items():
            screen.log(f"  {name}: {value}")
        for relative in look_at:
            screen.log(f"  look at: {self.workspace / relative}")
        if self.spec.next_script:
            screen.log(f"  next: {self.stage.command(self.spec.next_script)}")


def given_options(options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The options of the command line, but for those that `Stage.command` repeats anyway.

    Args:
        options: as of `ResolvedOptions.to_json`.
    """
    repeated = {"preset", "quality", "config", "workspace", "force"}
    return command_line_words({name: entry for name, entry in options.items() if name not in repeated})
