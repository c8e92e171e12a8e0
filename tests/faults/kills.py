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
from tests.faults.injection import kill_before_operation
from tests.faults.outcomes import Outcome, in_parallel
from tests.faults.world import TARGETS, Target, World

KILLS_PER_RUN = 4  # so many kills share one run to the end and one comparison


def faults(rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Kill every target about equally often. See `Family`."""
    world = World(folder.parent / "world")
    per_target = max(1, round(rounds / len(TARGETS)))
    plan = [
        (target, min(KILLS_PER_RUN, per_target - first), f"{seed} {target.name} {first}")
        for first in range(0, per_target, KILLS_PER_RUN)
        for target in sorted(TARGETS, key=lambda target: -world.cost(target).seconds)
    ]
    work = [
        partial(kill_and_finish, world, target, kills, run_seed, folder / f"{number:04d}")
        for number, (target, kills, run_seed) in enumerate(plan)
    ]
    yield from in_parallel(work)


def kill_and_finish(world: World, target: Target, kills: int, seed: str, folder: Path) -> list[Outcome]:
    """Kill a target so many times, then let it end and compare; one outcome per kill."""
    rng = random.Random(seed)
    world.begin(target, folder)
    undisturbed = world.undisturbed(target)
    outcomes: list[Outcome] = []
    while len(outcomes) < kills:
        moment, problem = kill_once(world, target, rng, folder)
        if not moment:  # it ended before it could be killed
            world.begin(target, folder)
            continue
        torn = torn_files(folder, undisturbed)
        detail = "; ".join(filter(None, (problem, *torn)))
        outcomes.append(Outcome(f"{target.name} {moment}", not detail, len(torn), detail))
    result = world.start(target, folder).wait()
    detail = "; ".join(differences(folder, undisturbed))
    lost = detail.count(";") + 1 if detail else 0
    if result.returncode or "Traceback" in result.stderr:
        detail, lost = failure(result), 1
    if not detail:
        shutil.rmtree(folder)
    last = outcomes.pop()
    detail = "; ".join(filter(None, (last.detail, detail)))
    outcomes.append(Outcome(last.case, last.survived and not lost, last.lost + lost, detail))
    return outcomes


def kill_once(world: World, target: Target, rng: random.Random, folder: Path) -> tuple[str, str]:
    """Start a target and kill it: when that was (empty if it came to its end before), and what went wrong."""
    cost, saves = world.cost(target), target.often_saving if rng.random() < 0.5 else ()
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
        return "", ""
    problem = "" if result.returncode == -signal.SIGKILL else failure(result)
    return moment + (", saving often" if saves else ""), problem


def failure(result: CompletedProcess) -> str:
    """How a run ended that should not have."""
    return f"exit code {result.returncode}: {result.stderr.strip()[-1500:]}"
