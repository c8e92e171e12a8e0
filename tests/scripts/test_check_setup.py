"""`check_setup.py`: what is broken is named, the named commands mend it, and nothing is written."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from scripts import check_setup
from scripts.pipeline import REPOSITORY, UserError, records, run_tool
from scripts.pipeline.locks import holder, locked
from scripts.stages.checking import machine
from scripts.stages.checking.finding import Finding
from scripts.stages.workspace import REGENERATED, REGENERATED_TABLE
from tests.processes import run

SCRIPTS = REPOSITORY / "scripts"
COUNT = 8
PICTURES = "stylegan/synthesize_results"
FIRST_STAGES = ("00_fetch_weights", "01_generate_candidates")


def stage(name: str, workspace: Path, *arguments: str) -> None:
    result = run(SCRIPTS / f"{name}.py", *arguments, folder=workspace)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after stages 00 and 01, on eight candidates."""
    workspace = tmp_path_factory.mktemp("made")
    words = ("--preset", "smoke", "--workspace", str(workspace))
    stage(FIRST_STAGES[0], workspace, *words)
    stage(FIRST_STAGES[1], workspace, *words, "--count", str(COUNT))
    return workspace


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "workspace", copy_function=shutil.copy2))


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """Function that checks a workspace: exit code and screen. The imports have a test of their own."""

    class NoImports:
        def findings(self) -> list[Finding]:
            return []

    monkeypatch.setattr(machine, "Imports", NoImports)
    monkeypatch.setattr(machine, "bundled_weights", lambda: Finding("bundled weights", "not looked at"))

    def call(workspace: Path, *words: str) -> tuple[int, str]:
        arguments = ["--preset", "smoke", "--workspace", str(workspace), *words]
        with pytest.raises(SystemExit) as ended:
            run_tool(check_setup.Options, check_setup.run, argv=arguments, account="never")
        return ended.value.code, capsys.readouterr().out

    return call


def commands(screen: str) -> list[str]:
    """What the screen says to type, from top to bottom."""
    return [line.strip()[2:] for line in screen.splitlines() if line.strip().startswith("$ ")]


def mend(screen: str, workspace: Path) -> None:
    """Give the commands of the screen; scripts run in forked processes, which start sooner."""
    for command in commands(screen):
        words = shlex.split(command)
        if words[0] == "find":
            subprocess.run(command, shell=True, check=True)
        else:
            stage(Path(words[1]).stem, workspace, *words[2:])


def snapshot(workspace: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in workspace.rglob("*")}


def test_a_whole_workspace_is_ok_and_stays_as_it_is(check: Callable, workspace: Path) -> None:
    before = snapshot(workspace)
    code, screen = check(workspace)
    assert code == 0 and commands(screen) == []
    assert f"images: {COUNT} done" in screen and "09_evaluate" in screen
    assert re.search(r"ok +files +\d\d looked at", screen)
    assert snapshot(workspace) == before


def test_an_empty_workspace_is_ok(check: Callable, tmp_path: Path) -> None:
    code, screen = check(tmp_path / "none")
    assert code == 0 and screen.count("not run yet") == 10
    assert not (tmp_path / "none").exists()


def test_pictures_of_a_script_without_a_record(check: Callable, tmp_path: Path) -> None:
    table = tmp_path / REGENERATED_TABLE
    table.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(table.with_name("000000.png"))
    table.write_text(f"file\n{REGENERATED}/000000.png\n")
    code, screen = check(tmp_path)
    assert code == 0 and "its pictures are all there" in screen
    table.write_text(f"file\n{REGENERATED}/000000.png\n{REGENERATED}/000001.png\n")
    code, screen = check(tmp_path)
    assert code == 5 and f"1 pictures missing, such as {REGENERATED}/000001.png" in screen
    assert "08_regenerate_images.py" in commands(screen)[0] and "--force" not in commands(screen)[0]
    table.write_text("img_no\n1\n")
    assert "has no column 'file'" in check(tmp_path)[1]


def test_the_named_commands_mend_what_is_broken(check: Callable, workspace: Path) -> None:
    picture = workspace / PICTURES / "000003.jpg"
    picture.write_bytes(picture.read_bytes()[:500])
    (workspace / PICTURES / "000005.jpg").unlink()
    (workspace / PICTURES / "000006.jpg").write_bytes(b"")
    table = workspace / "stylegan/candidates.csv"
    table.write_text(table.read_text().replace("\n3,", "\n"))
    weights = workspace / "judge/oracle.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    (workspace / PICTURES / ".tmp-999999999-000007.jpg").write_bytes(b"half")
    code, screen = check(workspace)
    assert code == 5
    assert [Path(command.split()[1]).stem for command in commands(screen)[:2]] == list(FIRST_STAGES)
    assert f"--count {COUNT} --force" in commands(screen)[1]
    for text in (
        f"{PICTURES}/000003.jpg, 000006.jpg (2 files) are not what the stage wrote",
        f"1 files of {PICTURES} vanished",
        "stylegan/candidates.csv is not what the stage wrote",
        "judge/oracle.safetensors is not what the stage wrote",
        "1 half-written files of 1 dead runs",
    ):
        assert text in screen
    mend(screen, workspace)
    assert check(workspace)[0] == 0


def test_vanished_outputs_need_no_new_start(check: Callable, workspace: Path) -> None:
    (workspace / "stylegan/latents.safetensors").unlink()
    kept = (workspace / PICTURES / "000000.jpg").stat().st_mtime_ns
    code, screen = check(workspace)
    assert code == 5 and "latents.safetensors vanished" in screen
    assert "--force" not in commands(screen)[0]
    mend(screen, workspace)
    assert check(workspace)[0] == 0
    assert (workspace / PICTURES / "000000.jpg").stat().st_mtime_ns == kept


def test_stale_stages_are_named_in_order(check: Callable, workspace: Path) -> None:
    """A stage that reads what another one made, and that one was made from something else."""
    record = records.read(workspace, "01_generate_candidates")
    record["depends_on"]["inputs"]["stylegan/stylegan_model.pth"] = "sha256 " + 64 * "0"
    record["fingerprint"] = "other"
    records.write(workspace, "01_generate_candidates", record)
    later = dict(record, stage="02_filter_candidates", sha256={}, outputs=[], options={})
    records.write(workspace, "02_filter_candidates", later)
    code, screen = check(workspace)
    assert code == 5
    assert "stale: input stylegan/stylegan_model.pth: was sha256 000" in screen
    assert "made from what 01_generate_candidates will replace" in screen
    names = [Path(command.split()[1]).stem for command in commands(screen)]
    assert names == ["01_generate_candidates", "02_filter_candidates"]


def test_unfinished_and_running_stages(check: Callable, workspace: Path) -> None:
    record = records.read(workspace, "01_generate_candidates")
    record["state"], record["attempts"][-1]["how"] = "running", "interrupted"
    records.write(workspace, "01_generate_candidates", record)
    code, screen = check(workspace)
    assert code == 5 and "not finished (interrupted)" in screen
    assert commands(screen)[0].endswith(f"--count {COUNT}")
    with locked(records.stage_folder(workspace, "01_generate_candidates")):
        code, screen = check(workspace)
    assert code == 0 and f"running now (process {os.getpid()})" in screen
    assert holder(workspace / "_stages/01_generate_candidates/lock") is None


def fail(workspace: Path, message: str) -> None:
    """Let the record of 01 say that its last attempt failed with a message."""
    record = records.read(workspace, FIRST_STAGES[1])
    record |= {"state": "running", "attempts": [{"how": "failed", "message": message}]}
    records.write(workspace, FIRST_STAGES[1], record)


def test_a_command_that_failed_is_not_proposed_again(check: Callable, workspace: Path) -> None:
    fail(workspace, "batches of 9 are too large.\nGive smaller ones:\n    python x.py --batch-size 4")
    code, screen = check(workspace)
    assert code == 5 and "not finished (failed: batches of 9 are too large.)" in screen
    assert commands(screen) == ["python x.py --batch-size 4"]
    fail(workspace, "the numbers became infinite.")
    (command,) = commands(check(workspace)[1])
    assert "--count" not in command and command.endswith("--force")


def test_what_the_script_would_refuse_is_not_proposed(
    check: Callable, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(stage: object, options: Any) -> None:
        assert options.workspace == workspace
        raise UserError(f"{options.count} are too many for the labels.{mending}")

    module = importlib.import_module(f"scripts.{FIRST_STAGES[1]}")
    monkeypatch.setattr(module, "SPEC", replace(module.SPEC, check=refuse))
    (workspace / PICTURES / "000005.jpg").write_bytes(b"")
    mending = " Give fewer:\n    python x.py --count 3"
    code, screen = check(workspace)
    assert code == 5 and f"it would refuse to begin again: {COUNT} are too many" in screen
    assert commands(screen) == ["python x.py --count 3"]
    mending = ""
    (command,) = commands(check(workspace)[1])
    assert "--count" not in command and command.endswith("--force")


def test_options_that_are_gone_are_not_proposed(check: Callable, workspace: Path) -> None:
    record = records.read(workspace, FIRST_STAGES[1])
    record["options"]["old_name"] = {"value": 3, "from": "command line"}
    records.write(workspace, FIRST_STAGES[1], record)
    assert check(workspace)[0] == 0, "it changed no result"
    (workspace / "stylegan/latents.safetensors").unlink()
    assert f"--count {COUNT}" in (command := commands(check(workspace)[1])[0]) and "--old-name" not in command
    record["depends_on"]["options"]["old_name"] = 3
    records.write(workspace, FIRST_STAGES[1], record)
    code, screen = check(workspace)
    assert code == 5 and "made with options that the script no longer has" in screen
    assert "--old-name" not in commands(screen)[0] and commands(screen)[0].endswith("--force")


@pytest.mark.parametrize(("flags", "command"), [(0, "chmod -R u+rwX"), (os.ST_RDONLY, "cp -r")])
def test_folders_that_cannot_be_written(
    check: Callable, workspace: Path, monkeypatch: pytest.MonkeyPatch, flags: int, command: str
) -> None:
    locked = workspace / PICTURES
    space = dict.fromkeys(("f_bavail", "f_frsize", "f_blocks", "f_bfree"), 1 << 20)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != locked)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags, **space))
    code, screen = check(workspace)
    assert code == 5 and f"1 folders cannot be written, such as {locked}" in screen
    assert commands(screen)[0].startswith(f"{command} {workspace}")


def test_the_folder_that_is_to_be_made_must_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new/run"
    assert machine.writing(new, new / "logs").mend == ""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert f"such as {tmp_path}:" in machine.writing(new, new / "logs").text


def test_files_that_vanish_and_a_bundle_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "BUNDLES", ("data/none",))
    assert machine.bundled_weights().text.startswith("0 files")
    (tmp_path / "file").write_bytes(b"12345")
    monkeypatch.setattr(Path, "is_file", lambda path: True)  # it was there when the folder was listed
    monkeypatch.setattr(Path, "rglob", lambda folder, pattern: [tmp_path / "file", tmp_path / "vanished"])
    assert machine.disk(tmp_path, 5 / machine.GIB).text.endswith("takes 0.0 more")


def test_requirements_of_this_python(tmp_path: Path) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    text = f'a==1.0\nb==2.0; python_version >= "{version}"\nb==1.0; python_version < "{version}"\n# c==1\n'
    (tmp_path / "requirements.txt").write_text(text)
    assert machine.required(tmp_path / "requirements.txt") == {"a": "1.0", "b": "2.0"}
    assert machine.required()["torch"]


def test_missing_and_other_packages_name_the_command() -> None:
    assert machine.packages({}).mend == ""
    found = machine.packages({"numpy": "0.1", "surely-not-installed": "1"})
    assert re.search(r"missing: surely-not-installed; numpy \S+ instead of 0.1", found.text)
    assert "-m pip install -r" in found.mend


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "libgomp.so.1"),
        ("import os; os.abort()", "sklearn cannot be imported: "),  # takes the interpreter with it
    ],
)
def test_a_package_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str
) -> None:
    (tmp_path / "sklearn.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(machine, "MODULES", {"json": "json", "sklearn": "scikit-learn", "torch": "torch"})
    (found,) = machine.Imports().findings()
    assert reason in found.text
    pinned = machine.required()["scikit-learn"]
    assert found.mend.endswith(f"--force-reinstall --no-deps scikit-learn=={pinned}")


def test_memory_and_disk(tmp_path: Path) -> None:
    assert machine.memory(0.001).mend == "" and machine.memory(1e6).mend
    assert machine.disk(tmp_path / "none", 0.0).mend == "" and machine.disk(tmp_path, 1e9).mend


def test_a_bare_python_is_told_what_to_install(tmp_path: Path) -> None:
    """Without any package the script still says what is missing."""
    script = SCRIPTS / "check_setup.py"
    found = subprocess.run(
        [sys.executable, "-S", "-E", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 5, found.stderr
    assert "missing: torch" in found.stdout and "ensure_venv.sh && ensure_venv" in found.stdout
    assert not (REPOSITORY / "logs" / "embedded" / "check_setup").exists()
