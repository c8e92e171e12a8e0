"""Damages every kind of file that a script reads, runs the script, and looks whether anybody noticed.

A damaged input must be refused with its name, or recorded as failed, or count as another input; or the result
must be the same as without the damage.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from scripts.pipeline import recorded
from scripts.pipeline.errors import EXIT_TOO_MANY_FAILURES
from scripts.pipeline.fingerprint import sha256_file
from scripts.pipeline.layers import REPOSITORY
from tests import processes
from tests.faults import damage
from tests.faults.outcomes import Outcome

SHORT_ROUNDS = 100  # below it only what the first two stages make is broken
EXIT_CODES = {0, 2, 3, 4, 5}
TIMEOUT_S = 120
CONFIG = """
[01_generate_candidates]
count = 40
[02_filter_candidates]
label_count = 40
max_epochs = 1
[03_segment_faces]
max_failures = 0.5
[06_fine_tune_v2]
pool = 8
"""
STAGES = (
    *("00_fetch_weights", "01_generate_candidates", "02_filter_candidates", "03_segment_faces"),
    *("04_compute_property_scores", "05_fine_tune_v1", "06_fine_tune_v2"),
)
SHORT_STAGES = STAGES[:2]
V2 = ("--version", "v2")
TABLES = {"align_photos": "aligned/aligned.csv"}
REGRESSION_RECORD = "cnn/inference_result/property_eyes.json"
LABELS = "cnn/synthesize_results_quality_and_gender.csv"
# What leaves a readable picture or network, and what is another one: nobody recorded which it should be, and
# torch compares no checksums.
UNDETECTABLE = {"bit flipped", "16 bits flipped", "block of zeros", "piece repeated", "a PNG instead"}
# How scripts say that a record of theirs and what they find do not agree, whichever of them was damaged.
NOTICED = ("made with other ", "begun with other ", "is not the file that belongs there")
DISAGREES = "its contents are not those that were recorded"
TEXTS = {".csv", ".json", ".toml", ".txt"}


@dataclass(frozen=True)
class Target:
    """A file, and the script that reads it.

    Attributes:
        path: in the workspace.
        reader: name of the script.
        is_recorded: its maker's record of what it wrote is there; without it the file counts as placed by
            hand, and only what makes it unreadable can be noticed.
        resumes: the reader was interrupted, and goes on from this file of its own.
        arguments: of the script, with ``{path}`` for the file.
    """

    path: str
    reader: str
    is_recorded: bool = True
    resumes: bool = False
    arguments: tuple[str, ...] = ()


def own(stage: str, name: str) -> str:
    """A file that a stage keeps about itself."""
    return f"_stages/{stage}/{name}"


QUICK = (
    Target("stylegan/stylegan_model.pth", "01_generate_candidates"),
    Target("stylegan/stylegan_model.pth", "01_generate_candidates", is_recorded=False),
    Target("stylegan/stylegan_model.pth", "00_fetch_weights"),
    Target(own("00_fetch_weights", "files.json"), "00_fetch_weights", resumes=True),
    Target(own("01_generate_candidates", "journal.csv"), "01_generate_candidates", resumes=True),
    Target("stylegan/candidates.csv", "02_filter_candidates"),
    Target("stylegan/candidates.csv", "02_filter_candidates", is_recorded=False),
    Target(LABELS, "02_filter_candidates", is_recorded=False),
    Target(LABELS.replace(".csv", ".json"), "02_filter_candidates", is_recorded=False),
    Target("stylegan/synthesize_results/000003.jpg", "02_filter_candidates"),
    Target("stylegan/synthesize_results/000003.jpg", "02_filter_candidates", is_recorded=False),
    Target("exclude.csv", "02_filter_candidates", arguments=("--exclude", "{path}"), is_recorded=False),
    Target("exclude.txt", "02_filter_candidates", arguments=("--exclude", "{path}"), is_recorded=False),
    Target("options.toml", "01_generate_candidates", arguments=("--config", "{path}"), is_recorded=False),
)
SLOW = (
    Target(own("02_filter_candidates", "journal.csv"), "02_filter_candidates", resumes=True),
    Target("cnn/models/gender_model_0.pt", "02_filter_candidates", is_recorded=False, resumes=True),
    Target(own("01_generate_candidates", "_stage.json"), "02_filter_candidates"),
    Target(own("01_generate_candidates", "outputs.json"), "02_filter_candidates"),
    Target(own("02_filter_candidates", "_stage.json"), "02_filter_candidates", resumes=True),
    Target("_stages/sha256_cache.json", "02_filter_candidates"),
    Target("photos/000003.jpg", "align_photos", arguments=("--photos", "photos"), is_recorded=False),
    Target("aligned/journal.csv", "align_photos", arguments=("--photos", "photos"), is_recorded=False),
    Target("aligned/align_photos.json", "align_photos", arguments=("--photos", "photos"), is_recorded=False),
    Target(
        "labels.csv",
        "regress_property",
        is_recorded=False,
        arguments=("--property", "eyes", "--labels", "{path}", "--fold-count", "2", "--max-epochs", "1"),
    ),
    Target("cnn/all_image_quality_and_gender.csv", "03_segment_faces"),
    Target("segmentation/models/segmentation_model.safetensors", "03_segment_faces"),
    Target("segmentation/models/segmentation_model.safetensors", "03_segment_faces", is_recorded=False),
    Target("stylegan/synthesize_results_filtered/*", "03_segment_faces"),
    Target(own("03_segment_faces", "journal.csv"), "03_segment_faces", resumes=True),
    Target("segmentation/faces.csv", "04_compute_property_scores"),
    Target("segmentation/faces.csv", "04_compute_property_scores", is_recorded=False),
    Target("segmentation/segmentation_results/face_*", "04_compute_property_scores"),
    Target("segmentation/segmentation_results/parsing_0*", "04_compute_property_scores"),
    Target("segmentation/segmentation_results/parsing_0*", "04_compute_property_scores", is_recorded=False),
    Target(own("04_compute_property_scores", "journal.csv"), "04_compute_property_scores", resumes=True),
    Target("segmentation/property_score_results/all_scores_v3.csv", "05_fine_tune_v1"),
    Target("segmentation/property_score_results/all_scores_v3.csv", "05_fine_tune_v1", is_recorded=False),
    Target("segmentation/property_score_results/score_statistics.json", "05_fine_tune_v1"),
    Target("segmentation/property_score_results/score_statistics.json", "05_fine_tune_v1", is_recorded=False),
    Target("stylegan/latents.safetensors", "05_fine_tune_v1"),
    Target("stylegan/latents.safetensors", "05_fine_tune_v1", is_recorded=False),
    Target("cnn/models/gender_model_0.pt", "05_fine_tune_v1"),
    Target("cnn/models/gender_model_0.pt", "05_fine_tune_v1", is_recorded=False),
    Target("stylegan_modified/identity_network.safetensors", "05_fine_tune_v1"),
    Target("judge/oracle.safetensors", "05_fine_tune_v1"),
    Target("stylegan_modified/checkpoints/v1.pt", "05_fine_tune_v1", is_recorded=False, resumes=True),
    Target("stylegan_modified/stylegan_gen_fine_tuned_v1.pth", "06_fine_tune_v2"),
    Target("stylegan_modified/stylegan_gen_fine_tuned_v1.pth", "06_fine_tune_v2", is_recorded=False),
    Target("stylegan_modified/checkpoints/v2_pool.npz", "06_fine_tune_v2", resumes=True),
    Target("stylegan_modified/checkpoints/v2.pt", "06_fine_tune_v2", is_recorded=False, resumes=True),
    Target("stylegan_modified/stylegan_gen_fine_tuned_v2.pth", "07_fine_tune_v3"),
    Target(
        "stylegan_modified/stylegan_gen_fine_tuned_v2.pth",
        "08_regenerate_images",
        is_recorded=False,
        arguments=V2,
    ),
    Target("stylegan_modified/stylegan_gen_fine_tuned_v2_cnn.pth", "08_regenerate_images", arguments=V2),
    Target(
        "stylegan_modified/stylegan_gen_fine_tuned_v2_cnn.pth",
        "08_regenerate_images",
        is_recorded=False,
        arguments=V2,
    ),
    Target("stylegan_modified/stylegan_gen_fine_tuned_v2.pth", "09_evaluate", arguments=("--versions", "v2")),
    Target(
        "init.safetensors",
        "train_stylegan",
        arguments=("--folder", "photos", "--init", "{path}"),
        is_recorded=False,
    ),
)


def faults(rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Damage files one after the other. See `outcomes.Family`."""
    is_short = rounds < SHORT_ROUNDS
    base = make_base(folder, SHORT_STAGES if is_short else STAGES)
    targets = QUICK if is_short else (*QUICK, *SLOW)
    chosen = itertools.islice(_cases(base, targets, seed), rounds)
    for number, (target, relative, name, content) in enumerate(chosen):
        workspace = folder / f"case_{number}"
        yield break_one(base, workspace, target, relative, name, content)
        shutil.rmtree(workspace)


def make_base(folder: Path, stages: tuple[str, ...]) -> Path:
    """A workspace in which these stages are complete, and what the tools need."""
    base = folder / "base"
    base.mkdir(parents=True)
    (base / "options.toml").write_text(CONFIG)
    for stage in stages:
        result = run(base, stage, "--config", base / "options.toml")
        if result.returncode:
            raise RuntimeError(f"the workspace cannot be made: {result.stderr}")
    pictures = base / "stylegan/synthesize_results"
    (base / "photos").mkdir()
    for path in sorted(pictures.iterdir())[:9]:
        shutil.copy(path, base / "photos" / path.name)
    (base / "exclude.csv").write_text("img_name\n000007.jpg\n000011.jpg\n")
    (base / "exclude.txt").write_text("000007.jpg\n000011.jpg\n")
    if stages != SHORT_STAGES:
        names = sorted(path.name for path in (base / "stylegan/synthesize_results_filtered").iterdir())
        rows = [f"{name},{index / 7}" for index, name in enumerate(names)]
        (base / "labels.csv").write_text("\n".join(["img_name,eyes", *rows, ""]))
        shutil.copy(REPOSITORY / "data/embedded/stylegan_model.safetensors", base / "init.safetensors")
        run(base, "align_photos", "--photos", "photos")
    return base


def run(workspace: Path, script: str, *arguments: object) -> CompletedProcess:
    """Run a script on a workspace, in which it also starts."""
    path = REPOSITORY / "scripts" / f"{script}.py"
    common = ("--preset", "smoke", "--workspace", workspace, "--device", "cpu", "--threads", 1)
    return processes.run(path, *common, *arguments, folder=workspace, timeout=TIMEOUT_S)


def _cases(
    base: Path, targets: tuple[Target, ...], seed: int
) -> Iterator[tuple[Target, str, str, Callable[[], bytes]]]:
    """Target, file, name of the damage and damaged content, so that the first of them cover all targets."""
    rng = random.Random(seed)
    for turn in itertools.count():
        for target in targets:
            found = sorted(base.glob(target.path))
            if not found:
                raise RuntimeError(f"{target.path} is not in the workspace")
            path = rng.choice(found)
            kinds = _kinds(path, target, f"{seed} {turn}")
            names = list(kinds)
            random.Random(f"{seed} {target}").shuffle(names)
            name = names[turn % len(names)]
            yield target, path.relative_to(base).as_posix(), name, kinds[name]


def _kinds(path: Path, target: Target, seed: str) -> dict[str, Callable[[], bytes]]:
    """Ways to damage a file that somebody must notice."""
    whole = path.read_bytes()
    hostile: dict[str, bytes] = {}
    if path.suffix == ".csv":
        hostile = damage.hostile_tables(whole)
    elif path.suffix == ".json":
        hostile = damage.hostile_json()
    elif path.suffix in {".pt", ".pth"}:
        hostile = damage.hostile_torch_files()
    elif path.suffix == ".safetensors":
        hostile = damage.hostile_safetensors()
    elif path.suffix == ".npz":
        hostile = damage.hostile_arrays()
    elif path.suffix in {".jpg", ".png"}:
        hostile = damage.hostile_pictures()
    elif path.suffix == ".toml":
        hostile = {"unknown option": b"[01_generate_candidates]\ncuont = 4\n", "wrong kind": b"common = 3\n"}
    kinds: dict[str, Callable[[], bytes]] = {
        name: lambda name=name: damage.RANDOM[name](whole, random.Random(f"{seed} {path.name} {name}"))
        for name in damage.RANDOM
        if target.is_recorded or name not in UNDETECTABLE or path.suffix in TEXTS
    }
    return kinds | {name: lambda content=content: content for name, content in hostile.items()}


def break_one(
    base: Path, workspace: Path, target: Target, relative: str, name: str, content: Callable[[], bytes]
) -> Outcome:
    """Damage one file of a copy, run its reader and judge."""
    copy_workspace(base, workspace)
    path = workspace / relative
    path.unlink()
    path.write_bytes(content())
    _prepare(workspace, target)
    case = f"{target.reader}: {relative}{'' if target.is_recorded else ' (unrecorded)'}, {name}"
    words = [word.format(path=path) for word in target.arguments]
    if "--config" not in words:
        words += ["--config", str(workspace / "options.toml")]
    try:
        result = run(workspace, target.reader, *words)
    except TimeoutError as error:
        return Outcome(case, False, 0, f"took too long: {error}")
    detail = complaint(base, workspace, target, relative, result)
    return Outcome(case, not detail, int("silently" in detail), detail)


def copy_workspace(base: Path, workspace: Path) -> None:
    """Hard links; copies of what scripts change in place."""

    def link(source: str, destination: str) -> None:
        is_changed = {"_stages", "logs", "aligned"} & set(Path(source).relative_to(base).parts)
        (shutil.copy2 if is_changed else os.link)(source, destination)

    shutil.copytree(base, workspace, copy_function=link)


def _prepare(workspace: Path, target: Target) -> None:
    """Let the reader run: as if it had been interrupted, or as if it had never been run."""
    record = workspace / own(target.reader, "_stage.json")
    if not target.is_recorded:
        for path in workspace.glob("_stages/*/outputs.json"):
            path.unlink()
    if not target.resumes:
        shutil.rmtree(record.parent, ignore_errors=True)
        shutil.rmtree(workspace / "stylegan_modified/checkpoints", ignore_errors=True)
    elif target.path != own(target.reader, "_stage.json"):
        record.write_text(record.read_text().replace('"state": "complete"', '"state": "running"'))


def complaint(base: Path, workspace: Path, target: Target, relative: str, result: CompletedProcess) -> str:
    """What is wrong with how a script took a damaged file; empty if nothing is."""
    errors = result.stderr
    if (workspace / damage.EXECUTED).exists():
        return "foreign code was run"
    if "Traceback" in errors or result.returncode not in EXIT_CODES:
        return f"exit code {result.returncode}: {errors.strip()[-600:]}"
    name = Path(relative).name
    if result.returncode == EXIT_TOO_MANY_FAILURES and _is_recorded_as_failed(workspace, name):
        return ""
    if result.returncode:
        named = any(words in errors for words in (name, *NOTICED))
        return "" if named else f"the message names no {name}: {errors[-400:]}"
    if _same_result(base, workspace, target) or _is_recorded_as_failed(workspace, name):
        return ""
    if _is_another_input(workspace, target, relative):
        return ""
    return f"accepted silently; it printed {result.stdout[-300:]}"


def _is_recorded_as_failed(workspace: Path, name: str) -> bool:
    """Whether a table or a log tells of a failure and names the file, or what its record says otherwise."""
    words = ("failed", "unreadable", "left out", "removed")
    tables = [*workspace.glob("*/*.csv"), *workspace.glob("_stages/*/*.csv"), *workspace.rglob("log.txt")]
    named = (name, DISAGREES) if name == recorded.RECORD_NAME else (name,)
    return any(
        any(text in line for text in named) and any(word in line for word in words)
        for path in tables
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )


def _same_result(base: Path, workspace: Path, target: Target) -> bool:
    """Whether the outputs are those of the run without damage; logs tell times, which differ."""
    if target.reader[0].isdigit():
        before, after = (json.loads(_outputs(place, target.reader)) for place in (base, workspace))
        return {key: value for key, value in before.items() if "log" not in key} == {
            key: value for key, value in after.items() if "log" not in key
        }
    table = TABLES.get(target.reader, "")
    return bool(table) and (base / table).read_bytes() == (workspace / table).read_bytes()


def _outputs(workspace: Path, stage: str) -> str:
    path = workspace / own(stage, recorded.RECORD_NAME)
    return path.read_text() if path.exists() else "{}"


def _is_another_input(workspace: Path, target: Target, relative: str) -> bool:
    """Whether the record of the run tells which contents it had, so that they differ from any other run's."""
    is_regression = target.reader == "regress_property"
    path = REGRESSION_RECORD if is_regression else own(target.reader, "_stage.json")
    return (workspace / path).exists() and sha256_file(workspace / relative) in (workspace / path).read_text()
