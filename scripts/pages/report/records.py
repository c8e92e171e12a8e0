"""What the records of a workspace say about each numbered script: its state, numbers, options and code."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.pipeline import REPOSITORY, files, fingerprint, manifest
from scripts.pipeline.console import short_path
from scripts.pipeline.locks import holder
from scripts.pipeline.options import command_line_words

STAGES = {
    "00_fetch_weights": ("Weights", "Places the weights of all networks in the workspace and verifies them."),
    "01_generate_candidates": ("Candidates", "The original generator draws people at random."),
    "02_filter_candidates": (
        "Filter",
        "Networks learn gender and quality from labelled pictures; who passes their thresholds is kept.",
    ),
    "03_segment_faces": ("Faces", "Finds and cuts out each face, and names every pixel of it."),
    "04_compute_property_scores": (
        "Scores",
        "Measures seven properties of every face and brings them to one scale: mean 0, deviation 1.",
    ),
    "05_fine_tune_v1": ("Version 1", "The generator learns to take the seven properties as input."),
    "06_fine_tune_v2": (
        "Version 2",
        "A property network reads what a person has; dials move the rest to what is asked for.",
    ),
    "07_fine_tune_v3": (
        "Version 3",
        "An encoder finds the latent of a given picture, so that it can be edited.",
    ),
    "08_regenerate_images": ("New pictures", "Draws people with the dials as you set them."),
    "09_evaluate": (
        "Evaluation",
        "Turns every dial on people that no training saw, and judges the pictures.",
    ),
}
UNRECORDED = {"08_regenerate_images": "stylegan_modified/synthesize_results/images.csv"}
OPTIONS, RUN = "options.json", "run.json"  # in the log folder of a script
COMPLETE, INTERRUPTED, RUNNING, STALE, NEVER = "complete", "interrupted", "running", "stale", "never run"


@dataclass(frozen=True)
class StageRecord:
    """One numbered script in this workspace.

    Attributes:
        name, title, purpose: of the script.
        state: complete, stale (what it was made from changed), interrupted, running or never run.
        reasons: why it is stale.
        record: ``_stage.json``; empty if there is none.
        options: option -> value and where it came from.
    """

    name: str
    title: str
    purpose: str
    state: str
    reasons: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def number(self) -> str:
        """The two digits of its name."""
        return self.name[:2]

    @property
    def seconds(self) -> float | None:
        """How long it took, if it is known."""
        value = self.record.get("seconds")
        return float(value) if isinstance(value, (int, float)) else None

    def mapping(self, key: str) -> Mapping[str, Any]:
        """An entry of the record that should be a table; empty if there is none."""
        value = self.record.get(key)
        return value if isinstance(value, dict) else {}

    def value(self, option: str) -> Any:
        """The value of an option; None if it is unknown."""
        return self.options.get(option, {}).get("value")

    def counts(self) -> dict[str, dict[str, int]]:
        """Unit -> how many are done, skipped and failed; empty where the record has no counts."""
        found = {
            unit: {name: count for name, count in parts.items() if isinstance(count, int)}
            for unit, parts in self.mapping("counts").items()
            if isinstance(parts, dict)
        }
        return {unit: parts for unit, parts in found.items() if parts}

    def attempts(self) -> list[str]:
        """How each attempt ended, the first one first; empty where the record has none."""
        found = self.record.get("attempts")
        known = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return [str(one.get("how", "not ended")) for one in known]

    def command(self) -> str:
        """The command line as it was typed, or with paths inside the repository relative to it."""
        if isinstance(self.record.get("command"), str):
            return self.record["command"]
        words = [_shortened(word) for word in command_line_words(self.options)]
        return shlex.join(["python", f"scripts/{self.name}.py", *words])


def read_stages(workspace: Path, logs: Path) -> list[StageRecord]:
    """All numbered scripts, in order.

    Args:
        workspace: of the run.
        logs: folder with one folder of logs per script.
    """
    records = {name: manifest.read(workspace, name) for name in STAGES}
    made = {str(record["fingerprint"]) for record in records.values() if record}
    found = []
    for name, (title, purpose) in STAGES.items():
        record = records[name] or (read_json(logs / name / RUN) if name in UNRECORDED else {})
        state, reasons = _state(workspace, name, record, made)
        options = record.get("options") or (read_json(logs / name / OPTIONS) if state != NEVER else {})
        found.append(StageRecord(name, title, purpose, state, tuple(reasons), record, _checked(options)))
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A table in JSON; empty if there is none, or none that can be read."""
    try:
        return files.read_json(path)
    except (OSError, files.TextFileError):
        return {}


def _checked(options: Any) -> dict[str, Mapping[str, Any]]:
    """Those options that have a value and an origin."""
    entries = options.items() if isinstance(options, dict) else ()
    return {
        name: entry
        for name, entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("from"), str) and "value" in entry
    }


def _state(workspace: Path, name: str, record: Mapping[str, Any], made: set[str]) -> tuple[str, list[str]]:
    if name in UNRECORDED:
        return (COMPLETE if (workspace / UNRECORDED[name]).is_file() else NEVER), []
    if not record:
        return NEVER, []
    if record.get("state") != "complete":
        lock = manifest.stage_folder(workspace, name) / manifest.LOCK_NAME
        return (INTERRUPTED if holder(lock) is None else RUNNING), []
    reasons = [
        f"{path} is gone" for path in record.get("outputs") or () if not (workspace / str(path)).exists()
    ]
    depends_on = record.get("depends_on")
    inputs = depends_on.get("inputs", {}) if isinstance(depends_on, dict) else {}
    for path, was in inputs.items() if isinstance(inputs, dict) else ():
        if _has_changed(workspace, str(path), str(was), made):
            reasons.append(f"its input {path} is another now")
    return (STALE if reasons else COMPLETE), reasons


def _has_changed(workspace: Path, path: str, was: str, made: set[str]) -> bool:
    kind, _, mark = was.partition(" ")
    places = (workspace / path, REPOSITORY / path)
    place = next((place for place in places if place.exists()), None)
    if kind == "absent":
        return (workspace / path).exists()
    if place is None:
        return True
    if kind == "stage":
        return mark not in made
    return kind == "sha256" and place.is_file() and fingerprint.cached_sha256(workspace, place) != mark


def _shortened(word: str) -> str:
    path = Path(word)
    if not path.is_absolute():
        return word
    return path.relative_to(REPOSITORY).as_posix() if REPOSITORY in path.parents else short_path(path)
