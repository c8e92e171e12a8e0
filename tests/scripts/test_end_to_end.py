"""The main job from the bundled weights to regenerated pictures, on 96 candidates."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.pipeline import REPOSITORY, files, locks
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import editing
from tests import readme
from tests.processes import ScriptProcess, wait_until

SCRIPTS = sorted((REPOSITORY / "scripts").glob("0[0-9]_*.py"))  # the other rows have tests of their own
TORCHRUN = Path(__file__).with_name("forked_torchrun.py")
GENERATORS = [f"stylegan_modified/stylegan_gen_fine_tuned_{version}.pth" for version in ("v1", "v2", "v3")]


def start(script: Path, workspace: Path, *arguments: str) -> ScriptProcess:
    preset = ("--preset", "smoke", "--workspace", workspace)
    return ScriptProcess(script, *preset, *arguments, folder=workspace, prepare=short_refinement)


def short_refinement() -> None:
    """Given pictures are found by four steps instead of 80; `test_evaluation_editing` judges all of them."""
    editing.REFINE_STEPS = 4


def run(script: Path, workspace: Path, *arguments: str, code: int = 0) -> CompletedProcess:
    result = start(script, workspace, *arguments).wait(timeout=600)
    assert result.returncode == code, f"{script.name}: {result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result


def script(number: str) -> Path:
    return next(path for path in SCRIPTS if path.name.startswith(number))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after all scripts of the main row; v1 was killed once on the way."""
    folder = tmp_path_factory.mktemp("run")
    for path in SCRIPTS:
        if path.name.startswith("05"):
            kill_and_leave(path, folder)
        run(path, folder)
    return folder


def kill_and_leave(path: Path, folder: Path) -> None:
    """Start a script and kill it as soon as it has begun to train."""
    process = start(path, folder, "--save-seconds", "0")
    wait_until((folder / "stylegan_modified/checkpoints/v1.pt").exists, process)
    process.kill()
    process.wait()


def test_every_stage_left_its_files_and_a_complete_record(workspace: Path) -> None:
    for name in (path.stem for path in SCRIPTS if not path.name.startswith("08")):
        record = json.loads((workspace / "_stages" / name / "_stage.json").read_text())
        assert record["state"] == "complete", name
        assert all((workspace / output).exists() for output in record["outputs"]), name
    for relative in GENERATORS:
        assert (workspace / relative).stat().st_size > 100_000
    leftovers = [path for path in workspace.rglob("*") if path.name.startswith(files.TEMPORARY_PREFIX)]
    assert leftovers == []


def test_readme_describes_every_column_of_every_table(workspace: Path) -> None:
    described = readme.table_columns(readme.TABLES)
    tables = [path for path in workspace.rglob("*.csv") if "_stages" not in path.parts]
    assert len(tables) > 15
    for path in tables:
        relative = path.relative_to(workspace).as_posix()
        columns = set(path.read_text(encoding="utf-8").split("\n", 1)[0].split(","))
        assert columns <= (readme.documented(relative, described) or set()), relative


def test_tables_agree_on_the_pictures(workspace: Path) -> None:
    candidates = pd.read_csv(workspace / "stylegan/candidates.csv")
    assert candidates["img_no"].tolist() == list(range(96))
    scores = pd.read_csv(workspace / "segmentation/property_score_results/all_scores_v3.csv")
    assert set(scores["img_no"]) <= set(candidates["img_no"])
    labels = scores.loc[scores["valid"], [f"{name}_score" for name in PROPERTY_NAMES]]
    np.testing.assert_allclose([labels.mean(), labels.std(ddof=0)], [[0] * 7, [1] * 7], atol=1e-6)


def test_logs_report_every_step_and_the_control(workspace: Path) -> None:
    for name in ("v1", "v2", "v3"):
        log = pd.read_csv(workspace / f"stylegan_modified/train_log_{name}.csv")
        assert log["step"].iloc[-1] == 3 and np.isfinite(log.to_numpy()).all()
        control = json.loads((workspace / f"stylegan_modified/control_{name}.json").read_text())
        assert control["latent_count"] == 2 and set(control["r"]) == set(PROPERTY_NAMES)
        assert control["readable"] > 0.5


def test_a_second_run_is_up_to_date(workspace: Path) -> None:
    assert "up to date" in run(script("06"), workspace).stdout


def test_the_same_seed_gives_the_same_picture_in_another_process_and_batch(workspace: Path) -> None:
    folder = workspace / "stylegan_modified/synthesize_results"
    table = pd.read_csv(folder / "images.csv")
    assert len(table) == 2 * 3
    first = {name: np.asarray(Image.open(workspace / name)).astype(int) for name in table["file"]}
    for name in first:  # else they are not made again
        (workspace / name).unlink()
    leftover = folder / ".tmp-999999999-half.png"  # of a process that was killed
    leftover.touch()
    run(script("08"), workspace, "--batch-size", "1")
    assert not leftover.exists()
    for name, pixels in first.items():
        again = np.asarray(Image.open(workspace / name)).astype(int)
        assert np.abs(again - pixels).max() <= 1, name


def test_regenerating_explains_what_it_does_not_understand(workspace: Path, run_here: Callable) -> None:
    def refused(*arguments: str) -> str:
        return run_here(script("08"), "--preset", "smoke", "--workspace", workspace, *arguments, expect=2).err

    assert "Did you mean 'mouth'?" in refused("--sweep", "mouths=-1:1:3")
    assert "3,7,20-24" in refused("--seeds", "two")
    assert "start:stop:count" in refused("--sweep", "mouth=1:2")


def test_damaged_weights_are_refused_with_the_command_that_mends_them(workspace: Path) -> None:
    target = workspace / GENERATORS[2]
    good = target.read_bytes()
    try:
        target.write_bytes(good[: len(good) // 2])
        result = run(script("08"), workspace, code=5)
        assert "07_fine_tune_v3.py" in result.stderr and "--force" in result.stderr
    finally:
        target.write_bytes(good)


def test_nothing_is_regenerated_from_a_generator_that_is_being_made(workspace: Path) -> None:
    with locks.changing(workspace, "07_fine_tune_v3"):
        refused = run(script("08"), workspace, code=5)
    assert "07_fine_tune_v3" in refused.stderr and "being made now" in refused.stderr


def test_an_interrupt_saves_and_exits_130(workspace: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(workspace, tmp_path / "copy"))
    previews = copied / "stylegan_modified/previews"
    for old in previews.glob("v3_0*.png"):
        old.unlink()
    process = start(script("07"), copied, "--steps", "100000", "--force")
    wait_until(lambda: bool(list(previews.glob("v3_0*.png"))), process)
    process.send_signal(signal.SIGINT)
    stopped = process.wait(timeout=120)
    assert stopped.returncode == 130, stopped.stderr
    assert "same command" in stopped.stderr
    assert (copied / "stylegan_modified/checkpoints/v3.pt").exists()


def test_two_processes_of_torchrun_train_as_one_did(workspace: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(workspace, tmp_path / "copy"))
    alone = pd.read_csv(workspace / "stylegan_modified/train_log_v3.csv")
    options = ("--preset", "smoke", "--workspace", copied, "--force")
    launcher = (TORCHRUN, "--standalone", "--nproc-per-node=2", script("07"))
    result = ScriptProcess(*launcher, *options, folder=copied).wait(timeout=240)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("07_fine_tune_v3 finished") == 1
    together = pd.read_csv(copied / "stylegan_modified/train_log_v3.csv")
    # The forward passes of a CPU that has bf16 round to three digits.
    np.testing.assert_allclose(together, alone, rtol=0.02, atol=1e-3)
