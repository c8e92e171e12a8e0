"""Folders that may not be written or read, and files and folders that vanish between two runs.

The next run makes the files again, or refuses and says what to type; it never ends with a traceback and never
with another result.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

from scripts.pipeline import files
from tests.faults.comparison import differences, names_in
from tests.faults.injection import obey_permissions
from tests.faults.outcomes import Outcome, in_parallel
from tests.faults.world import STAGES, TARGETS, WORKSPACE, Target, World

# What a finished stage keeps for the case that it must go on; it does not need them any more.
WORKING_FILES = ("*/checkpoints/*", "*/journal.csv", "*/options.json", "*/previews/*", "*/files.json")
COMMAND = re.compile(r"python \S*\.py|git checkout|--workspace|same command")


def faults(rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """About one locked folder for two things that vanish. See `Family`."""
    world = World(folder.parent / "world")
    work = []
    for number in range(rounds):
        break_it = (lock_folder, lose_result, lose_input)[number % 3]
        targets = STAGES if break_it is lose_input else TARGETS[: len(TARGETS) - 2]
        target = targets[(seed + number // 3) % len(targets)]
        work.append(partial(one, world, target, break_it, f"{seed} {number}", folder / f"{number:04d}"))
    yield from in_parallel(work)


def one(
    world: World, target: Target, break_it: Callable[..., Outcome], seed: str, folder: Path
) -> list[Outcome]:
    """One fault in a workspace of its own."""
    outcome = break_it(world, target, random.Random(seed), folder)
    if outcome.survived:
        shutil.rmtree(folder)
    return [outcome]


def lock_folder(world: World, target: Target, rng: random.Random, folder: Path) -> Outcome:
    """A folder of the workspace may not be written, or not even be read."""
    workspace = world.begin(target, folder)
    chosen = rng.choice([workspace, *sorted(path for path in workspace.rglob("*") if path.is_dir())])
    mode = rng.choice((0o500, 0))
    chosen.chmod(mode)
    result = world.start(target, folder, prepare=obey_permissions).wait()
    chosen.chmod(0o700)
    case = f"{target.name}, {chosen.relative_to(folder)} with mode {mode:o}"
    if result.returncode and (problem := complaint(result, "permission")):
        return Outcome(case, False, 0, problem)
    return compare(world, target, case, folder, world.start(target, folder).wait())


def lose_result(world: World, target: Target, rng: random.Random, folder: Path) -> Outcome:
    """Something that a finished run has made vanishes: a file, its whole folder, or the stage's records."""
    world.begin(target, folder)
    before = names_in(folder)
    workspace = world.begin_finished(target, folder)
    new = sorted(name for name in names_in(folder) - before if not name.startswith(f"{WORKSPACE}/logs"))
    path = folder / rng.choice(new)
    if rng.random() < 0.3 and path.parent != workspace:
        path = path.parent
    elif rng.random() < 0.3:
        path = workspace / "_stages" / target.script
    files.remove(path)
    return compare(
        world,
        target,
        f"{target.name}, lost {path.relative_to(folder)}",
        folder,
        world.start(target, folder).wait(),
    )


def lose_input(world: World, target: Target, rng: random.Random, folder: Path) -> Outcome:
    """Something that a stage reads vanishes before it begins."""
    workspace = world.begin(target, folder)
    paths = [workspace / name for name in world.inputs(target) if (workspace / name).exists()]
    if not paths:
        return Outcome(f"{target.name}, has no inputs", True)
    path = rng.choice(sorted(paths))
    files.remove(path)
    case = f"{target.name}, before it lost {path.relative_to(folder)}"
    result = world.start(target, folder).wait()
    if result.returncode == 0:  # an input that it may do without is not there: that is on record
        recorded = json.loads((workspace / "_stages" / target.script / "_stage.json").read_text())
        known = recorded["depends_on"]["inputs"][path.relative_to(workspace).as_posix()] == "absent"
        return Outcome(case, known, int(not known), "" if known else "a lost input went unnoticed")
    problem = complaint(result)
    return Outcome(case, not problem, 0, problem)


def compare(world: World, target: Target, case: str, folder: Path, result: CompletedProcess) -> Outcome:
    """Right are a result as without the fault, and a refusal that says what to type."""
    if result.returncode:
        problem = complaint(result)
        return Outcome(case, not problem, 0, problem)
    problems = differences(folder, world.undisturbed(target), WORKING_FILES)
    return Outcome(case, not problems, len(problems), "; ".join(problems))


def complaint(result: CompletedProcess, *words: str) -> str:
    """What is wrong with the message of a run that failed; empty if nothing is."""
    text = result.stderr.strip()
    if "Traceback" in text:
        return f"traceback: {text[-1500:]}"
    if result.returncode not in (3, 4, 5):
        return f"exit code {result.returncode}: {text[-1500:]}"
    missing = [word for word in words if word not in text]
    if missing or not COMMAND.search(text):
        return f"the message does not say what to do: {text[-1500:]}"
    return ""
