"""Peak memory of every stage on n and on 10 n pictures: ``python -m tests.faults.memory``.

A stage must not hold all pictures at once, so ten times as many may cost at most a tenth more memory. The
larger workspaces are made by repeating the pictures and rows of a small one; every stage then really runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"
SMOKE_COUNT = 96
FACTOR = 10
MOST_GROWTH = 1.1
PICTURES = "stylegan/synthesize_results"
FILTERED = f"{PICTURES}_filtered"
SEGMENTED = "segmentation/segmentation_results"
KINDS = ("face", "parsing", "parsing_visualization")
LABELS = "cnn/synthesize_results_quality_and_gender.csv"
ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
TABLES = (
    "stylegan/candidates.csv",
    ALL_IMAGES,
    "segmentation/faces.csv",
    *(f"segmentation/property_score_results/all_scores{version}.csv" for version in ("", "_v2", "_v3")),
)
REMADE = ("_stages", "logs", "evaluation", "checkpoints", "synthesize_results*", "segmentation_results")
SOURCE_STEPS = ("00", "01", "02", "03", "04", "05", "06", "07")


@dataclass(frozen=True)
class Case:
    """A stage and what makes it look at more pictures.

    Attributes:
        stage: name of the script.
        arguments: of the number of candidates in the workspace; the rest is that of the smoke preset.
    """

    stage: str
    arguments: Callable[[int], tuple[object, ...]] = lambda count: ()


CASES = (
    Case("01_generate_candidates", lambda count: ("--count", count)),
    Case("02_filter_candidates", lambda count: ("--label-count", count // 2)),
    Case("03_segment_faces", lambda count: ("--batch-size", 8)),  # several batches are on their way at once
    Case("04_compute_property_scores"),
    Case("05_fine_tune_v1"),
    Case("06_fine_tune_v2", lambda count: ("--pool", count // 8)),
    Case("07_fine_tune_v3", lambda count: ("--people", count // 2)),
    Case("08_regenerate_images", lambda count: ("--seeds", f"0-{count // 16}", "--no-measure")),
    Case("09_evaluate", lambda count: ("--versions", "v1", "--population", count // 4)),
)


def run(stage: str, workspace: Path, *arguments: object) -> None:
    """Run a script with the smoke preset.

    Raises:
        RuntimeError: it ended with an error.
    """
    script = SCRIPTS / f"{stage}.py"
    command = [sys.executable, script, "--preset", "smoke", "--workspace", workspace, "--quiet", *arguments]
    found = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if found.returncode != 0:
        raise RuntimeError(f"{stage} ended with {found.returncode}: {found.stderr}")


def make_source(workspace: Path) -> None:
    """Run the smoke preset up to v3."""
    for script in sorted(SCRIPTS.glob("[0-9][0-9]_*.py")):
        if script.name.startswith(SOURCE_STEPS):
            run(script.stem, workspace)


def grow(source: Path, target: Path, times: int) -> None:
    """A workspace with the candidates of a smoke workspace repeated, and everything that came of them."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*REMADE))
    for relative in TABLES:
        table = pd.read_csv(source / relative, keep_default_na=False)
        parts = [_shifted(table, part * SMOKE_COUNT) for part in range(times)]
        pd.concat(parts).to_csv(target / relative, index=False)
        for number in range(times):
            _link_pictures(source, target, relative, table["img_no"], number * SMOKE_COUNT)
    _repeat_latents(source / "stylegan/latents.safetensors", target / "stylegan/latents.safetensors", times)
    candidates = pd.read_csv(target / ALL_IMAGES)
    labels = pd.DataFrame({"img_name": candidates["img_path"].str.rsplit("/", n=1).str[-1]})
    for name in ("quality", "gender"):
        labels[name] = candidates[name].round().astype(int)
    labels.to_csv(target / LABELS, index=False)
    record = json.loads((source / LABELS).with_suffix(".json").read_text(encoding="utf-8"))
    text = json.dumps(record | {"count": len(labels)})
    (target / LABELS).with_suffix(".json").write_text(text, encoding="utf-8")


def _shifted(table: pd.DataFrame, offset: int) -> pd.DataFrame:
    """The rows under other numbers."""
    names = (table["img_no"] + offset).map("{:06d}.jpg".format)
    paths = table["img_path"].str.rsplit("/", n=1).str[0] + "/" + names
    shifted = table.assign(img_no=table["img_no"] + offset, img_path=paths)
    return shifted.assign(seed=shifted["img_no"]) if "seed" in table else shifted


def _link_pictures(source: Path, target: Path, relative: str, numbers: pd.Series, offset: int) -> None:
    """The pictures that a table's rows vouch for, as hard links."""
    if relative == "segmentation/faces.csv":
        pairs = [
            (f"{SEGMENTED}/{kind}_{n:06d}.png", f"{SEGMENTED}/{kind}_{n + offset:06d}.png")
            for n in numbers
            for kind in KINDS
        ] + [(f"{FILTERED}/{n:06d}.jpg", f"{FILTERED}/{n + offset:06d}.jpg") for n in numbers]
    elif relative == "stylegan/candidates.csv":
        pairs = [(f"{PICTURES}/{n:06d}.jpg", f"{PICTURES}/{n + offset:06d}.jpg") for n in numbers]
    else:
        return
    for old, new in pairs:
        (target / new).parent.mkdir(parents=True, exist_ok=True)
        os.link(source / old, target / new)


def _repeat_latents(source: Path, target: Path, times: int) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(source, "pt") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name).repeat(times, 1) for name in stored.keys()}  # noqa: SIM118
    save_file(tensors, target, metadata=metadata)


def peak_mib(stage: str, workspace: Path) -> float:
    """Peak memory that the stage's account names, in MiB."""
    record = workspace / "_stages" / stage / "_stage.json"
    if not record.exists():
        record = workspace / "logs" / stage / "run.json"
    return json.loads(record.read_text(encoding="utf-8"))["peak_memory_mib"]


def measure(case: Case, source: Path, folder: Path, count: int) -> float:
    """Peak memory in MiB of a stage on so many candidates."""
    workspace = folder / f"{case.stage[:2]}_{count}"
    grow(source, workspace, count // SMOKE_COUNT)
    try:
        run(case.stage, workspace, *case.arguments(count))
        return peak_mib(case.stage, workspace)
    finally:
        shutil.rmtree(workspace)


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 if a stage takes more than a tenth more memory for ten times the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.memory", description=__doc__)
    parser.add_argument("--workspace", type=Path, help="complete smoke workspace; none: one is made")
    parser.add_argument("--count", type=int, default=4 * SMOKE_COUNT, help="candidates, a multiple of 96")
    parser.add_argument("--stages", nargs="+", default=[case.stage[:2] for case in CASES])
    options = parser.parse_args(argv)
    small, large = options.count, FACTOR * options.count
    grown = 0
    with tempfile.TemporaryDirectory(prefix="memory-") as root:
        source = options.workspace
        if source is None:
            source = Path(root, "source")
            make_source(source)
        else:  # hard links need one file system
            source = Path(shutil.copytree(source, Path(root, "source")))
        print(f"{'stage':28} {'n':>6} {'10 n':>6} {'MiB':>8} {'MiB':>8} {'ratio':>6}", flush=True)
        for case in CASES:
            if case.stage[:2] in options.stages:
                peaks = [measure(case, source, Path(root), count) for count in (small, large)]
                ratio = peaks[1] / peaks[0]
                grown += ratio > MOST_GROWTH
                print(f"{case.stage:28} {small:6} {large:6} {peaks[0]:8.1f} {peaks[1]:8.1f} {ratio:6.3f}")
                sys.stdout.flush()
    return int(grown > 0)


if __name__ == "__main__":
    sys.exit(main())
