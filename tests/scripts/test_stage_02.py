"""The filter stage: labels it refuses, files it writes, kill and resume, unreadable pictures."""

import json
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from scripts import hand_labels
from scripts.pipeline.layers import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "02_filter_candidates.py"
IMAGE_COUNT, LABEL_COUNT = 40, 24
WEIGHTS_ID = "0123456789abcdef"
ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
FILTERED = "stylegan/synthesize_results_filtered"
TRUE_GENDER = np.arange(IMAGE_COUNT) % 2
TRUE_QUALITY = (np.arange(IMAGE_COUNT) % 4 != 1).astype(int)
QUICK = (
    *("--fold-count", 2, "--width", 1 / 32, "--batch-size", 4, "--learning-rate", 0.01, "--max-epochs", 10),
    *("--attempts", 1, "--no-flip", "--shift", 0, "--quality-minority-share", 0, "--threads", 1),
    *("--gender-threshold", 0.5, "--quality-threshold", 0.5),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Pictures whose lower half is bright for women and whose top is bright for good quality."""
    root = tmp_path / "workspace"
    (root / "stylegan/synthesize_results").mkdir(parents=True)
    (root / "cnn").mkdir()
    rng = np.random.default_rng(0)
    paths = [f"stylegan/synthesize_results/{img_no:06d}.jpg" for img_no in range(IMAGE_COUNT)]
    for img_no, path in enumerate(paths):
        picture = rng.integers(0, 40, (64, 64, 3))
        picture[32:] += 180 * TRUE_GENDER[img_no]
        picture[:16] += 180 * TRUE_QUALITY[img_no]
        Image.fromarray(picture.astype(np.uint8)).save(root / path, quality=95)
    numbers = np.arange(IMAGE_COUNT)
    candidates = {"img_no": numbers, "img_path": paths, "seed": numbers + 5, "weights_id": WEIGHTS_ID}
    pd.DataFrame(candidates).to_csv(root / "stylegan/candidates.csv", index=False)
    write_labels(root, label_table())
    write_record(root)
    return root


@pytest.fixture
def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a script as ``__main__`` in this process: exit code and what it wrote to the error stream."""

    def run(script: object, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(str(script), run_name="__main__")
        return exit_info.value.code or 0, capsys.readouterr().err

    return run


def label_table() -> pd.DataFrame:
    names = [f"{img_no:06d}.jpg" for img_no in range(LABEL_COUNT)]
    truth = {"quality": TRUE_QUALITY[:LABEL_COUNT], "gender": TRUE_GENDER[:LABEL_COUNT]}
    return pd.DataFrame({"img_name": names, **truth})


def write_labels(root: Path, table: pd.DataFrame) -> None:
    table.to_csv(root / hand_labels.LABELS, index=False)


def write_record(root: Path, **changes: object) -> None:
    record = {"weights_id": WEIGHTS_ID, "seed": 5, "count": LABEL_COUNT, "made_by": "hand"} | changes
    (root / hand_labels.RECORD).write_text(json.dumps(record))


def set_value(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype(object)
        table.loc[3, column] = value
        return table

    return change


BAD_LABELS = {
    "other value": (set_value("gender", 2), {}, "only 0 and 1"),
    "text": (set_value("quality", "good"), {}, "only 0 and 1"),
    "empty": (set_value("quality", None), {}, "only 0 and 1"),
    "duplicate": (lambda table: table.iloc[[*range(23), 0]], {}, "000000.jpg is labelled more than once"),
    "gap": (lambda table: table.drop(index=[4, 5]), {"count": 22}, "skips 2"),
    "lost rows": (lambda table: table.head(20), {}, "has 20 rows, but"),
    "missing column": (lambda table: table.drop(columns="quality"), {}, "no column 'quality'"),
    "unknown picture": (set_value("img_name", "000099.jpg"), {}, "000099.jpg"),
    "one class": (lambda table: table.assign(quality=1), {}, "0 pictures with quality 0"),
    "no rows": (lambda table: table.head(0), {"count": 0}, "no rows"),
    "other weights": (lambda table: table, {"weights_id": "ffff"}, "weights ffff"),
    "other seeds": (lambda table: table, {"seed": 0}, "01_generate_candidates"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_wrong_labels_are_refused(workspace: Path, in_process: Callable, name: str) -> None:
    change, record, message = BAD_LABELS[name]
    write_labels(workspace, change(label_table()))
    write_record(workspace, **record)
    before = (workspace / hand_labels.LABELS).read_bytes()
    code, errors = in_process(SCRIPT, "--workspace", workspace, *QUICK)
    assert code == 5
    assert message in errors
    assert (workspace / hand_labels.LABELS).read_bytes() == before
    assert not (workspace / "cnn/models").exists()


def test_labels_without_a_record_are_refused(workspace: Path, in_process: Callable) -> None:
    (workspace / hand_labels.RECORD).unlink()
    code, errors = in_process(SCRIPT, "--workspace", workspace, *QUICK)
    assert code == 5
    assert "make_labels.py --workspace" in errors


def test_missing_labels_name_their_maker(workspace: Path, in_process: Callable) -> None:
    (workspace / hand_labels.LABELS).unlink()
    code, errors = in_process(SCRIPT, "--workspace", workspace, *QUICK)
    assert code == 3
    assert "00_fetch_weights" in errors


def test_vanished_pictures_are_named(workspace: Path, in_process: Callable) -> None:
    (workspace / "stylegan/synthesize_results/000030.jpg").unlink()
    code, errors = in_process(SCRIPT, "--workspace", workspace, *QUICK)
    assert code == 5
    assert "000030.jpg" in errors
    assert "01_generate_candidates.py" in errors


def test_files_columns_and_the_filter(workspace: Path, in_process: Callable) -> None:
    unreadable = workspace / "stylegan/synthesize_results/000030.jpg"
    unreadable.write_bytes(unreadable.read_bytes()[:300])
    code, errors = in_process(SCRIPT, "--workspace", workspace, *QUICK)
    assert code == 0, errors

    table = pd.read_csv(workspace / ALL_IMAGES, keep_default_na=False, na_values=[""])
    assert list(table)[:4] == ["img_no", "img_path", "gender", "quality"]
    assert table["img_no"].tolist() == list(range(IMAGE_COUNT))
    assert table.loc[30, "status"] == "failed"
    assert "000030.jpg" in table.loc[30, "reason"]
    labelled = table.head(LABEL_COUNT)
    assert (labelled["source"] == "label").all()
    assert labelled["gender"].tolist() == TRUE_GENDER[:LABEL_COUNT].tolist()
    readable = table[table["status"] == "ok"]
    truth = TRUE_GENDER[readable["img_no"]] & TRUE_QUALITY[readable["img_no"]]
    assert (readable["kept"] == truth).mean() > 0.9
    kept = sorted(path.name for path in (workspace / FILTERED).iterdir())
    assert kept == [Path(path).name for path in table.loc[table["kept"] == 1, "img_path"]]
    first = workspace / FILTERED / kept[0]
    assert first.stat().st_ino == (workspace / "stylegan/synthesize_results" / kept[0]).stat().st_ino

    for name in hand_labels.PROPERTIES:
        inferred = pd.read_csv(workspace / f"cnn/inference_result/{name}.csv")
        assert list(inferred) == ["img_no", "img_path", name]
        assert inferred["img_no"].tolist() == [n for n in range(LABEL_COUNT, IMAGE_COUNT) if n != 30]
        out_of_fold = pd.read_csv(workspace / f"cnn/log/{name}_out_of_fold.csv")
        assert out_of_fold["img_no"].tolist() == list(range(LABEL_COUNT))
    folds = pd.read_csv(workspace / "cnn/log/folds.csv")
    assert folds["fold"].tolist() == ["gender_0", "gender_1", "quality_0", "quality_1"]


@pytest.mark.parametrize(("keep", "expected"), [("men", 1 - TRUE_GENDER), ("all", np.ones(IMAGE_COUNT, int))])
def test_who_is_kept(workspace: Path, in_process: Callable, keep: str, expected: np.ndarray) -> None:
    code, errors = in_process(SCRIPT, "--workspace", workspace, *QUICK, "--keep", keep, "--max-epochs", 2)
    assert code == 0, errors
    labelled = pd.read_csv(workspace / ALL_IMAGES).head(LABEL_COUNT)
    assert labelled["kept"].tolist() == (expected & TRUE_QUALITY)[:LABEL_COUNT].tolist()


def test_a_killed_run_goes_on_and_ends_the_same(workspace: Path, in_process: Callable) -> None:
    options = (*QUICK, "--max-epochs", 3)
    command = [sys.executable, str(SCRIPT), "--workspace", str(workspace), *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = workspace / "cnn/models/gender_model_0.pt"
    journal = workspace / "_stages/02_filter_candidates/journal.csv"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_text().count("\n") >= 2):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made_at = first.stat().st_mtime_ns
    assert not (workspace / ALL_IMAGES).exists()

    code, errors = in_process(*command[1:])
    assert code == 0, errors
    assert first.stat().st_mtime_ns == made_at
    resumed = pd.read_csv(workspace / ALL_IMAGES)
    code, errors = in_process(*command[1:], "--force")
    assert code == 0, errors
    pd.testing.assert_frame_equal(resumed, pd.read_csv(workspace / ALL_IMAGES))


def test_labels_of_the_oracle(workspace: Path, in_process: Callable, tmp_path: Path) -> None:
    """make_labels on a workspace: marked as machine-made, accepted by the filter, never over a person's."""
    from cnn.oracle import Oracle, OracleConfig, save_oracle

    torch.manual_seed(0)
    oracle = tmp_path / "oracle.safetensors"
    save_oracle(oracle, Oracle(OracleConfig(("eyes",), stem_channels=2, stage_channels=(4, 4, 4))), {})
    script = REPOSITORY / "scripts" / "make_labels.py"
    arguments = ("--workspace", workspace, "--from-workspace", "--oracle", oracle, "--count", 30)
    code, errors = in_process(script, *arguments)
    assert code == 5
    assert "made by: hand" in errors
    code, errors = in_process(script, *arguments, "--overwrite")
    assert code == 0, errors
    record = json.loads((workspace / hand_labels.RECORD).read_text())
    assert record["made_by"].startswith("oracle")
    assert (record["weights_id"], record["seed"], record["count"]) == (WEIGHTS_ID, 5, 30)
    labels = pd.read_csv(workspace / hand_labels.LABELS)
    assert list(labels) == list(hand_labels.COLUMNS)
    assert labels["img_name"].iloc[-1] == "000029.jpg"
    code, errors = in_process(script, *arguments)
    assert code == 0, errors
