"""Stages in parts: the same result as in one, whatever the order, the interruptions and the mistakes."""

import importlib.util
import json
from pathlib import Path

import pytest

from scripts.pipeline import manifest
from scripts.pipeline.journal import checksum
from scripts.pipeline.locks import stage_locked
from scripts.pipeline.shard_runner import run_sharded_stage
from scripts.pipeline.shards import Shard

_SPEC = importlib.util.spec_from_file_location(
    "toy_sharded_stage", Path(__file__).with_name("toy_sharded_stage.py")
)
toy = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(toy)

PARTS = "_stages/90_toy/parts"


@pytest.fixture
def run_toy(tmp_path: Path):
    """Runs the toy stage in this process; returns its exit code."""

    def run(*arguments: object, workspace: Path = tmp_path / "shared") -> int:
        words = ["--workspace", str(workspace), *map(str, arguments)]
        with pytest.raises(SystemExit) as exit_info:
            run_sharded_stage(toy.SPEC, toy.Options, toy.WORK, words)
        return exit_info.value.code or 0

    return run


def contents(workspace: Path) -> dict[str, bytes]:
    """Files of the result by name."""
    return {
        str(path.relative_to(workspace)): path.read_bytes()
        for path in sorted((workspace / "toy").rglob("*.*"))
    }


def made(workspace: Path) -> list[int]:
    """Toys in the order in which they were made."""
    return [int(line.split()[1]) for line in (workspace / "made.log").read_text().splitlines()]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_equal_the_whole_and_the_last_one_merges(run_toy, tmp_path: Path, order, capsys) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert run_toy(workspace=alone) == 0
    for part in order[:-1]:
        assert run_toy("--shard", f"{part}/3") == 0
        assert not (shared / toy.TABLE).exists()
    assert "parts are not finished" in capsys.readouterr().out
    assert run_toy("--shard", f"{order[-1]}/3") == 0
    assert contents(shared) == contents(alone)
    assert sorted(made(shared)) == list(range(11))
    records = [manifest.read(place, "90_toy") for place in (shared, alone)]
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    assert {record["state"] for record in records} == {"complete"}
    for words in ((), ("--shard", "2/3")):
        assert run_toy(*words) == 0
        assert "up to date" in capsys.readouterr().out


def test_more_parts_than_batches(run_toy, tmp_path: Path) -> None:
    for part in range(1, 9):
        assert run_toy("--count", 3, "--shard", f"{part}/8") == 0
    assert made(tmp_path / "shared") == [0, 1, 2]
    assert (tmp_path / "shared" / toy.TABLE).exists()


def test_interrupted_part_goes_on_and_the_whole_waits_for_it(run_toy, tmp_path: Path, capsys) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert run_toy("--shard", "1/2", "--stop-after", 3) == 130
    assert run_toy("--shard", "2/2") == 0
    assert not (shared / toy.TABLE).exists()
    assert run_toy() == 5
    message = capsys.readouterr().err
    assert "1 of 2 parts are not finished" in message and "--shard 1/2" in message
    assert run_toy("--shard", "1/2") == 0
    assert made(shared).count(4) == 2  # the half-made batch 4-5 is calculated again as a whole
    assert run_toy(workspace=alone) == 0
    assert contents(shared) == contents(alone)


def test_a_whole_run_that_stopped_can_go_on_in_parts(run_toy, tmp_path: Path) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert run_toy("--stop-after", 5) == 130
    assert run_toy("--shard", "1/2") == 0 and run_toy("--shard", "2/2") == 0
    assert sorted(made(shared)) == sorted([*range(11), 4])
    assert run_toy(workspace=alone) == 0
    assert contents(shared) == contents(alone)


def test_lost_rows_and_files_are_made_again(run_toy, tmp_path: Path, capsys) -> None:
    shared = tmp_path / "shared"
    assert run_toy("--shard", "1/2") == 0 and run_toy("--shard", "2/2") == 0
    before = contents(shared)
    journal = shared / PARTS / "2-of-2/journal.csv"
    journal.write_bytes(journal.read_bytes().rsplit(b"\n", 2)[0] + b"\n7,toy/it")
    (shared / toy.toy_path(0)).unlink()
    (shared / toy.TABLE).unlink()
    assert run_toy() == 0
    assert "in no part, or their files are gone" in capsys.readouterr().out
    assert contents(shared) == before


def test_disagreeing_parts_are_refused(run_toy, tmp_path: Path, capsys) -> None:
    shared = tmp_path / "shared"
    assert run_toy("--shard", "1/2") == 0
    first, second = (shared / PARTS / f"{index}-of-2/journal.csv" for index in (1, 2))
    fields = first.read_text().splitlines()[1].replace("0-1", "0-9").split(",")[:-1]
    foreign = ",".join([*fields, checksum(fields)])
    assert run_toy("--shard", "2/2", "--stop-after", 1) == 130
    second.write_text(second.read_text() + foreign + "\n")
    assert run_toy("--shard", "2/2") == 5
    message = capsys.readouterr().err
    assert "disagrees with another part about img_no 0" in message
    assert "company is '0-9' here and '0-1' there" in message
    assert "--force" in message
    assert not (shared / toy.TABLE).exists()


def test_other_settings_and_other_counts_are_refused(run_toy, capsys) -> None:
    assert run_toy("--shard", "1/2") == 0
    assert run_toy("--shard", "2/2", "--factor", 3) == 5
    assert "--factor: was 1, is 3" in capsys.readouterr().err
    assert run_toy("--shard", "1/3") == 5
    assert "begun in 2 parts" in capsys.readouterr().err
    for text in ("0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"):
        assert run_toy(f"--shard={text}") == 2
    assert Shard.parse("") is None


def test_force_starts_over_once(run_toy, tmp_path: Path) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert run_toy("--shard", "1/2") == 0 and run_toy("--shard", "2/2") == 0
    changed = ("--factor", 3, "--force")
    assert run_toy("--shard", "1/2", *changed) == 0
    assert not (shared / toy.TABLE).exists()
    assert run_toy("--shard", "2/2", *changed) == 0
    assert run_toy("--factor", 3, workspace=alone) == 0
    assert contents(shared) == contents(alone)
    assert run_toy("--factor", 3, "--shard", "2/2", "--force") == 0
    assert contents(shared) == contents(alone)
    assert run_toy("--count", 4, "--force") == 0
    assert not list((shared / PARTS).glob("*/journal.csv"))
    assert len(contents(shared)) == 5


def test_running_part_is_left_alone(run_toy, tmp_path: Path, capsys) -> None:
    shared = tmp_path / "shared"
    assert run_toy("--shard", "1/2", "--stop-after", 1) == 130
    with stage_locked(shared, "90_toy/parts/1-of-2"):
        assert run_toy("--shard", "1/2") == 5
        assert run_toy("--force") == 5
        assert capsys.readouterr().err.count("running already") == 2
    record = json.loads((shared / PARTS / "1-of-2/_stage.json").read_text())
    assert record["state"] == "running" and record["part"] == "1/2"
