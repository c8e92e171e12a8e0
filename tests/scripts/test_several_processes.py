"""A stage in several processes: who writes and speaks, up to date, refused, stopped, killed, and restarted.

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
from tests.processes import ScriptProcess, wait_until

PLACED = Path(__file__).with_name("placed_script.py")
TOY = Path(__file__).with_name("toy_training_stage.py")
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
    advised = {"04_compute_property_scores": "without torchrun", "01_generate_candidates": "--shard i/n"}
    for name, advice in advised.items():
        results = group(2, script=REPOSITORY / f"scripts/{name}.py").wait()
        assert codes(results) == [5, 5]
        assert said(results).count("cannot share its work") == 1 and advice in said(results)
    assert list(workspace.glob("_stages/*/_stage.json")) == []


def test_missing_inputs_and_wrong_options_are_told_once(group, workspace: Path) -> None:
    wrong = group(2, "--stesp", 4).wait()
    assert codes(wrong) == [2, 2] and said(wrong).count("Unrecognized options:") == 1
    (workspace / "raw/wood.txt").unlink()
    missing = group(2).wait()
    assert codes(missing) == [3, 3] and said(missing).count("89_wood") == 2, "the maker and its command"


def test_all_stop_after_the_same_step_and_another_number_goes_on(group, workspace: Path) -> None:
    begun = group(2, "--steps", 60, "--pause-s", 0.05, "--checkpoint-s", 0)
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
    begun = group(3, "--steps", 1000, "--pause-s", 0.02, "--checkpoint-s", 0)
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
