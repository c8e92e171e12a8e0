"""Two runs at once on one workspace: one works, the other names it and leaves; a killed one blocks nobody."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

from scripts.pipeline import REPOSITORY
from tests.faults.comparison import differences
from tests.faults.outcomes import Outcome, in_parallel
from tests.faults.world import DIVIDED, STAGES, TRAINERS, WORKSPACE, Target, World, by_name
from tests.processes import ScriptProcess, wait_until

LOCKED = (*(stage for stage in STAGES if stage.script != "08_regenerate_images"), *TRAINERS, *DIVIDED)
READERS = {"02": "01", "03": "02", "04": "03", "05": "04", "06": "05", "07": "06", "09": "07"}  # and makers


def faults(rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Each target twice at once; each reader beside its maker; ``run_all.sh`` twice. See `Family`."""
    world = World(folder.parent / "world")
    work = [partial(twice, world, target) for target in LOCKED]
    work += [partial(maker_beside_reader, world, *map(by_name, pair)) for pair in READERS.items()]
    work += [partial(reader_beside_maker, world, *map(by_name, pair)) for pair in READERS.items()]
    work.insert(0, run_all_twice)
    first = seed % len(work)
    chosen = [*work[first:], *work[:first]][:rounds]
    yield from in_parallel(partial(one, case, folder / f"{n:04d}") for n, case in enumerate(chosen))


def one(case: partial, folder: Path) -> list[Outcome]:
    """One pair of runs in a workspace of its own."""
    name, problems = case(folder)
    if not problems:
        shutil.rmtree(folder)
    return [Outcome(name, not problems, len(problems), "; ".join(problems))]


def twice(world: World, target: Target, folder: Path) -> tuple[str, list[str]]:
    """The second run names the first; when that is killed, a third one ends as it should."""
    world.begin(target, folder)
    first = hold(world, target, folder)
    second = world.start(target, folder).wait()
    first.kill()
    first.wait()
    problems = refusal(second, first)
    result = world.start(target, folder).wait()
    if result.returncode:
        problems.append(f"after the kill: exit code {result.returncode}: {result.stderr.strip()[-1500:]}")
    return f"{target.name} twice", problems + differences(folder, world.undisturbed(target))


def maker_beside_reader(world: World, reader: Target, maker: Target, folder: Path) -> tuple[str, list[str]]:
    """A stage is being made anew by force while a later one reads its files."""
    world.begin(reader, folder)
    reading = hold(world, reader, folder)
    forced = world.start(maker, folder, "--force").wait()
    problems = refusal(forced, reading)
    reading.send_signal(signal.SIGCONT)
    result = reading.wait()
    if result.returncode:
        problems.append(f"the reader ended with {result.returncode}: {result.stderr.strip()[-1500:]}")
    return f"{maker.name} by force beside {reader.name}", problems + differences(
        folder, world.undisturbed(reader)
    )


def reader_beside_maker(world: World, reader: Target, maker: Target, folder: Path) -> tuple[str, list[str]]:
    """A stage begins while an earlier one is being made anew."""
    world.begin(reader, folder)
    making = hold(world, maker, folder, "--force")
    refused = world.start(reader, folder).wait()
    making.kill()
    making.wait()
    problems = []
    if refused.returncode not in (3, 5) or "Traceback" in refused.stderr:
        problems = [f"exit code {refused.returncode}: {(refused.stdout + refused.stderr).strip()[-1500:]}"]
    for target in (maker, reader):
        result = world.start(target, folder).wait()
        if result.returncode:
            problems.append(f"{target.name} afterwards: {result.returncode}: {result.stderr.strip()[-1500:]}")
    return f"{reader.name} beside {maker.name} by force", problems + differences(
        folder, world.undisturbed(reader)
    )


def run_all_twice(folder: Path) -> tuple[str, list[str]]:
    """Two shells run all scripts at once: none ends but well or with a message."""
    folder.mkdir()
    command = ["bash", str(REPOSITORY / "scripts/run_all.sh"), "--preset", "smoke", "--to", "00"]
    runs = [
        subprocess.Popen(
            [*command, "--workspace", str(folder / WORKSPACE)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [(*run.communicate(), run.returncode) for run in runs]
    codes = [code for _, _, code in results]
    wrong = [text for _, text, code in results if "Traceback" in text or code not in (0, 5)]
    if 0 not in codes or (5 in codes and not any("process" in text for _, text, _ in results)):
        wrong.append(f"exit codes {codes}")
    return "run_all.sh twice", wrong


def hold(world: World, target: Target, folder: Path, *more: str) -> ScriptProcess:
    """Start a target and stop it, as by Ctrl-Z, as soon as it holds its lock and has begun to work."""
    process = world.start(target, folder, *more)

    def is_at_work() -> bool:
        numbers = {path.read_text().strip() for path in (folder / WORKSPACE).rglob("lock")}
        return str(process.pid) in numbers and begun(target, folder)

    wait_until(is_at_work, process)
    process.send_signal(signal.SIGSTOP)
    return process


def begun(target: Target, folder: Path) -> bool:
    """Whether a stage has recorded that it runs; other scripts have no record."""
    if target.script not in {stage.script for stage in STAGES}:
        return True
    records = (folder / WORKSPACE / "_stages" / target.script).rglob("_stage.json")
    return any('"running"' in path.read_text() for path in records)


def refusal(result: CompletedProcess, holder: ScriptProcess) -> list[str]:
    """What is wrong with the refusal of a run beside another one."""
    text = result.stderr.strip()
    if result.returncode == 5 and f"process {holder.pid}" in text and "Traceback" not in text:
        return []
    return [f"exit code {result.returncode}: {text[-1500:]}"]
