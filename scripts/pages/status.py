"""How far every numbered script is in a workspace, and whether its result still follows from what is there.

Report and check_setup ask here; the rules are those by which a stage decides whether it is up to date.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scripts.pipeline import REPOSITORY, Input, StageSpec, ToolOptions, UsageError, files, records
from scripts.pipeline.layers import convert
from scripts.pipeline.locks import LOCK_NAME, holder
from scripts.pipeline.places import script_path
from scripts.pipeline.records import vanished
from scripts.pipeline.row import MAIN_ROW, ROWS
from scripts.stages.workspace import REGENERATED_TABLE, SKETCH_DRAWN, VAE_GENERATED_TABLE

RUN_NAME = "run.json"  # in the log folder of a tool
State = Literal["never run", "running", "interrupted", "failed", "stale", "complete"]
# Scripts that keep no record -> the table that they write last.
UNRECORDED = {
    "08_regenerate_images": REGENERATED_TABLE,
    "24_generate_cvae": VAE_GENERATED_TABLE,
    "32_draw_from_sketch": f"{SKETCH_DRAWN}/images.csv",
}


@dataclass
class StageStatus:
    """A numbered script as the workspace has it.

    Attributes:
        name: of the script.
        spec: its declaration; None if it keeps no record.
        options_class: its options.
        record: its ``_stage.json``; None if there is none.
        account: the record, or of a script without one the account of its last run; empty if it never ran.
        has_result: it keeps no record, but its table is there.
        running: process that works on it now.
        vanished: what it wrote and is gone; running it again mends that.
        changed: what it was made from and is another now, in words; ``--force`` mends that.
        has_other_options: one of the changes: the script no longer has the options that it was given.
    """

    name: str
    spec: StageSpec | None
    options_class: type[ToolOptions]
    record: dict[str, Any] | None
    account: Mapping[str, Any] = field(default_factory=dict)
    has_result: bool = False
    running: int | None = None
    vanished: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    has_other_options: bool = False

    @property
    def number(self) -> str:
        """The two digits of its name."""
        return self.name[:2]

    @property
    def purpose(self) -> str:
        """What the script does, in a sentence or two."""
        return inspect.cleandoc(self.options_class.__doc__ or "").partition("\n\n")[0]

    def option(self, name: str) -> Any:
        """The value of an option in its last run; None if it is unknown."""
        return self.account.get("options", {}).get(name, {}).get("value")

    @property
    def seconds(self) -> float | None:
        """How long it took, if it is known."""
        return self.account.get("seconds")

    @property
    def command(self) -> str:
        """The command line of its last run."""
        return self.account.get("command", f"python {script_path(self.name)}")

    @property
    def mending_command(self) -> str:
        """The command line that makes a stale result good."""
        return f"{self.command} --force" if self.changed and "--force" not in self.command else self.command

    @property
    def reasons(self) -> list[str]:
        """Why it is stale."""
        return [*(f"{path} is gone" for path in self.vanished), *self.changed]

    @property
    def is_unfinished(self) -> bool:
        """True if its last run did not end, or runs now."""
        return self.record is not None and self.record["state"] != "complete"

    @property
    def last_end(self) -> str:
        """How its last attempt ended; one that could not say so was killed."""
        return ((self.record or {}).get("attempts") or [{}])[-1].get("how", "killed")

    @property
    def state(self) -> State:
        """In a word; stale is a complete result that would not come out again, or is no longer whole."""
        if self.running is not None:
            return "running"
        if self.record is None:
            return "complete" if self.has_result else "never run"
        if self.is_unfinished:
            return "failed" if self.last_end == "failed" else "interrupted"
        return "stale" if self.vanished or self.changed else "complete"


def read_stages(workspace: Path, logs: Path | None = None) -> dict[str, StageStatus]:
    """The numbered scripts of the main row, and of every other row that was begun in this workspace, with
    their declarations and records, in order. `judge` completes them.

    Args:
        workspace: of the run.
        logs: folder with one folder of logs per script, for accounts of scripts without a record.
    """
    stages = {}
    for path in sorted((REPOSITORY / "scripts").glob("[0-9][0-9]_*.py")):
        name, module = path.stem, importlib.import_module(f"scripts.{path.stem}")
        folder = records.stage_folder(workspace, name)
        record = records.read(workspace, name)
        stages[name] = StageStatus(
            name,
            getattr(module, "SPEC", None),
            module.Options,
            record,
            record or (_account(logs / name / RUN_NAME) if logs and name in UNRECORDED else {}),
            name in UNRECORDED and (workspace / UNRECORDED[name]).is_file(),
            holder(folder / LOCK_NAME),
        )
    begun = {ROWS[MAIN_ROW]} | {stage.name[0] for stage in stages.values() if stage.state != "never run"}
    return {name: stage for name, stage in stages.items() if name[0] in begun}


def judge(
    stages: Mapping[str, StageStatus],
    workspace: Path,
    is_untrusted: Callable[[Input], bool] = lambda item: False,
) -> None:
    """Find what vanished and what changed, of the stages that do not run now.

    Args:
        stages: of `read_stages`; ``vanished`` and ``changed`` are filled in.
        workspace: of the run.
        is_untrusted: True for an input that has to be mended first, and is not judged before.
    """
    for stage in stages.values():
        if stage.running is not None or stage.record is None or stage.spec is None:
            continue
        if not stage.is_unfinished:
            stage.vanished = vanished(workspace, stage.name, stage.record.get("outputs", ()))
        try:
            options = recorded_options(stage.options_class, stage.record)
        except (UsageError, KeyError, TypeError, ValueError):
            stage.changed, stage.has_other_options = ["made with options that the script no longer has"], True
            continue
        inputs = stage.spec.inputs_for(options)
        makers = {item.made_by: stages[item.made_by] for item in inputs if item.made_by in stages}
        replaced = sorted(name for name, maker in makers.items() if maker.changed)
        if replaced:
            stage.changed = [f"made from what {', '.join(replaced)} will replace"]
            continue
        depends_on = stage.record.get("depends_on", {})
        now = records.dependencies(stage.spec, options, workspace)
        for item in inputs:
            maker = makers.get(item.made_by)
            is_open = maker and (maker.running is not None or maker.is_unfinished or maker.vanished)
            if is_open or is_untrusted(item):
                now["inputs"][item.path] = depends_on.get("inputs", {}).get(
                    item.path, now["inputs"][item.path]
                )
        if records.fingerprint(now) != stage.record["fingerprint"]:
            stage.changed = records.differences(depends_on, now)


def _account(path: Path) -> dict[str, Any]:
    """What a tool left about its last run; empty if there is nothing that can be read."""
    try:
        return files.read_json(path)
    except (OSError, files.TextFileError):
        return {}


def recorded_options(options_class: type[ToolOptions], record: Mapping[str, Any]) -> ToolOptions:
    """The options of a recorded run; one that is gone and changed no result is left out.

    Raises:
        UsageError, KeyError, TypeError, ValueError: the script has other options today.
    """
    hints = typing.get_type_hints(options_class)
    counted = record.get("depends_on", {}).get("options", {})
    values = {
        name: convert(entry["value"], hints[name], name)
        for name, entry in record["options"].items()
        if entry["value"] is not None and (name in hints or name in counted)
    }
    return options_class(**values)
