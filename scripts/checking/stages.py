"""The stages of a workspace: how far each is, and whether its result is still that of its inputs."""

from __future__ import annotations

import csv
import functools
import importlib
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.checking import pictures
from scripts.checking.findings import Finding
from scripts.pipeline import (
    Input,
    StageSpec,
    Tool,
    ToolOptions,
    UsageError,
    UserError,
    fingerprint,
    manifest,
    tables,
)
from scripts.pipeline.accounting import describe_counts
from scripts.pipeline.errors import commands_in
from scripts.pipeline.interrupts import StopRequest
from scripts.pipeline.layers import REPOSITORY, convert
from scripts.pipeline.locks import holder
from scripts.pipeline.processes import FollowingStage
from scripts.pipeline.recorded import content_hash
from scripts.pipeline.runner import given_options

EXAMPLE_COUNT = 3
PICTURES = "stylegan/synthesize_results"
FILTERED = "stylegan/synthesize_results_filtered"
SEGMENTED = "segmentation/segmentation_results"
REGENERATED = "stylegan_modified/synthesize_results"
FACE_KINDS = ("face", "parsing", "parsing_visualization")
MAKERS = {  # folder of pictures -> script
    PICTURES: "01_generate_candidates",
    FILTERED: "02_filter_candidates",
    SEGMENTED: "03_segment_faces",
    REGENERATED: "08_regenerate_images",
}
Row = Mapping[str, str]


def _own_picture(row: Row) -> list[str]:
    return [row["img_path"]]


def _kept_picture(row: Row) -> list[str]:
    kept = [f"{FILTERED}/{row['img_path'].rsplit('/', 1)[-1]}"] if row["kept"] == "1" else []
    return [row["img_path"], *kept]


def _face_pictures(row: Row) -> list[str]:
    faces = [f"{SEGMENTED}/{kind}_{int(row['img_no']):06d}.png" for kind in FACE_KINDS]
    return [row["img_path"], *(faces if row["status"] == "ok" else [])]


SCORES = "segmentation/property_score_results"
TABLES: dict[str, tuple[str, Callable[[Row], list[str]]]] = {  # table -> script, files of a row
    "stylegan/candidates.csv": ("01_generate_candidates", _own_picture),
    "cnn/all_image_quality_and_gender.csv": ("02_filter_candidates", _kept_picture),
    "cnn/inference_result/gender.csv": ("02_filter_candidates", _own_picture),
    "cnn/inference_result/quality.csv": ("02_filter_candidates", _own_picture),
    "segmentation/faces.csv": ("03_segment_faces", _face_pictures),
    f"{SCORES}/raw_scores.csv": ("04_compute_property_scores", _own_picture),
    f"{SCORES}/all_scores.csv": ("04_compute_property_scores", _own_picture),
    f"{SCORES}/all_scores_v2.csv": ("04_compute_property_scores", _own_picture),
    f"{SCORES}/all_scores_v3.csv": ("04_compute_property_scores", _own_picture),
    f"{REGENERATED}/images.csv": ("08_regenerate_images", lambda row: [row["file"]]),
}


@dataclass
class StageState:
    """A stage as the workspace has it.

    Attributes:
        name: of the script.
        record: its ``_stage.json``; None if it never ran.
        running: process that works on it now.
        troubles: what is wrong, in words.
        needs: "run" or "force" if a run mends it, empty if nothing is wrong.
        is_stale: made from other inputs than there are now.
        can_repeat: the options that it was given can work again.
        advice: command of the message with which it failed, or would refuse to begin; empty if there is none.
    """

    name: str
    spec: StageSpec | None
    options_class: type[ToolOptions] | None
    record: dict[str, Any] | None
    running: int | None
    troubles: list[str] = field(default_factory=list)
    needs: str = ""
    is_stale: bool = False
    can_repeat: bool = True
    advice: str = ""

    def add(self, trouble: str, needs: str) -> None:
        """Note what is wrong; starting over mends whatever going on mends, but not the other way round."""
        self.troubles.append(trouble)
        self.needs = "force" if "force" in (self.needs, needs) else needs

    def refuse(self, message: str) -> None:
        """Note a message for which the same command would fail again; it names a better one, if it can."""
        self.can_repeat = False
        self.advice = next(reversed(commands_in(message)), "")


def load_stages(workspace: Path) -> dict[str, StageState]:
    """All numbered scripts with their declarations and records, in order."""
    stages = {}
    for path in sorted((REPOSITORY / "scripts").glob("[0-9][0-9]_*.py")):
        module = importlib.import_module(f"scripts.{path.stem}")
        folder = manifest.stage_folder(workspace, path.stem)
        locks = [folder / manifest.LOCK_NAME, *folder.glob(f"parts/*/{manifest.LOCK_NAME}")]
        running = next((pid for lock in locks if (pid := holder(lock)) is not None), None)
        record = manifest.read(workspace, path.stem)
        spec = getattr(module, "SPEC", None)
        stages[path.stem] = StageState(path.stem, spec, module.Options, record, running)
    return stages


class WorkspaceCheck:
    """Compares a workspace with what its records and tables say.

    Args:
        tool: the running script, which names the workspace.
        deep: decode every picture.
        changed_bundle: the repository's bundled files are not those of the commit; then what was made from
            them is not judged before they are back.
    """

    def __init__(self, tool: Tool, deep: bool, changed_bundle: bool) -> None:
        self.tool, self.workspace, self.deep = tool, tool.workspace, deep
        self.changed_bundle = changed_bundle
        self.stages = load_stages(tool.workspace)
        self._hash = functools.cache(lambda relative: content_hash(self.workspace / relative))
        self.picture_count = 0

    def findings(self) -> list[Finding]:
        """One line per stage."""
        self._check_tables()
        for state in self.stages.values():
            if state.running is None and state.record is not None:
                self._check_record(state)
        return [self._finding(state) for state in self.stages.values()]

    def _check_tables(self) -> None:
        """Every row of every table has its files, and they are whole."""
        listed: dict[str, dict[str, None]] = {}
        for relative, (maker, files_of) in TABLES.items():
            if self.stages[maker].running is None and (self.workspace / relative).is_file():
                try:
                    for row in _rows(self.workspace / relative):
                        for path in files_of(row):
                            if not tables.is_inside(path) or not pictures.has_known_suffix(path):
                                raise ValueError(f"it names {path[:80]!r}, which is no picture of a run")
                            listed.setdefault(path.rpartition("/")[0], {})[path] = None
                except (KeyError, ValueError, csv.Error) as error:
                    self.stages[maker].add(f"{relative} is no readable table ({error})", "force")
        for folder, paths in listed.items():
            self.picture_count += len(paths)
            bad: dict[str, list[str]] = {}
            for path in paths:
                trouble = pictures.trouble(self.workspace / path, self.deep)
                if trouble:
                    bad.setdefault(trouble, []).append(path)
            state = self.stages.get(MAKERS.get(folder, ""))
            if state is not None and state.running is None:
                for trouble, names in bad.items():
                    shown = ", ".join(name.rpartition("/")[2] for name in names[:EXAMPLE_COUNT])
                    more = ", ..." if len(names) > EXAMPLE_COUNT else ""
                    state.add(f"{len(names)} pictures {trouble} in {folder} ({shown}{more})", "force")

    def _check_record(self, state: StageState) -> None:
        """Outputs are there and as recorded, and so are the inputs."""
        record = state.record
        if record["state"] != "complete":
            last = (record.get("attempts") or [{}])[-1]
            if message := str(last.get("message", "")):
                state.add(f"not finished (failed: {message.splitlines()[0]})", "run")
                state.refuse(message)
            else:
                state.add(f"not finished ({last.get('how', 'killed')}); it goes on where it was", "run")
        else:
            self._check_outputs(state)
        if state.spec is not None:
            self._check_inputs(state)

    def _check_outputs(self, state: StageState) -> None:
        record = state.record
        for relative in record.get("outputs", []):
            if not (self.workspace / relative).exists():
                state.add(f"{relative} vanished", "run")
        has_bad_pictures = any("pictures" in trouble for trouble in state.troubles)
        for relative, recorded in record.get("sha256", {}).items():
            path = self.workspace / relative
            if path.is_dir() and has_bad_pictures:
                continue
            if path.exists() and self._hash(relative) != recorded:
                state.add(f"{relative} is not what the stage wrote", "force")

    def _check_inputs(self, state: StageState) -> None:
        """The recorded inputs are those that are there now; what a broken maker left is not judged."""
        depends_on = state.record.get("depends_on", {})
        try:
            options = recorded_options(state.options_class, state.record)
        except (UsageError, KeyError, TypeError, ValueError):
            state.add("made with options that the script no longer has", "force")
            state.is_stale, state.can_repeat = True, False
            return
        inputs = {item.path: item for item in state.spec.inputs_for(options)}
        stale_makers = sorted(
            {item.made_by for item in inputs.values() if self._state_of(item.made_by, "is_stale")}
        )
        if stale_makers:
            state.add(f"made from what {', '.join(stale_makers)} will replace", "force")
            state.is_stale = True
            return
        now = fingerprint.dependencies(state.spec, options, self.workspace, self._input_state)
        for path, item in inputs.items():
            unjudged = self.changed_bundle if item.in_repository else self._state_of(item.made_by, "troubles")
            if unjudged or self._state_of(item.made_by, "running"):
                now["inputs"][path] = depends_on.get("inputs", {}).get(path, now["inputs"][path])
        if fingerprint.fingerprint(now) != state.record["fingerprint"]:
            lines = fingerprint.differences(depends_on, now)
            state.add(f"stale: {'; '.join(lines)}", "force")
            state.is_stale = True

    def _state_of(self, maker: str, attribute: str) -> Any:
        return getattr(self.stages[maker], attribute) if maker in self.stages else None

    def _input_state(self, item: Input, workspace: Path) -> str:
        """`fingerprint.input_state` that remembers nothing on the disk."""
        path = item.locate(workspace)
        if path.is_file():
            return f"sha256 {self._hash(item.path) if not item.in_repository else content_hash(path)}"
        return fingerprint.input_state(item, workspace)

    def _finding(self, state: StageState) -> Finding:
        if state.running is not None:
            return Finding(state.name, f"running now (process {state.running}); its files are not judged")
        if state.troubles:
            self._look_ahead(state)
            return Finding(state.name, "; ".join(state.troubles), self._command(state))
        if state.record is None:
            made = state.spec is None and (self.workspace / REGENERATED / "images.csv").is_file()
            return Finding(state.name, "its pictures are all there" if made else "not run yet")
        return Finding(state.name, _summary(state.record))

    def _look_ahead(self, state: StageState) -> None:
        """Ask the script whether it would begin with the options that it was given."""
        if state.needs != "force" or not state.can_repeat or state.spec is None or state.spec.check is None:
            return
        options = recorded_options(state.options_class, state.record) if state.record else None
        inputs = state.spec.inputs_for(options) if options else ()
        if options is None or any(self._state_of(item.made_by, "troubles") for item in inputs):
            return  # nothing to repeat, or to be asked again when its inputs are mended
        options = replace(options, workspace=self.tool.options.workspace)
        try:
            state.spec.check(FollowingStage(state.spec, options, StopRequest()), options)
        except UserError as error:
            state.troubles.append(f"it would refuse to begin again: {str(error).splitlines()[0]}")
            state.refuse(str(error))

    def _command(self, state: StageState) -> str:
        """The command that mends a stage, with the options that it was given where they can work."""
        if state.advice:
            return state.advice
        record = state.record or {}
        names = typing.get_type_hints(state.options_class)
        options = {name: entry for name, entry in record.get("options", {}).items() if name in names}
        known = {name: options[name]["value"] for name in ("preset", "quality") if name in options}
        config = options.get("config", {}).get("value")
        given = replace(self.tool.options, **known, **({"config": Path(config)} if config else {}))
        words = [word for word in given_options(options) if word != "--quiet" and state.can_repeat]
        if state.spec is not None and (state.needs == "force" or not state.can_repeat):
            words.append("--force")
        return Tool(state.name, given, StopRequest(), has_log=False).command(state.name, *words)


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


def _rows(path: Path) -> Iterator[Row]:
    """Rows of a table; one with missing or surplus fields is a `ValueError`."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has another number of fields than the header")
            yield row


def _summary(record: Mapping[str, Any]) -> str:
    """A complete stage in a few words."""
    attempts = len(record.get("attempts", ())) or 1
    parts = [
        f"complete, {record.get('seconds', 0):g} s" + (f" in {attempts} attempts" if attempts > 1 else "")
    ]
    if record.get("counts"):
        parts.append(describe_counts(record["counts"]).replace(", 0 skipped", "").replace(", 0 failed", ""))
    if "sha256" not in record:
        parts.append("of an earlier version, without hashes")
    return "; ".join(parts)
