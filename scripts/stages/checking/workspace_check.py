"""A workspace: whether its files are those that its stages wrote, and what is to be made again."""

from __future__ import annotations

import os
import re
import shlex
import typing
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.pages.status import UNRECORDED, StageStatus, judge, read_stages, recorded_options
from scripts.pipeline import Input, Stage, StageOptions, Tool, UserError, files, records, tables
from scripts.pipeline.accounting import describe_counts
from scripts.pipeline.console import StopRequest
from scripts.pipeline.errors import commands_in
from scripts.pipeline.options import given_options
from scripts.stages.checking.finding import Finding

EXAMPLE_COUNT = 3
TEMPORARY = re.compile(rf"{re.escape(files.TEMPORARY_PREFIX)}(?P<pid>\d+)-")


@dataclass
class StageCheck:
    """A stage with what is wrong in it.

    Attributes:
        status: of the stage.
        troubles: what is wrong, in words.
        needs_force: starting over mends it; else the same command goes on.
        can_repeat: the options that it was given can work again.
        advice: command of the message with which it failed, or would refuse to begin; empty if there is none.
    """

    status: StageStatus
    troubles: list[str] = field(default_factory=list)
    needs_force: bool = False
    can_repeat: bool = True
    advice: str = ""

    def add(self, trouble: str, needs_force: bool = False) -> None:
        """Note what is wrong."""
        self.troubles.append(trouble)
        self.needs_force |= needs_force

    def refuse(self, message: str) -> None:
        """Note a message for which the same command would fail again; it names a better one, if it can."""
        self.can_repeat = False
        self.advice = next(reversed(commands_in(message)), "")


class WorkspaceCheck:
    """Compares a workspace with its records.

    Args:
        tool: the running script, which names the workspace.
        changed_bundle: the repository's bundled files are not those of the commit; then what was made from
            them is not judged before they are back.
    """

    def __init__(self, tool: Tool, changed_bundle: bool) -> None:
        self.tool, self.workspace, self.changed_bundle = tool, tool.workspace, changed_bundle
        self.stages = {name: StageCheck(status) for name, status in read_stages(tool.workspace).items()}
        self.file_count = 0

    def findings(self) -> list[Finding]:
        """One line per stage."""
        written: dict[str, dict[str, str]] = defaultdict(dict)
        for relative, (sha256, name) in records.read_outputs(self.workspace).items():
            written[name][relative] = sha256
        for name, stage in self.stages.items():
            if stage.status.state == "complete":
                self._check_files(stage, written[name])
        statuses = {name: stage.status for name, stage in self.stages.items()}
        judge(statuses, self.workspace, self._is_untrusted)
        for stage in self.stages.values():
            self._add_status(stage)
        return [self._finding(stage) for stage in self.stages.values()]

    def _check_files(self, stage: StageCheck, written: Mapping[str, str]) -> None:
        """The files of a finished stage are those that it wrote; `judge` looks for missing ones."""
        if table := UNRECORDED.get(stage.status.name):
            self._check_pictures(stage, table)
        changed = defaultdict(list)
        for relative, sha256 in written.items():
            if (self.workspace / relative).is_file():
                self.file_count += 1
                if records.cached_sha256(self.workspace / relative) != sha256:
                    folder, _, name = relative.rpartition("/")
                    changed[folder].append(name)
        for folder, names in changed.items():
            shown = ", ".join(names[:EXAMPLE_COUNT]) + (", ..." if len(names) > EXAMPLE_COUNT else "")
            are = "is" if len(names) == 1 else f"({len(names)} files) are"
            stage.add(f"{folder}/{shown} {are} not what the stage wrote", needs_force=True)

    def _check_pictures(self, stage: StageCheck, table: str) -> None:
        """Of a stage without a record: the pictures of its table are there."""
        try:
            names = tables.read_csv(self.workspace / table, ("file",))["file"]
        except UserError as error:
            stage.add(str(error))
            return
        self.file_count += len(names)
        missing = [name for name in names if not (self.workspace / name).is_file()]
        if missing:
            stage.add(f"{len(missing)} pictures missing, such as {missing[0]}")

    def _is_untrusted(self, item: Input) -> bool:
        """What a broken maker left is not judged, nor what is no longer as committed."""
        if item.in_repository:
            return self.changed_bundle
        return item.made_by in self.stages and bool(self.stages[item.made_by].troubles)

    def _add_status(self, stage: StageCheck) -> None:
        """What the records say."""
        status = stage.status
        if status.is_unfinished and status.running is None:
            if message := str(((status.record or {}).get("attempts") or [{}])[-1].get("message", "")):
                stage.add(f"not finished (failed: {message.splitlines()[0]})")
                stage.refuse(message)
            else:
                stage.add(f"not finished ({status.last_end}); it goes on where it was")
        for path in status.vanished:
            stage.add(f"{path} vanished")
        if status.changed:
            stage.add(f"stale: {'; '.join(status.changed)}", needs_force=True)
            stage.can_repeat = stage.can_repeat and not status.has_other_options

    def _finding(self, stage: StageCheck) -> Finding:
        status = stage.status
        if status.running is not None:
            return Finding(status.name, f"running now (process {status.running}); its files are not judged")
        if stage.troubles:
            self._look_ahead(stage)
            return Finding(status.name, "; ".join(stage.troubles), self._command(stage))
        if status.record is None:
            return Finding(status.name, "its pictures are all there" if status.has_result else "not run yet")
        return Finding(status.name, _summary(status.record))

    def _look_ahead(self, stage: StageCheck) -> None:
        """Ask the script whether it would begin with the options that it was given."""
        spec, record = stage.status.spec, stage.status.record
        if not (stage.needs_force and stage.can_repeat and record and spec and spec.check):
            return
        options = recorded_options(stage.status.options_class, record)
        makers = (self.stages.get(item.made_by) for item in spec.inputs_for(options))
        if any(maker and maker.troubles for maker in makers):
            return  # to be asked again when its inputs are mended
        options = replace(options, workspace=self.tool.options.workspace)
        assert isinstance(options, StageOptions)
        try:
            spec.check(Stage(spec, options, StopRequest(), writes=False), options)
        except UserError as error:
            stage.troubles.append(f"it would refuse to begin again: {str(error).splitlines()[0]}")
            stage.refuse(str(error))
        except (ImportError, OSError):  # a broken installation has lines of its own
            return

    def _command(self, stage: StageCheck) -> str:
        """The command that mends a stage, with the options that it was given where they can work."""
        if stage.advice:
            return stage.advice
        record, names = stage.status.record or {}, typing.get_type_hints(stage.status.options_class)
        options = {name: entry for name, entry in record.get("options", {}).items() if name in names}
        known = {name: options[name]["value"] for name in ("preset", "quality") if name in options}
        if config := options.get("config", {}).get("value"):
            known["config"] = Path(config)
        given = replace(self.tool.options, **known)
        words = [word for word in given_options(options) if word != "--quiet" and stage.can_repeat]
        if stage.status.spec is not None and (stage.needs_force or not stage.can_repeat):
            words.append("--force")
        name = stage.status.name
        return Tool(name, given, StopRequest(), has_log=False).command(name, *words)


def _summary(record: Mapping[str, Any]) -> str:
    """A complete stage in a few words."""
    attempts = len(record.get("attempts", ())) or 1
    text = f"complete, {record.get('seconds', 0):g} s" + (f" in {attempts} attempts" if attempts > 1 else "")
    counts = describe_counts(record["counts"]) if record.get("counts") else ""
    return "; ".join(filter(None, [text, counts.replace(", 0 skipped", "").replace(", 0 failed", "")]))


def leftovers(workspace: Path) -> list[Finding]:
    """Half-written files of processes that are gone."""
    found = (TEMPORARY.match(name) for name in _names(workspace))
    counts = Counter(int(match["pid"]) for match in found if match)
    dead = sorted(pid for pid in counts if not files.process_is_alive(pid))
    if not dead:
        return []
    tests = shlex.join(
        [word for pid in dead for word in ("-o", "-name", f"{files.TEMPORARY_PREFIX}{pid}-*")][1:]
    )
    text = f"{sum(counts[pid] for pid in dead)} half-written files of {len(dead)} dead runs"
    return [Finding("leftovers", text, f"find {shlex.quote(str(workspace))} '(' {tests} ')' -delete")]


def _names(workspace: Path) -> Iterator[str]:
    """Names of all files of a workspace; links are not followed."""
    return (name for _, _, names in os.walk(workspace) for name in names)
