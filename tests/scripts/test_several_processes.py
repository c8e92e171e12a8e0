"""A stage in several processes: who writes and speaks, up to date, refused, stopped, killed, and restarted;
items that are dealt out among them.

torchrun's part, a store and a few environment variables, is played by the test, so that processes can be
forked and have exit codes of their own. `test_end_to_end` has the real one.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from torch.distributed import TCPStore

from scripts.pipeline import REPOSITORY
from tests.processes import ScriptProcess, run, wait_until

PLACED = Path(__file__).with_name("placed_script.py")
TOY = Path(__file__).with_name("toy_training_stage.py")
ITEMS = Path(__file__).with_name("toy_item_stage.py")
CHECKPOINT = "stylegan_modified/checkpoints/toy.pt"
COMMAND = "-m torch.distributed.run --standalone --nproc-per-node=2"


class Group:
    """Processes of one run, and the store that torchrun would keep for them."""

    def __init__(self, count: int, script: Path, workspace: Path, *arguments: object) -> None:
        self.store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        self.processes = [
            ScriptProcess(
                PLACED,
                rank,
                count,
                self.store.port,
                script,
                "--workspace",
                workspace,
                *arguments,
                folder=workspace,
            )
            for rank in range(count)
        ]

    def wait(self) -> list[CompletedProcess]:
        return [process.wait(60) for process in self.processes]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/wood.txt").write_text("oak")
    return tmp_path


@pytest.fixture
def group(workspace: Path) -> Iterator:
    """Function that starts a group of processes of the toy stage."""
    started: list[Group] = []

    def start(count: int, *arguments: object, script: Path = TOY) -> Group:
        started.append(Group(count, script, workspace, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def said(results: list[CompletedProcess]) -> str:
    """What all processes said on the screen; the first line of torch's own warnings would show up here."""
    return "".join(result.stderr for result in results)


def codes(results: list[CompletedProcess]) -> list[int]:
    return [result.returncode for result in results]


def steps_saved(workspace: Path) -> int:
    return torch.load(workspace / CHECKPOINT, weights_only=True)["step"]


def weight(workspace: Path) -> float:
    return float((workspace / "toy/weight.txt").read_text())


def test_one_writes_and_speaks_for_all(group, workspace: Path) -> None:
    results = group(2).wait()
    assert codes(results) == [0, 0], said(results)
    assert "92_toy_training finished" in results[0].stdout and results[1].stdout == ""
    assert json.loads((workspace / "_stages/92_toy_training/_stage.json").read_text())["state"] == "complete"
    assert (workspace / "stylegan_modified/train_log_toy.csv").read_text().count("\n") == 7

    again = group(2).wait()
    assert codes(again) == [0, 0] and "up to date" in again[0].stdout and again[1].stdout == ""

    refused = group(2, "--steps", 7).wait()
    assert codes(refused) == [5, 5] and said(refused).count("steps: was 6, is 7") == 1


def test_what_cannot_run_in_several_processes_says_so(group, workspace: Path) -> None:
    results = group(2, script=REPOSITORY / "scripts/04_compute_property_scores.py").wait()
    assert codes(results) == [5, 5]
    assert said(results).count("cannot share its work") == 1 and "without torchrun" in said(results)
    assert list(workspace.glob("_stages/*/_stage.json")) == []


def test_missing_inputs_and_wrong_options_are_told_once(group, workspace: Path) -> None:
    wrong = group(2, "--stesp", 4).wait()
    assert codes(wrong) == [2, 2] and said(wrong).count("Unrecognized options:") == 1
    (workspace / "raw/wood.txt").unlink()
    missing = group(2).wait()
    assert codes(missing) == [3, 3] and said(missing).count("89_wood") == 2, "the maker and its command"


def test_all_stop_after_the_same_step_and_another_number_goes_on(group, workspace: Path) -> None:
    begun = group(2, "--steps", 60, "--pause-s", 0.05, "--save-seconds", 0)
    wait_until(lambda: (workspace / CHECKPOINT).exists() and steps_saved(workspace) > 2, begun.processes[0])
    begun.processes[1].send_signal(signal.SIGTERM)  # as if only one had been asked
    results = begun.wait()
    assert codes(results) == [130, 130]
    assert said(results).count("92_toy_training stopped") == 1 and COMMAND in said(results)
    assert "Traceback" not in said(results)
    stopped_at = steps_saved(workspace)
    assert 2 < stopped_at < 60

    assert codes(group(3, "--steps", 60).wait()) == [0, 0, 0]
    resumed = weight(workspace)
    assert (workspace / "stylegan_modified/train_log_toy.csv").read_text().count("\n") == 61
    assert codes(group(1, "--steps", 60, "--force").wait()) == [0]
    assert resumed == pytest.approx(weight(workspace), abs=2e-6)


@pytest.mark.parametrize("victim", [0, 2])
def test_a_killed_process_ends_the_run_with_one_message(victim: int, group, workspace: Path) -> None:
    begun = group(3, "--steps", 1000, "--pause-s", 0.02, "--save-seconds", 0)
    wait_until(lambda: (workspace / CHECKPOINT).exists() and steps_saved(workspace) > 2, begun.processes[0])
    begun.processes[victim].kill()
    results = begun.wait()
    assert codes(results) == [-9 if rank == victim else 5 for rank in range(3)]
    assert said(results).count("another process of this run has ended") == 1
    assert "--nproc-per-node=3" in said(results) and "Traceback" not in said(results)
    assert steps_saved(workspace) > 2


def test_an_error_of_the_first_process_ends_all(group) -> None:
    results = group(2, "--full-disk").wait()
    assert codes(results) == [5, 5]
    assert said(results).count("disk is full") == 1 and "Traceback" not in said(results)


def toys(workspace: Path) -> dict[str, bytes]:
    """Files of the items and their table by name."""
    return {path.name: path.read_bytes() for path in sorted((workspace / "toy").rglob("*.*"))}


def makers(workspace: Path) -> dict[int, list[str]]:
    """Toy -> the processes that made it, in their order."""
    found: dict[int, list[str]] = {}
    for line in (workspace / "made.log").read_text().splitlines():
        process, toy = line.split()
        found.setdefault(int(toy), []).append(process)
    return found


def record_of_items(workspace: Path) -> dict:
    return json.loads((workspace / "_stages/90_toy/_stage.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes."""
    folder = tmp_path_factory.mktemp("alone")
    assert run(ITEMS, "--workspace", folder, folder=folder).returncode == 0
    return toys(folder)


def test_items_of_several_processes_are_those_of_one(group, workspace: Path, alone) -> None:
    count = 8
    results = group(count, script=ITEMS).wait()
    assert codes(results) == [0] * count, said(results)
    assert toys(workspace) == alone
    made = makers(workspace)
    assert sorted(made) == list(range(11)) and all(len(by) == 1 for by in made.values())
    assert len({by[0] for by in made.values()}) == min(count, 6), "batches of two, dealt out"
    assert [result.stdout for result in results[1:]] == [""] * (count - 1)
    assert list(workspace.glob("_stages/90_toy/*.csv")) == [workspace / "_stages/90_toy/journal.csv"]
    record = record_of_items(workspace)
    assert record["state"] == "complete"
    assert record["counts"] == {"images": {"done": 11, "skipped": 0, "failed": 0}}
    again = group(count, script=ITEMS).wait()
    assert codes(again) == [0] * count and "up to date" in again[0].stdout


@pytest.mark.parametrize("further", [1, 3])
def test_items_of_killed_processes_are_kept_by_any_number(
    further: int, group, workspace: Path, alone
) -> None:
    begun = group(2, "--pause-s", 0.1, script=ITEMS)
    journals = [workspace / f"_stages/90_toy/journal{of}.csv" for of in ("", "_1")]

    def have_made_some() -> bool:
        return all(path.exists() and path.read_bytes().count(b"\n") > 2 for path in journals)

    wait_until(have_made_some, begun.processes[0])
    begun.kill()
    begun.wait()
    before = makers(workspace)
    assert len(before) < 11

    results = group(further, script=ITEMS).wait()
    assert codes(results) == [0] * further, said(results)
    assert toys(workspace) == alone
    made_again = {toy for toy, by in makers(workspace).items() if toy in before and len(by) > 1}
    assert len(made_again) <= 2, "each process was in the middle of one batch"
    skipped = record_of_items(workspace)["counts"]["images"]["skipped"]
    assert skipped >= 4


def test_lost_rows_and_files_are_made_again(group, workspace: Path, alone) -> None:
    assert codes(group(2, script=ITEMS).wait()) == [0, 0]
    journal = workspace / "_stages/90_toy/journal.csv"
    journal.write_bytes(journal.read_bytes().rsplit(b"\n", 2)[0] + b"\n7,toy/it")
    (workspace / "toy/items/000000.txt").unlink()
    (workspace / "toy/toys.csv").unlink()
    assert codes(group(2, script=ITEMS).wait()) == [0, 0]
    assert toys(workspace) == alone
