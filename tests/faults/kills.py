"""Kill -9 at random moments in every stage and training; the same command must go on to the same result.

Half of the kills come at a random moment of the time that an undisturbed run takes, half just before a random
one of the operations by which it changes files.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

from tests.faults.comparison import differences, torn_files
from tests.faults.fault import Fault, in_parallel
from tests.faults.injection import kill_before_operation
from tests.faults.world import TARGETS, Target, World

KILLS_PER_RUN = 4  # so many kills share one run to the end and one comparison


def faults(world: World, rounds: int, seed: int, folder: Path) -> Iterator[Fault]:
    """Kill every target about equally often."""
    per_target = max(1, round(rounds / len(TARGETS)))
    plan = [
        (target, min(KILLS_PER_RUN, per_target - first), f"{seed} {target.name} {first}")
        for first in range(0, per_target, KILLS_PER_RUN)
        for target in sorted(TARGETS, key=lambda target: -world.costs[target.name].seconds)
    ]
    work = [
        partial(kill_and_finish, world, target, kills, run_seed, folder / f"{number:04d}")
        for number, (target, kills, run_seed) in enumerate(plan)
    ]
    for found in in_parallel(work):
        yield from found


def kill_and_finish(world: World, target: Target, kills: int, seed: str, folder: Path) -> list[Fault]:
    """Kill a target so many times, then let it end and compare; one fault per kill."""
    rng = random.Random(seed)
    world.begin(target, folder)
    undisturbed = world.undisturbed(target)
    found: list[Fault] = []
    while len(found) < kills:
        moment, problems = kill_once(world, target, rng, folder)
        if not moment:  # it ended before it could be killed
            world.begin(target, folder)
            continue
        found.append(Fault(f"{target.name} {moment}", (*problems, *torn_files(folder, undisturbed))))
    result = world.start(target, folder).wait()
    problems = differences(folder, undisturbed)
    if result.returncode or "Traceback" in result.stderr:
        problems = [failure(result)]
    if not problems:
        shutil.rmtree(folder)
    return [*found[:-1], Fault(found[-1].case, (*found[-1].problems, *problems))]


def kill_once(world: World, target: Target, rng: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Start a target and kill it: when that was (empty if it came to its end before), and what went wrong."""
    cost, saves = world.costs[target.name], target.often_saving if rng.random() < 0.5 else ()
    if rng.random() < 0.5:
        number = rng.randint(1, cost.operations)
        moment = f"before operation {number}"
        process = world.start(target, folder, *saves, prepare=partial(kill_before_operation, folder, number))
    else:
        delay_s = rng.uniform(0, cost.seconds)
        moment = f"after {delay_s:.2f} s"
        process = world.start(target, folder, *saves)
        deadline = time.monotonic() + delay_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
    result = process.wait()
    if result.returncode == 0:
        return "", []
    problems = [] if result.returncode == -signal.SIGKILL else [failure(result)]
    return moment + (", saving often" if saves else ""), problems


def failure(result: CompletedProcess) -> str:
    """How a run ended that should not have."""
    return f"exit code {result.returncode}: {result.stderr.strip()[-1500:]}"
