"""What `_stage.json` and the log say about a run: attempts, counts, seeds, code and hashes."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from scripts.pipeline import accounting, records
from scripts.pipeline.files import sha256_file
from tests.processes import wait_until
from tests.scripts import toy_stage

TOY = Path(toy_stage.__file__)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return toy_stage.new_workspace(tmp_path / "workspace")


def read(workspace: Path) -> dict:
    return records.read(workspace, "90_toy")


def start_and_end(start_script, workspace: Path, number: signal.Signals, items: int) -> None:
    """Run the toy until it has made some items, then send it a signal."""
    journal = workspace / "_stages/90_toy/journal.csv"
    process = start_script(TOY, "--workspace", workspace, "--count", 12, "--pause-s", 0.05)
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > items, process)
    process.send_signal(number)
    process.wait()


def test_attempts_add_up_over_a_kill_and_an_interrupt(start_script, run_script, workspace: Path) -> None:
    start_and_end(start_script, workspace, signal.SIGKILL, 2)
    start_and_end(start_script, workspace, signal.SIGINT, 5)
    between = read(workspace)
    assert between["state"] == "running"
    interrupted = between["attempts"][-1]["counts"]["toys"]
    finished = (workspace / "_stages/90_toy/journal.csv").read_bytes().count(b"\n") - 1
    assert interrupted["done"] + interrupted["skipped"] == finished and interrupted["failed"] == 0
    assert run_script(TOY, "--workspace", workspace, "--count", 12).returncode == 0
    record = read(workspace)
    assert [known["how"] for known in record["attempts"]] == ["killed", "interrupted", "complete"]
    assert record["started"] == record["attempts"][0]["started"]
    assert record["seconds"] == pytest.approx(sum(known["seconds"] for known in record["attempts"]))
    assert record["counts"]["toys"] == {"done": 12 - finished, "skipped": finished, "failed": 0}
    lines = (workspace / "logs/90_toy/log.txt").read_text().splitlines()
    starts = [line for line in lines if "command: " in line]
    assert len(starts) == 3 and all("--count 12" in line and "seeds: none" in line for line in starts)
    assert "complete after" in lines[-1] and f"{12 - finished} done, {finished} skipped" in lines[-1]


def test_record_names_code_machine_and_hashes(run_script, workspace: Path) -> None:
    assert run_script(TOY, "--workspace", workspace).returncode == 0
    record = read(workspace)
    assert record["sha256"] == {"toy/toys.csv": sha256_file(workspace / "toy/toys.csv")}
    assert record["versions"]["script"] == "1" and record["processor"]
    assert record["command"].endswith(f"toy_stage.py --workspace {workspace}")
    assert 10 < record["peak_memory_mib"] < 4000


def test_the_commit_and_whether_the_code_was_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        given = ("git", "-c", "user.name=x", "-c", "user.email=x", *words)
        return subprocess.run(given, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert accounting.code_version(tmp_path) == (None, None)
    git("init", "-q")
    (tmp_path / "code.py").write_text("a = 1")
    git("add", "code.py")
    git("commit", "-qm", "first")
    assert accounting.code_version(tmp_path) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "code.py").write_text("a = 2")
    assert accounting.code_version(tmp_path) == (git("rev-parse", "HEAD"), True)


def test_killed_attempts_end_with_their_last_sign_of_life(tmp_path: Path) -> None:
    begun = time.time() - 100
    record = {"state": "running", "attempts": [{"started": records.to_text(begun)}]}
    (killed,) = accounting.closed(record, begun + 40)
    assert killed["how"] == "killed" and killed["seconds"] == pytest.approx(40, abs=1.1)
    (killed,) = accounting.closed(record, begun - 500)  # the clock was set back, or nothing was done
    assert killed["seconds"] == 0
    assert accounting.closed(None, None) == []
