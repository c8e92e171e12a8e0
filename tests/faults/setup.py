"""Breaks the files of a workspace; `check_setup.py` must see it, and the commands it names must mend it."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import processes
from tests.faults.outcomes import Outcome

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
STAGES = ("00", "01", "02", "03", "04")
RUNS_PER_CASE = 2 * len(STAGES)  # what a case costs, where other families run one stage
DEAD_PROCESS = 999_999_999
WATCHED = (  # glob of files that stages made; each is broken in turn
    "stylegan/stylegan_model.pth",
    "segmentation/models/*.safetensors",
    "stylegan/synthesize_results/*.jpg",
    "stylegan/synthesize_results_filtered/*.jpg",
    "stylegan/candidates.csv",
    "stylegan/latents.safetensors",
    "cnn/models/*.pt",
    "cnn/all_image_quality_and_gender.csv",
    "segmentation/segmentation_results/*.png",
    "segmentation/faces.csv",
    "segmentation/property_score_results/all_scores_v3.csv",
    "segmentation/property_score_results/score_statistics.json",
)


def truncate(path: Path) -> None:
    """Half of the file is gone."""
    _rewrite(path, path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """A file without content."""
    _rewrite(path, b"")


def flip(path: Path) -> None:
    """One byte in the middle is another one."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    _rewrite(path, bytes(data))


def remove(path: Path) -> None:
    """The file is gone."""
    path.unlink()


def _rewrite(path: Path, data: bytes) -> None:
    """Other content under the same name; a hard link elsewhere keeps the old one."""
    path.unlink()
    path.write_bytes(data)


WAYS: tuple[Callable[[Path], None], ...] = (truncate, empty, flip, remove)


def faults(rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Break one file, look, give the named commands, look again: everything is as it was."""
    whole = folder / "whole"
    whole.mkdir()
    for script in sorted(SCRIPTS.glob("[0-9][0-9]_*.py")):
        if script.name.startswith(STAGES):
            processes.run(script, "--preset", "smoke", "--workspace", whole, folder=folder)
    cases = [(pattern, way) for pattern in WATCHED for way in WAYS]
    rng = random.Random(seed)
    rng.shuffle(cases)
    for number, (pattern, way) in enumerate(cases[: max(1, rounds // RUNS_PER_CASE)]):
        workspace = folder / f"broken_{number}"
        shutil.copytree(whole, workspace)
        _link_filtered(workspace)
        victim = rng.choice(sorted(workspace.glob(pattern)))
        way(victim)
        leftover = victim.with_name(f".tmp-{DEAD_PROCESS}-{victim.name}")
        leftover.write_bytes(b"half")
        detail = _mend(workspace, folder)
        yield Outcome(
            f"{victim.name}, {way.__name__}", not detail, lost=int(not victim.exists()), detail=detail
        )
        shutil.rmtree(workspace)


def _link_filtered(workspace: Path) -> None:
    """Filtered pictures are hard links to candidates; copying a folder loses that."""
    for path in (workspace / "stylegan/synthesize_results_filtered").iterdir():
        path.unlink()
        os.link(workspace / "stylegan/synthesize_results" / path.name, path)


def _check(workspace: Path, folder: Path) -> subprocess.CompletedProcess:
    words = ("--preset", "smoke", "--workspace", workspace)
    return processes.run(SCRIPTS / "check_setup.py", *words, folder=folder)


def _mend(workspace: Path, folder: Path) -> str:
    """Give the commands that the check names; what went wrong, or nothing."""
    found = _check(workspace, folder)
    if found.returncode != 5:
        return f"the damage was not seen: exit code {found.returncode}. {found.stderr}"
    for line in found.stdout.splitlines():
        command = line.strip().removeprefix("$ ")
        if command == line.strip():
            continue
        first, _, rest = command.partition(" ")
        if Path(first).name.startswith("python"):  # that of the tests need not be the first of the shell
            command = f"{shlex.quote(sys.executable)} {rest}"
        run = subprocess.run(
            command, shell=True, cwd=SCRIPTS.parent, capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            return f"{command} ended with {run.returncode}: {run.stderr}"
    again = _check(workspace, folder)
    return "" if again.returncode == 0 else f"not mended: {again.stdout}"
