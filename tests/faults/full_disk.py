"""A disk that is full at every place: orderly end with a message, nothing torn, and nothing lost afterwards.

Where this process may mount file systems, half of the runs work on one with too little space; the others may
not write files above a size.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

from tests.faults.comparison import differences, names_in, torn_files
from tests.faults.fault import Fault, in_parallel
from tests.faults.injection import limit_file_size
from tests.faults.world import TARGETS, Target, World

LIMITS_PER_RUN = 3  # so many limits, each higher than the last, share one run to the end
SMALLEST_LIMIT = 8192  # what a script prints goes into a file too
PAGE = 4096
SPARE_PAGES = 64  # folders and the file system itself


def faults(world: World, rounds: int, seed: int, folder: Path) -> Iterator[Fault]:
    """Fill the disk of every target about equally often."""
    runs = -(-rounds // LIMITS_PER_RUN)
    may_mount = can_mount(folder)
    targets = [TARGETS[(seed + number) % len(TARGETS)] for number in range(runs)]
    work = [
        partial(
            fill, world, target, f"{seed} {number}", folder / f"{number:04d}", may_mount and number % 2 == 0
        )
        for number, target in enumerate(targets)
    ]
    for found in in_parallel(work):
        yield from found


def can_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here."""
    try:
        with small_disk(folder / "mounted", 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """An empty file system in memory of this size at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={size_bytes}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def resize(folder: Path, size_bytes: int) -> None:
    """Give the file system at a folder another size."""
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", folder], check=True, capture_output=True)


def fill(world: World, target: Target, seed: str, folder: Path, mounts: bool) -> list[Fault]:
    """Run a target under rising limits, then without one, and compare."""
    rng = random.Random(seed)
    if mounts:
        with small_disk(folder, 1 << 30):
            return _run_under_limits(world, target, rng, folder, mounts)
    found = _run_under_limits(world, target, rng, folder, mounts)
    shutil.rmtree(folder)
    return found


def _run_under_limits(
    world: World, target: Target, rng: random.Random, folder: Path, mounts: bool
) -> list[Fault]:
    world.begin(target, folder)
    undisturbed = world.undisturbed(target)
    new = [(undisturbed / name).stat().st_size for name in names_in(undisturbed) - names_in(folder)]
    found: list[Fault] = []
    for share in sorted(rng.random() for _ in range(LIMITS_PER_RUN)):
        if mounts:
            growth = sum(-(-size // PAGE) for size in new) * PAGE
            limit = _used(folder) + int(share * growth)
            resize(folder, limit)
            result = world.start(target, folder).wait()
            resize(folder, 1 << 30)
        else:
            limit = int(SMALLEST_LIMIT * (max(*new, 2 * SMALLEST_LIMIT) / SMALLEST_LIMIT) ** share)
            result = world.start(target, folder, prepare=partial(limit_file_size, limit)).wait()
        if result.returncode == 0:
            break
        problems = _problems(result) + torn_files(folder, undisturbed)
        problems += [f"{name} is left over" for name in names_in(folder) if "/.tmp-" in name]
        case = f"{target.name}, {'disk' if mounts else 'files'} of {limit} bytes"
        found.append(Fault(case, tuple(problems)))
    result = world.start(target, folder).wait()
    problems = differences(folder, undisturbed)
    if result.returncode:
        problems = [f"exit code {result.returncode}: {result.stderr.strip()[-1500:]}"]
    case = f"{target.name}, after {len(found)} full disks"
    return [*found, Fault(case, tuple(problems))]


def _used(folder: Path) -> int:
    usage = shutil.disk_usage(folder)
    return usage.used + SPARE_PAGES * PAGE


def _problems(result: CompletedProcess) -> list[str]:
    if result.returncode == 5 and "the disk is full" in result.stderr and "Traceback" not in result.stderr:
        return []
    return [f"exit code {result.returncode}: {result.stderr.strip()[-1500:]}"]
