"""The stages of a workspace: how far each is, and whether its result is still that of its inputs."""

from __future__ import annotations

import csv
import functools
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.pages.status import StageStatus, judge, read_stages, recorded_options
from scripts.pipeline import Input, Stage, StageOptions, Tool, UserError, records
from scripts.pipeline.accounting import describe_counts
from scripts.pipeline.console import StopRequest
from scripts.pipeline.errors import commands_in
from scripts.pipeline.options import given_options
from scripts.pipeline.records import content_hash
from scripts.stages.checking import pictures
from scripts.stages.checking.findings import Finding
from scripts.stages.workspace import (
    CANDIDATE_PICTURES,
    CANDIDATES,
    FACES,
    FILTER_TABLE,
    KEPT_PICTURES,
    RAW_SCORES,
    REGENERATED,
    REGENERATED_TABLE,
    SCORE_TABLES,
    SCORES,
    SEGMENTED,
)

EXAMPLE_COUNT = 3
FACE_KINDS = ("face", "parsing", "parsing_visualization")
MAKERS = {  # folder of pictures -> script
    CANDIDATE_PICTURES: "01_generate_candidates",
    KEPT_PICTURES: "02_filter_candidates",
    SEGMENTED: "03_segment_faces",
    REGENERATED: "08_regenerate_images",
}
Row = Mapping[str, str]


def _own_picture(row: Row) -> list[str]:
    return [row["img_path"]]


def _kept_picture(row: Row) -> list[str]:
    kept = [f"{KEPT_PICTURES}/{row['img_path'].rsplit('/', 1)[-1]}"] if row["kept"] == "1" else []
    return [row["img_path"], *kept]


def _face_pictures(row: Row) -> list[str]:
    faces = [f"{SEGMENTED}/{kind}_{int(row['img_no']):06d}.png" for kind in FACE_KINDS]
    return [row["img_path"], *(faces if row["status"] == "ok" else [])]


TABLES: dict[str, tuple[str, Callable[[Row], list[str]]]] = {  # table -> script, files of a row
    CANDIDATES: ("01_generate_candidates", _own_picture),
    FILTER_TABLE: ("02_filter_candidates", _kept_picture),
    "cnn/inference_result/gender.csv": ("02_filter_candidates", _own_picture),
    "cnn/inference_result/quality.csv": ("02_filter_candidates", _own_picture),
    FACES: ("03_segment_faces", _face_pictures),
    RAW_SCORES: ("04_compute_property_scores", _own_picture),
    SCORE_TABLES[1]: ("04_compute_property_scores", _own_picture),
    SCORE_TABLES[2]: ("04_compute_property_scores", _own_picture),
    SCORES: ("04_compute_property_scores", _own_picture),
    REGENERATED_TABLE: ("08_regenerate_images", lambda row: [row["file"]]),
}


@dataclass
class StageCheck:
    """A stage with what is wrong in it.

    Attributes:
        status: of the stage.
        troubles: what is wrong, in words.
        needs: "run" or "force" if a run mends it, empty if nothing is wrong.
        can_repeat: the options that it was given can work again.
        advice: command of the message with which it failed, or would refuse to begin; empty if there is none.
    """

    status: StageStatus
    troubles: list[str] = field(default_factory=list)
    needs: str = ""
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
        self.stages = {name: StageCheck(status) for name, status in read_stages(tool.workspace).items()}
        self._hash = functools.cache(lambda relative: content_hash(self.workspace / relative))
        self.picture_count = 0

    def findings(self) -> list[Finding]:
        """One line per stage."""
        self._check_tables()
        for stage in self.stages.values():
            self._check_outputs(stage)
        statuses = {name: stage.status for name, stage in self.stages.items()}
        judge(statuses, self.workspace, self._input_state, self._is_untrusted)
        for stage in self.stages.values():
            self._add_status(stage)
        return [self._finding(stage) for stage in self.stages.values()]

    def _check_tables(self) -> None:
        """Every row of every table has its files, and they are whole."""
        listed: dict[str, dict[str, None]] = {}
        for relative, (maker, files_of) in TABLES.items():
            if self.stages[maker].status.running is None and (self.workspace / relative).is_file():
                try:
                    for row in _rows(self.workspace / relative):
                        for path in files_of(row):
                            if not pictures.has_known_suffix(path):
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
            stage = self.stages.get(MAKERS.get(folder, ""))
            if stage is not None and stage.status.running is None:
                for trouble, names in bad.items():
                    shown = ", ".join(name.rpartition("/")[2] for name in names[:EXAMPLE_COUNT])
                    more = ", ..." if len(names) > EXAMPLE_COUNT else ""
                    stage.add(f"{len(names)} pictures {trouble} in {folder} ({shown}{more})", "force")

    def _check_outputs(self, stage: StageCheck) -> None:
        """The files of a finished stage are those that it wrote."""
        if stage.status.state != "complete":
            return
        has_bad_pictures = any("pictures" in trouble for trouble in stage.troubles)
        for relative, recorded in (stage.status.record or {}).get("sha256", {}).items():
            path = self.workspace / relative
            if path.is_dir() and has_bad_pictures:
                continue
            if path.exists() and self._hash(relative) != recorded:
                stage.add(f"{relative} is not what the stage wrote", "force")

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
                stage.add(f"not finished (failed: {message.splitlines()[0]})", "run")
                stage.refuse(message)
            else:
                stage.add(f"not finished ({status.last_end}); it goes on where it was", "run")
        for path in status.vanished:
            stage.add(f"{path} vanished", "run")
        if status.changed:
            stage.add(f"stale: {'; '.join(status.changed)}", "force")
            stage.can_repeat = stage.can_repeat and not status.has_other_options

    def _input_state(self, item: Input, workspace: Path) -> str:
        """`records.input_state` that remembers nothing on the disk."""
        path = item.locate(workspace)
        if path.is_file():
            return f"sha256 {self._hash(item.path) if not item.in_repository else content_hash(path)}"
        return records.input_state(item, workspace)

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
        status = stage.status
        if stage.needs != "force" or not stage.can_repeat or status.record is None:
            return
        if status.spec is None or status.spec.check is None:
            return
        options = recorded_options(status.options_class, status.record)
        makers = (self.stages.get(item.made_by) for item in status.spec.inputs_for(options))
        if any(maker and maker.troubles for maker in makers):
            return  # to be asked again when its inputs are mended
        options = replace(options, workspace=self.tool.options.workspace)
        assert isinstance(options, StageOptions)
        try:
            status.spec.check(Stage(status.spec, options, StopRequest(), writes=False), options)
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
        if stage.status.spec is not None and (stage.needs == "force" or not stage.can_repeat):
            words.append("--force")
        name = stage.status.name
        return Tool(name, given, StopRequest(), has_log=False).command(name, *words)


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
