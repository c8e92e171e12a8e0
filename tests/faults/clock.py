"""Clocks that jump: between a kill and the next run, in times of files, and changes that leave no trace.

What is up to date stays so, what was changed is noticed, and a resumed run ends as it should.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.comparison import differences
from tests.faults.injection import kill_before_operation, shift_clock
from tests.faults.outcomes import Outcome, in_parallel
from tests.faults.world import STAGES, TRAINERS, WORKSPACE, Target, World, own_copy

HOUR_S = 3600.0
Kind = Callable[[World, Target, random.Random, Path], tuple[str, list[str]]]
RECORDED = tuple(stage for stage in STAGES if stage.script != "08_regenerate_images")


def faults(rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Jumps of all three kinds in turn. See `Family`."""
    world = World(folder.parent / "world")
    work = []
    for number in range(rounds):
        kind = (resume_at_another_time, touch_everything, change_without_trace)[number % 3]
        targets = (*RECORDED, *TRAINERS) if kind is resume_at_another_time else RECORDED[1:]
        target = targets[(seed + number // 3) % len(targets)]
        work.append(partial(one, kind, world, target, f"{seed} {number}", folder / f"{number:04d}"))
    yield from in_parallel(work)


def one(kind: Kind, world: World, target: Target, seed: str, folder: Path) -> list[Outcome]:
    """One jump in a workspace of its own."""
    case, problems = kind(world, target, random.Random(seed), folder)
    if not problems:
        shutil.rmtree(folder)
    return [Outcome(f"{target.name}, {case}", not problems, len(problems), "; ".join(problems))]


def resume_at_another_time(
    world: World, target: Target, rng: random.Random, folder: Path
) -> tuple[str, list[str]]:
    """Killed, and begun again when the clock says hours earlier or later."""
    world.begin(target, folder)
    number = rng.randint(1, world.cost(target).operations)
    world.start(target, folder, prepare=partial(kill_before_operation, folder, number)).wait()
    hours = rng.choice((-30, -2, 2, 30))
    result = world.start(target, folder, prepare=partial(shift_clock, hours * HOUR_S)).wait()
    case = f"resumed {hours:+} hours later"
    if result.returncode:
        return case, [f"exit code {result.returncode}: {result.stderr.strip()[-1500:]}"]
    return case, differences(folder, world.undisturbed(target))


def touch_everything(world: World, target: Target, rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Every file has a time of writing in the past or future, as after copying; the result is up to date."""
    workspace = world.begin_finished(target, folder)
    for path in sorted(path for path in workspace.rglob("*") if path.is_file()):
        own_copy(path)
        moment = path.stat().st_mtime + rng.uniform(-100, 100) * HOUR_S
        os.utime(path, (moment, moment))
    result = world.start(target, folder).wait()
    problems = differences(folder, world.undisturbed(target))
    if "up to date" not in result.stdout:
        problems.append(f"made anew or refused: {result.stderr.strip()[-1500:]}")
    return "files of other times", problems


def change_without_trace(
    world: World, target: Target, rng: random.Random, folder: Path
) -> tuple[str, list[str]]:
    """An input gets other contents of the same length, and its old time of writing."""
    workspace = world.begin_finished(target, folder)
    world.start(target, folder).wait()  # now every checksum is remembered, if it ever is
    path = rng.choice([workspace / name for name in world.inputs(target) if (workspace / name).is_file()])
    own_copy(path)
    state = path.stat()
    world.start(target, folder).wait()
    contents = bytearray(path.read_bytes())
    contents[rng.randrange(len(contents) // 2, len(contents))] ^= 1
    with path.open("r+b") as file:
        file.write(contents)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    result = world.start(target, folder).wait()
    case = f"{path.relative_to(folder / WORKSPACE)} changed without a trace"
    if result.returncode == 5 and "--force" in result.stderr and "Traceback" not in result.stderr:
        return case, []
    return case, [f"exit code {result.returncode}: {(result.stdout + result.stderr).strip()[-1500:]}"]
