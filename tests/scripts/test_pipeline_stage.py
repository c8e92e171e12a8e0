"""A toy stage in processes of its own: fingerprints, resume, locks, signals, full disks and exit codes."""

import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from scripts.pipeline.console import StopRequest
from scripts.pipeline.options import resolve_options
from scripts.pipeline.stage import Tool
from tests.faults.injection import obey_permissions
from tests.processes import ScriptProcess, wait_until
from tests.scripts import toy_stage

TOY = Path(toy_stage.__file__)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return toy_stage.new_workspace(tmp_path / "workspace")


def manifest(workspace: Path) -> dict:
    return json.loads((workspace / "_stages/90_toy/_stage.json").read_text())


def wait_for_items(workspace: Path, count: int, process: ScriptProcess) -> None:
    journal = workspace / "_stages/90_toy/journal.csv"
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > count, process)


def makers(workspace: Path) -> dict[str, str]:
    """Item -> process that made it."""
    return {path.name: path.read_text() for path in sorted((workspace / "toy/items").glob("*.txt"))}


def test_complete_run_then_up_to_date_in_a_moment(run_script, run_interpreter, workspace: Path) -> None:
    first = run_script(TOY, "--workspace", workspace)
    assert first.returncode == 0, first.stderr
    assert "toys: 5" in first.stdout
    assert "91_sell.py" in first.stdout
    assert str(workspace) in first.stdout
    made = makers(workspace)
    record = manifest(workspace)
    assert record["state"] == "complete"
    assert record["versions"]["python"] == sys.version.split()[0]
    frame = pd.read_csv(workspace / "toy/toys.csv")
    assert frame["img_no"].tolist() == [0, 1, 2, 3, 4]
    assert frame["value"].tolist() == [0, 0.5, 1, 1.5, 2]

    again = run_interpreter(TOY, "--workspace", workspace, "--pause-s", 1)
    assert again.cpu_s < 1
    assert again.returncode == 0
    assert "up to date" in again.stdout
    assert "toys: 5" in again.stdout
    assert makers(workspace) == made
    assert manifest(workspace) == record


def test_other_options_are_refused_until_forced(run_script, workspace: Path) -> None:
    run_script(TOY, "--workspace", workspace)
    made = makers(workspace)
    refused = run_script(TOY, "--workspace", workspace, "--count", 3, "--kind", "square")
    assert refused.returncode == 5
    assert "--count: was 5, is 3" in refused.stderr
    assert '--kind: was "round", is "square"' in refused.stderr
    assert f"--workspace {workspace} --count 3 --kind square --force" in refused.stderr
    other = run_script(TOY, "--workspace", workspace, "--count", 3, "--quality", "full")
    assert '--quality: was "quick", is "full"\n    --count: was 5, is 3\n' in other.stderr
    assert f"--quality full --workspace {workspace} --count 3 --force" in other.stderr
    assert makers(workspace) == made
    forced = run_script(TOY, "--workspace", workspace, "--count", 3, "--force")
    assert forced.returncode == 0, forced.stderr
    assert len(makers(workspace)) == 3
    assert not set(makers(workspace).values()) & set(made.values())


def test_a_changed_or_new_input_makes_the_result_stale(run_script, workspace: Path) -> None:
    run_script(TOY, "--workspace", workspace)
    (workspace / "raw/wood.txt").write_text("elm")
    changed = run_script(TOY, "--workspace", workspace)
    assert changed.returncode == 5
    assert "input raw/wood.txt" in changed.stderr
    (workspace / "raw/wood.txt").write_text("oak")
    assert run_script(TOY, "--workspace", workspace).returncode == 0
    (workspace / "raw/paint.txt").write_text("red")
    assert "input raw/paint.txt: was absent" in run_script(TOY, "--workspace", workspace).stderr


def test_missing_input_names_its_maker_and_the_command(run_script, tmp_path: Path) -> None:
    result = run_script(TOY, "--workspace", tmp_path / "empty")
    assert result.returncode == 3
    assert "raw/wood.txt" in result.stderr
    assert f"scripts/89_wood.py --workspace {tmp_path / 'empty'}" in result.stderr
    assert not (tmp_path / "empty").exists()


def test_a_file_is_no_workspace(run_script, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for place in (tmp_path / "notes.txt", tmp_path / "notes.txt/inside"):
        result = run_script(TOY, "--workspace", place)
        assert result.returncode == 5 and "a file where a folder should be" in result.stderr
        assert "Traceback" not in result.stderr


def test_input_of_an_unfinished_stage_is_refused(run_script, workspace: Path) -> None:
    folder = workspace / "_stages/89_wood"
    folder.mkdir(parents=True)
    (folder / "_stage.json").write_text(json.dumps({"state": "running", "fingerprint": "0"}))
    result = run_script(TOY, "--workspace", workspace)
    assert result.returncode == 3
    assert "89_wood has not finished" in result.stderr


@pytest.mark.parametrize("lost", ["toy/toys.csv", "_stages/90_toy/outputs.json"])
def test_what_vanished_is_made_again_without_redoing_items(run_script, workspace: Path, lost: str) -> None:
    run_script(TOY, "--workspace", workspace)
    made, written = makers(workspace), (workspace / lost).read_bytes()
    (workspace / lost).unlink()
    again = run_script(TOY, "--workspace", workspace)
    assert again.returncode == 0 and f"{lost.removeprefix('_stages/90_toy/')} vanished" in again.stdout
    assert (workspace / lost).read_bytes() == written
    assert makers(workspace) == made


def test_a_killed_run_goes_on_where_it_was(start_script, run_script, workspace: Path) -> None:
    process = start_script(TOY, "--workspace", workspace, "--count", 8, "--pause-s", 0.1)
    wait_for_items(workspace, 3, process)
    process.kill()
    assert process.wait().returncode == -signal.SIGKILL
    journal = workspace / "_stages/90_toy/journal.csv"
    finished = journal.read_text().count("\n") - 1
    assert 3 <= finished < 8
    with journal.open("a") as file:
        file.write(f"{finished},toy/items/half")
    leftover = workspace / f"toy/items/.tmp-{process.pid}-000009.txt"
    leftover.write_text("half")
    result = run_script(TOY, "--workspace", workspace, "--count", 8)
    assert result.returncode == 0, result.stderr
    by_first = [name for name, pid in makers(workspace).items() if pid == str(process.pid)]
    assert len(by_first) == finished
    assert pd.read_csv(workspace / "toy/toys.csv")["img_no"].tolist() == list(range(8))
    assert not leftover.exists()


def test_rows_without_a_record_are_not_trusted(run_script, workspace: Path) -> None:
    run_script(TOY, "--workspace", workspace)
    made = makers(workspace)
    (workspace / "_stages/90_toy/_stage.json").write_text("{ half")
    assert run_script(TOY, "--workspace", workspace).returncode == 0
    assert not set(makers(workspace).values()) & set(made.values())


def test_a_signal_stops_between_items_with_130(start_script, run_script, workspace: Path) -> None:
    process = start_script(TOY, "--workspace", workspace, "--count", 50, "--pause-s", 0.05)
    wait_for_items(workspace, 2, process)
    process.send_signal(signal.SIGTERM)
    stopped = process.wait()
    assert stopped.returncode == 130
    errors = stopped.stderr
    assert "the same command goes on" in errors
    assert f"--workspace {workspace} --count 50" in errors
    assert "Traceback" not in errors
    rows = (workspace / "_stages/90_toy/journal.csv").read_text().count("\n") - 1
    assert rows == len(makers(workspace))
    assert manifest(workspace)["state"] == "running"
    assert run_script(TOY, "--workspace", workspace, "--count", 50).returncode == 0


def test_a_forced_run_that_was_stopped_goes_on_without_force(
    start_script, run_script, workspace: Path
) -> None:
    process = start_script(TOY, "--workspace", workspace, "--count", 50, "--pause-s", 0.05, "--force")
    wait_for_items(workspace, 2, process)
    process.send_signal(signal.SIGINT)
    message, command = process.wait().stderr.strip().splitlines()[-2:]
    assert "the same command without --force goes on" in message
    made = makers(workspace)
    words = shlex.split(command)
    assert run_script(TOY, *words[words.index(str(TOY)) + 1 :]).returncode == 0
    assert made and made.items() <= makers(workspace).items()


def test_failed_items_above_the_allowed_share_exit_4(run_script, workspace: Path) -> None:
    arguments = ("--workspace", workspace, "--count", 10, "--fail-every", 5)
    result = run_script(TOY, *arguments)
    assert result.returncode == 4
    assert "2 of 10 items failed" in result.stderr
    assert "failed after" in (workspace / "logs/90_toy/log.txt").read_text().splitlines()[-1]
    last = manifest(workspace)["attempts"][-1]
    assert last["how"] == "failed" and last["message"] in result.stderr
    made = makers(workspace)
    assert run_script(TOY, *arguments, "--max-failures", 0.2).returncode == 0
    assert makers(workspace) == made


def test_quiet_prints_nothing_but_logs(run_script, workspace: Path) -> None:
    result = run_script(TOY, "--workspace", workspace, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "toys: 5" in (workspace / "logs/90_toy/log.txt").read_text()
    assert json.loads((workspace / "logs/90_toy/options.json").read_text())["quiet"]["value"] is True


def test_folder_without_permission(workspace: Path) -> None:
    workspace.chmod(0o500)
    result = ScriptProcess(TOY, "--workspace", workspace, folder=workspace, prepare=obey_permissions).wait()
    workspace.chmod(0o700)
    assert result.returncode == 5
    assert "no permission" in result.stderr and "Traceback" not in result.stderr


def test_a_missing_gpu_is_noticed_before_anything_is_removed(run_script, workspace: Path) -> None:
    run_script(TOY, "--workspace", workspace)
    made = makers(workspace)
    refused = run_script(TOY, "--workspace", workspace, "--device", "cuda:99", "--force")
    assert refused.returncode == 5 and "asks for a GPU" in refused.stderr
    assert made and makers(workspace) == made
    assert manifest(workspace)["state"] == "complete"


@pytest.mark.parametrize("words", [(), ("--deterministic",)])
def test_deterministic_is_what_torch_is_told(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # put back at the end
    resolved = resolve_options(toy_stage.Options, "90_toy", ["--workspace", str(tmp_path), *words])
    try:
        with StopRequest() as stop:
            assert Tool("90_toy", resolved.options, stop).device.type in ("cpu", "cuda")
        assert torch.are_deterministic_algorithms_enabled() == bool(words)
        assert bool(os.environ["CUBLAS_WORKSPACE_CONFIG"]) == bool(words)
    finally:
        torch.use_deterministic_algorithms(False)


def test_json_of_a_stage(run_script, start_script, workspace: Path) -> None:
    arguments = (TOY, "--workspace", workspace, "--json")
    first = run_script(*arguments, "--quiet")
    assert first.stderr == ""
    told = json.loads(first.stdout)
    assert (told["script"], told["state"], told["exit_code"]) == ("90_toy", "complete", 0)
    assert (told["numbers"], told["look_at"]) == ({"toys": "5"}, ["toy/toys.csv"])
    assert told["outputs"] == ["toy/toys.csv"]
    assert "91_sell.py" in told["next"]
    assert "message" not in told

    again = run_script(*arguments)
    assert json.loads(again.stdout) | {"seconds": 0} == told | {"state": "up to date", "seconds": 0}
    assert "up to date" in again.stderr

    stopped = start_script(*arguments, "--force", "--count", 60, "--pause-s", 0.05)
    wait_for_items(workspace, 6, stopped)
    stopped.send_signal(signal.SIGINT)
    told = json.loads(stopped.wait().stdout)
    assert (told["state"], told["exit_code"], told["workspace"]) == ("interrupted", 130, str(workspace))
    assert "goes on from there" in told["message"]


def test_json_of_a_bug_keeps_its_traceback(run_script, workspace: Path) -> None:
    result = run_script(TOY, "--workspace", workspace, "--json", "--pause-s", -1)
    told = json.loads(result.stdout)
    assert (told["state"], told["exit_code"]) == ("failed", 1)
    assert result.returncode == 1
    assert told["message"].split(":")[0] in result.stderr
    assert "Traceback" in result.stderr
