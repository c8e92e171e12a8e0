"""`run_stage` and `run_tool`: the frame around every script, from the command line to the exit code."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal, NoReturn

from scripts import wrong_python
from scripts.pipeline import accounting, files, locks, records, torchrun
from scripts.pipeline.console import StopRequest, closed_output_ends, running_command
from scripts.pipeline.endings import as_json, explain
from scripts.pipeline.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    NOT_WRITABLE,
    Interrupted,
    MissingInputError,
    UserError,
)
from scripts.pipeline.options import OptionsT, ResolvedOptions, StageOptionsT, given_options, resolve_options
from scripts.pipeline.places import REPOSITORY, script_path
from scripts.pipeline.spec import StageSpec
from scripts.pipeline.stage import HEARTBEAT_NAME, Stage, Tool

UNFORESEEN = 1
Work = Callable[[Any, Any], None]


def run_stage(
    spec: StageSpec,
    options_class: type[StageOptionsT],
    run: Callable[[Stage, StageOptionsT], None],
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

    def begin(resolved: ResolvedOptions[StageOptionsT], stop: StopRequest, writes: bool) -> StageRun:
        return StageRun(Stage(spec, resolved.options, stop, writes=writes), resolved, run)

    sys.exit(_run_script(spec.name, options_class, argv, begin, spec.several_processes))


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
    name = Path(run.__code__.co_filename).stem

    def begin(resolved: ResolvedOptions[OptionsT], stop: StopRequest, writes: bool) -> ToolRun:
        tool = Tool(name, resolved.options, stop, has_log=account != "never", writes=writes)
        return ToolRun(tool, resolved, run, account)

    sys.exit(_run_script(name, options_class, argv, begin, several_processes))


def _run_script(
    name: str,
    options_class: type[OptionsT],
    argv: Sequence[str] | None,
    begin: Callable[[ResolvedOptions[OptionsT], StopRequest, bool], ToolRun],
    several_processes: bool,
) -> int:
    """Exit code of a script; under ``--json`` standard output gets one object, however the run ends."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    given = [word for word in arguments if word in {"--json", "--no-json"}][-1:]
    wants_json = given == ["--json"] and torchrun.is_first() and not {"-h", "--help"} & set(arguments)
    began_at, runs = time.monotonic(), []
    code, message = UNFORESEEN, ""

    def body(stop: StopRequest) -> None:
        with ExitStack() as silence:  # of several processes, one prints help and wrong options
            if not torchrun.is_first():
                nowhere = silence.enter_context(open(os.devnull, "w"))
                silence.enter_context(redirect_stdout(nowhere))
                silence.enter_context(redirect_stderr(nowhere))
            resolved = resolve_options(options_class, name, arguments)
        runs.append(begin(resolved, stop, torchrun.is_first()))
        runs[0].carry_out(several_processes)

    with closed_output_ends(), ExitStack() as output:
        if wants_json:
            output.enter_context(redirect_stdout(sys.stderr))
        try:
            code, message = _guarded(body, name, runs)
            if message:
                code = torchrun.end(message, code)
        except SystemExit as error:
            code = int(error.code or 0)
            message = f"the command line has a mistake; see {script_path(name)} --help"
            raise
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
            raise
        finally:
            if wants_json:
                output.close()
                found = as_json(name, runs[0].tool if runs else None, code, message, began_at)
                print(json.dumps(found, ensure_ascii=False), flush=True)
    return code


def _guarded(body: Callable[[StopRequest], None], name: str, runs: Sequence[ToolRun]) -> tuple[int, str]:
    """Run the body; returns the exit code, and one message for an error that was foreseen."""
    same = "the same command" + (" without --force" if "--force" in sys.argv else "")
    go_on = f"What is finished is kept; {same} goes on from there:\n    {running_command(('--force',))}"
    try:
        with StopRequest() as stop:
            body(stop)
    except (Interrupted, KeyboardInterrupt):
        return EXIT_INTERRUPTED, f"{name} stopped. {go_on}"
    except torchrun.LostError as error:
        return error.exit_code, f"{name}: {error} {go_on}"
    except UserError as error:
        return error.exit_code, f"{name}: {error}"
    except ModuleNotFoundError as error:
        if (REPOSITORY / str(error.name).split(".")[0]).exists():  # a mistake of ours
            raise
        return UserError.exit_code, f"{name}: {wrong_python(f'has no package {error.name}')}"
    except Exception as error:
        message = explain(error, runs[0].tool if runs else None, go_on)
        if not message:
            raise
        return UserError.exit_code, f"{name}: {message}"
    return EXIT_OK, ""


class ToolRun:
    """One run of a script without a number."""

    def __init__(
        self, tool: Tool, resolved: ResolvedOptions[Any], run: Work, account: str = "always"
    ) -> None:
        self.tool = tool
        self.resolved = resolved
        self.run = run
        self.account = account

    def carry_out(self, several_processes: bool) -> None:
        """Do what is to be done, in this process that may be one of several.

        Raises:
            UserError: several processes run a script that cannot use them, or one of them was lost.
        """
        place = torchrun.place_among_processes()
        if place is not None and not several_processes:
            raise UserError(
                f"torchrun started {place.count} processes, and {self.tool.name} cannot share its work among "
                "them, so they would write the same files. Start it without torchrun."
            )
        if self.tool.writes:
            self.execute()
            torchrun.dismiss()
        else:
            torchrun.follow(self.tool, self.work_along)

    def work_along(self) -> None:
        """The work in a process that is not the first."""
        self.run(self.tool, self.tool.options)

    def work(self) -> None:
        """The work itself, together with the other processes."""
        self.tool.check_stop()  # another process that was asked to stop while it waited has left
        with torchrun.leading(self.tool):
            self.run(self.tool, self.tool.options)

    def execute(self) -> None:
        """The run of the first process, with its account."""
        tool, options = self.tool, self.resolved.to_json()
        if self.account == "if possible":
            try:
                files.check_writable(tool.log_dir)
            except OSError as error:
                if error.errno not in NOT_WRITABLE:
                    raise
                tool.log_path = None
                tool.say(
                    f"{tool.log_dir} cannot be written ({error.strerror}), so this run leaves no log there."
                )
        if tool.log_path is None:
            self.work()
            return
        files.remove_leftovers((tool.log_dir,))
        files.write(tool.log_dir / "options.json", options)
        record = {"script": tool.name, "options": options, **accounting.origin(tool.options)}
        with accounting.attempt(record, (), tool, lambda: files.write(tool.log_dir / "run.json", record)):
            self.work()


class StageRun(ToolRun):
    """One run of a stage: up to date, refused, resumed or done from the start."""

    tool: Stage

    def __init__(self, stage: Stage, resolved: ResolvedOptions[Any], run: Work) -> None:
        super().__init__(stage, resolved, run)
        self.spec = stage.spec
        self.workspace = stage.workspace
        self.outputs = stage.spec.outputs_for(stage.options)

    def work_along(self) -> None:
        try:
            self.tool.check_inputs()
        except MissingInputError as error:
            raise MissingInputError(
                f"a process on {socket.gethostname()} does not see what the first one sees, but all machines "
                f"must share the workspace: {error}"
            ) from error
        super().work_along()

    def execute(self) -> None:
        """Decide what is to be done, and do it. See `run_stage` for the errors."""
        stage, options, spec = self.tool, self.tool.options, self.spec
        stage.check_inputs()
        with locks.locked(stage.folder), self._inputs_kept():
            depends_on = records.dependencies(spec, options, self.workspace)
            previous = None if options.force else records.read(self.workspace, spec.name)
            if previous is None:
                if options.device.startswith("cuda"):
                    stage.device  # noqa: B018  (notices a missing GPU before anything is removed)
                if spec.check is not None:
                    spec.check(stage, options)
            else:
                self._check_same(previous, depends_on)
                if previous["state"] == "complete":
                    if spec.confirm is not None:
                        spec.confirm(stage, options)
                    if self._is_up_to_date(previous):
                        return
            with locks.changing(self.workspace, spec.name):
                if previous is None:
                    self._clear()
                files.remove_leftovers((self.workspace, stage.log_dir))
                heartbeat = stage.folder / HEARTBEAT_NAME
                alive_at = heartbeat.stat().st_mtime if heartbeat.exists() else None
                self._make(depends_on, accounting.closed(previous, alive_at))

    @contextmanager
    def _inputs_kept(self) -> Iterator[None]:
        """Keep others from changing the inputs; they are complete, also if they changed just before."""
        makers = [item.made_by for item in self.tool.inputs if item.made_by]
        with locks.reading(self.workspace, makers):
            self.tool.check_inputs()
            yield

    def _clear(self) -> None:
        """Remove what the stage made: without a record, at least the rows that nobody can vouch for."""
        for path in (*self.tool.folder.glob("*.csv"), self.tool.folder / records.MANIFEST_NAME):
            files.remove(path)
        if self.tool.options.force:
            kept = {self.workspace / relative for relative in self.spec.keeps(self.tool)}
            for relative in (*self.outputs, *self.spec.clears):
                files.remove(self.workspace / relative, kept)

    def _check_same(self, previous: dict[str, Any], depends_on: dict[str, Any]) -> None:
        lines = records.differences(previous.get("depends_on", {}), depends_on)
        if not lines:
            return
        was = previous.get("options", {}).get("quality", {}).get("value", "quick")
        if was != self.tool.options.quality:
            lines.insert(0, f'--quality: was "{was}", is "{self.tool.options.quality}"')
        state = "was made" if previous["state"] == "complete" else "was begun"
        again = self.tool.command(self.spec.name, *given_options(self.resolved.to_json()), "--force")
        raise UserError(
            "\n    ".join([f"the result in {self.workspace} {state} with other settings or inputs:", *lines])
            + "\nMixing the two would spoil it. Give the earlier values, or another --workspace to keep "
            + f"both, or remove the result and start over:\n    {again}"
        )

    def _is_up_to_date(self, previous: dict[str, Any]) -> bool:
        vanished = records.vanished(self.workspace, self.spec.name, self.outputs)
        if vanished:
            self.tool.log(f"{self.spec.name}: {', '.join(vanished)} vanished; making it again.")
            return False
        self.tool.record = previous | {"state": "up to date"}
        # The log file stays as the real run left it: nothing happened now.
        self.tool.say(f"{self.spec.name} is up to date ({previous.get('finished', 'earlier')}).")
        self._summarise(self.tool.say)
        return True

    def _make(self, depends_on: dict[str, Any], earlier: Sequence[dict[str, Any]]) -> None:
        stage, options = self.tool, self.resolved.to_json()
        record = {
            "stage": stage.name,
            "state": "running",
            "fingerprint": records.fingerprint(depends_on),
            "depends_on": depends_on,
            "options": options,
            **accounting.origin(stage.options, self.spec.version),
        }
        made = (*self.outputs, *self.spec.item_folders)

        def save() -> None:
            records.write(self.workspace, stage.name, record)

        with accounting.attempt(record, earlier, stage, save) as seconds:
            for folder in (stage.folder, stage.log_dir):
                files.write(folder / "options.json", options)
            self.work()
            missing = [relative for relative in self.outputs if not (self.workspace / relative).exists()]
            if missing:
                raise RuntimeError(f"{stage.name} ended without its outputs {missing}")
            folders = {(self.workspace / relative).parent for relative in self.outputs}
            folders |= {self.workspace / relative for relative in self.spec.item_folders}
            files.sync_folders(folder for folder in folders if folder.is_dir())
            record |= {
                "state": "complete",
                "finished": records.now(),
                "numbers": stage.numbers,
                "look_at": stage.look_at,
                "outputs": list(self.outputs),
                "sha256": records.write_outputs(self.workspace, stage.name, made),
            }
            stage.record = record
            stage.log(f"{stage.name} finished in {seconds():.1f} s.")
            self._summarise(stage.log)

    def _summarise(self, say: Callable[[str], None]) -> None:
        record = self.tool.record
        for name, value in record.get("numbers", {}).items():
            say(f"  {name}: {value}")
        for relative in record.get("look_at", ()):
            say(f"  look at: {self.workspace / relative}")
        if self.spec.next_script:
            say(f"  next: {self.tool.command(self.spec.next_script)}")
