"""The filter stage: labels and networks it refuses, files it writes, kill and resume, unreadable pictures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cnn.oracle import Oracle, OracleConfig, save_oracle
from scripts.pipeline.places import REPOSITORY
from scripts.stages.filtering import excluded, hand_labels
from scripts.stages.workspace import FILTERS, LABELS, LABELS_RECORD
from tests.processes import wait_until
from tests.scripts.filter_workspace import (
    ALL_IMAGES,
    FILTERED,
    IMAGE_COUNT,
    LABEL_COUNT,
    QUICK,
    SCRIPT,
    TRUE_GENDER,
    TRUE_QUALITY,
    WEIGHTS_ID,
    filtering,
    label_table,
    make_workspace,
    write_labels,
    write_record,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def run(workspace: Path, run_here: Callable) -> Callable[..., str]:
    return filtering(workspace, run_here)


def set_value(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype(object)
        table.loc[3, column] = value
        return table

    return change


def same(table: pd.DataFrame) -> pd.DataFrame:
    return table


BAD_LABELS = {
    "other value": (set_value("gender", 2), {}, "has the gender '2'; only 0 and 1"),
    "text": (set_value("quality", "good"), {}, "only 0 and 1"),
    "empty": (set_value("quality", None), {}, "only 0 and 1"),
    "duplicate": (set_value("img_name", "other/000000.jpg"), {}, "000000.jpg is labelled more than once"),
    "gap": (lambda table: table.drop(index=[4, 5]), {"count": 22}, "skips 2"),
    "lost rows": (lambda table: table.head(20), {}, "has 20 rows, but"),
    "missing column": (lambda table: table.drop(columns="quality"), {}, "no column 'quality'"),
    "unknown picture": (set_value("img_name", "000099.jpg"), {}, "000099.jpg"),
    "too few": (lambda table: table.assign(quality=[0] + [1] * 23), {}, "1 pictures with quality 0 and 23"),
    "no rows": (lambda table: table.head(0), {"count": 0}, "no rows"),
    "other weights": (same, {"weights_id": "ffff"}, "weights ffff"),
    "other seeds": (same, {"seed": 0}, "01_generate_candidates"),
    "no record": (same, {"count": None}, "make_labels.py --workspace"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_wrong_labels_are_refused(workspace: Path, run: Callable, name: str) -> None:
    change, record, message = BAD_LABELS[name]
    write_labels(workspace, change(label_table()))
    write_record(workspace, **record)
    before = (workspace / LABELS).read_bytes()
    assert message in run(expect=5)
    assert (workspace / LABELS).read_bytes() == before
    assert not (workspace / "cnn/models").exists()


@pytest.mark.parametrize(
    ("gone", "expected", "messages"),
    [
        (LABELS_RECORD, 5, ["make_labels.py --workspace"]),
        (LABELS, 3, ["label_images.py --workspace", "00_fetch_weights"]),
        ("stylegan/synthesize_results/000030.jpg", 5, ["000030.jpg", "01_generate_candidates.py"]),
    ],
)
def test_what_is_missing_is_named(
    workspace: Path, run: Callable, gone: str, expected: int, messages: list[str]
) -> None:
    (workspace / gone).unlink()
    errors = run(expect=expected)
    assert all(message in errors for message in messages)
    assert not (workspace / "cnn/models").exists()


SPELLINGS = {
    "plain": "img_name,quality,gender\n000000.jpg,1,0\n000001.jpg,0,1\n",
    "semicolons": "img_name;quality;gender\n000001.jpg;0;1\n000000.jpg;1;0\n",
    "semicolons and decimal commas": "img_name;quality;gender\n000000.jpg;1,0;0,0\n000001.jpg;0,0;1,0\n",
    "a separator line": "sep=;\nimg_name;quality;gender\n000000.jpg;1;0\n000001.jpg;0;1\n",
    "tabs of Windows": "\ufeffimg_name\tquality\tgender\r\n000000.jpg\t1\t0\r\n000001.jpg\t0\t1\r\n",
    "folders": "img_name,quality,gender\nresults/000000.jpg,1,0\nD:\\my run\\000001.jpg ,0,1\n",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_labels_as_people_and_spreadsheets_write_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(SPELLINGS[name].encode())
    table = hand_labels.read_table(path, path)
    assert table["img_name"].tolist() == ["000000.jpg", "000001.jpg"]
    assert table[["quality", "gender"]].astype(int).to_numpy().tolist() == [[1, 0], [0, 1]]


def test_files_columns_and_the_filter(workspace: Path, run: Callable) -> None:
    unreadable = workspace / "stylegan/synthesize_results/000030.jpg"
    unreadable.write_bytes(unreadable.read_bytes()[:300])
    run()

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

    events = {path.name for path in (workspace / "logs/02_filter_candidates/events").iterdir()}
    for name in FILTERS:
        assert {f"{name}_0", f"{name}_evaluation"} <= events
        inferred = pd.read_csv(workspace / f"cnn/inference_result/{name}.csv")
        assert list(inferred) == ["img_no", "img_path", name]
        assert inferred["img_no"].tolist() == [n for n in range(LABEL_COUNT, IMAGE_COUNT) if n != 30]
        out_of_fold = pd.read_csv(workspace / f"cnn/log/{name}_out_of_fold.csv")
        assert out_of_fold["img_no"].tolist() == list(range(LABEL_COUNT))
        assert list(out_of_fold) == ["img_no", "label", "probability"]
        train_log = pd.read_csv(workspace / f"cnn/log/train_log_{name}.csv")
        assert train_log["fold"].tolist() == [0, 1]
        epochs = pd.read_csv(workspace / f"cnn/log/epoch_detail_{name}.csv")
        assert epochs.groupby("fold")["valid_loss"].min().tolist() == train_log["valid_loss"].tolist()
        assert (workspace / f"cnn/log/evaluation_{name}.png").stat().st_size > 10_000
    numbers = json.loads((workspace / "cnn/log/evaluation.json").read_text())
    assert numbers["gender"]["count"] == LABEL_COUNT
    assert 0 <= numbers["quality"]["expected_calibration_error"] < 0.5
    assert all((workspace / f"cnn/{kind}_sheet.png").exists() for kind in ("kept", "rejected", "borderline"))

    before = (workspace / ALL_IMAGES).read_bytes()
    write_labels(workspace, set_value("gender", 7)(label_table()))
    assert "--force" in run(expect=5)
    assert "only 0 and 1" in run("--force", expect=5)
    assert (workspace / ALL_IMAGES).read_bytes() == before
    assert sorted(path.name for path in (workspace / FILTERED).iterdir()) == kept


def test_a_failed_fold_is_retried_and_reported(workspace: Path, run: Callable) -> None:
    """At 64 px of 128: the same filter on larger pictures; every fold fails its limit twice."""
    for path in (workspace / "stylegan/synthesize_results").iterdir():
        Image.open(path).resize((128, 128)).save(path, quality=95)
    options = ("--image-size", 64, "--max-epochs", 1, "--attempts", 2, "--gender-loss-limit", 0)
    run(*options, "--keep", "all")
    train_log = pd.read_csv(workspace / "cnn/log/train_log_gender.csv")
    assert train_log["attempts"].tolist() == [2, 2]
    assert (train_log["status"] == "above limit").all()
    epochs = pd.read_csv(workspace / "cnn/log/epoch_detail_gender.csv")
    assert list(zip(epochs["fold"], epochs["attempt"], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    record = json.loads((workspace / "_stages/02_filter_candidates/_stage.json").read_text())
    assert "gender_0 (2 times), gender_1 (2 times)" in record["numbers"]["folds trained again"]
    labelled = pd.read_csv(workspace / ALL_IMAGES).head(LABEL_COUNT)
    assert labelled["kept"].tolist() == TRUE_QUALITY[:LABEL_COUNT].tolist()


def test_men_are_kept_unless_excluded(workspace: Path, run: Callable, tmp_path: Path) -> None:
    """By a list, a CSV and a folder; a very high threshold leaves only labelled men."""
    folder = tmp_path / "no men of these"
    folder.mkdir()
    for name in ("000002.jpg", "000003.jpg"):
        shutil.copy(workspace / "stylegan/synthesize_results" / name, folder)
    (tmp_path / "names.txt").write_text("000006.jpg\n\nsomewhere/000008.jpg\n000999.jpg\n")
    pd.DataFrame({"img_no": [10, 999]}).to_csv(tmp_path / "numbers.csv", index=False)
    sources = (folder, tmp_path / "names.txt", tmp_path / "numbers.csv")
    run("--keep", "men", "--max-epochs", 2, "--gender-threshold", 0.9999, "--exclude", *sources)
    table = pd.read_csv(workspace / ALL_IMAGES)
    excluded = table[table["status"] == "excluded"]
    assert excluded["img_no"].tolist() == [2, 3, 6, 8, 10]
    assert excluded["reason"].tolist() == [str(source) for source in np.repeat(sources, [2, 2, 1])]
    expected = (1 - TRUE_GENDER) & TRUE_QUALITY & ~table["img_no"].isin(excluded["img_no"])
    assert table["kept"].head(LABEL_COUNT).tolist() == expected.head(LABEL_COUNT).tolist()
    sure = table[(table["source"] == "network") & (table["kept"] == 1)]
    assert (sure["gender"] <= 0.0001).all()


def test_names_as_people_and_systems_write_them_exclude_the_same_people(tmp_path: Path) -> None:
    """What names nobody is told, so that nobody who is meant to be out stays in without a word."""
    results = tmp_path / "stylegan/synthesize_results"
    results.mkdir(parents=True)
    paths = [f"stylegan/synthesize_results/{n:06d}.jpg" for n in range(12)]
    for n, path in enumerate(paths):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / path)
    candidates = pd.DataFrame({"img_no": range(12), "img_path": paths})
    said: list[str] = []
    stage = SimpleNamespace(workspace=tmp_path, log=said.append)
    names = ["00001.jpg", "000002.JPG", r"D:\men\000003.jpg", "/home/me/000004.jpg", "5", "000006 (1).jpg"]
    names += ["000007 - Kopie (2).jpg", "000008 \ubcf5\uc0ac\ubcf8.jpg", "000009.png"]
    unknown = ["IMG_0010.jpg", "000010_mask.png", "10 men"]
    (tmp_path / "men.txt").write_text("\n".join(names + unknown), encoding="utf-8")
    (tmp_path / "copies").mkdir()
    shutil.copy(results / "000011.jpg", tmp_path / "copies/000011 copy.jpg")
    shutil.copy(results / "000011.jpg", tmp_path / "copies/holiday.jpg")
    sources = [tmp_path / "men.txt", tmp_path / "copies"]
    ruled_out = excluded.find_excluded(stage, candidates, sources)
    assert list(ruled_out) == [*range(1, 10), 11]
    assert [text.partition(": ")[2] for text in said] == [
        f"3 of 12 names are no candidate's and exclude nobody ({', '.join(unknown)})",
        "1 of 2 names are no candidate's and exclude nobody (holiday.jpg)",
    ]


def test_exclusions_that_cannot_be_meant_are_refused(workspace: Path, run: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(workspace / "stylegan/synthesize_results/000002.jpg", folder / "000003.jpg")
    (tmp_path / "names.txt").write_text("000999.jpg\n")
    (tmp_path / "columns.csv").write_text("picture\n000001.jpg\n")
    for source, message in (
        (folder, "000003.jpg is not the candidate of that name"),
        (tmp_path / "names.txt", "names none of the 40 candidates"),
        (tmp_path / "columns.csv", "img_name, img_path, img_no"),
    ):
        assert message in run("--exclude", source, "--force", expect=5)
    assert "--exclude" in run("--exclude", tmp_path / "missing", expect=3)
    assert not (workspace / "cnn/models").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch-size", 1000), "a fold has 12 pictures to train on, fewer than one batch of 1000"),
        (("--image-size", 16), "pictures of 16 px are too small"),
        (("--image-size", 128), "the candidates have 64 px"),
    ],
)
def test_networks_that_cannot_be_trained_cost_no_earlier_ones(
    workspace: Path, run: Callable, arguments: tuple[object, ...], message: str
) -> None:
    made = workspace / "cnn/models/gender_model_0.pt"
    made.parent.mkdir()
    made.write_text("made earlier")
    assert message in run(*arguments, "--force", expect=5)
    assert made.read_text() == "made earlier"


@pytest.mark.parametrize("name", ["--width", "--learning-rate", "--cosine-period", "--label-count"])
def test_values_that_mean_nothing_are_refused(run: Callable, name: str) -> None:
    assert f"{name} must be" in run(name, -1, expect=2)


def test_a_killed_run_goes_on_and_ends_the_same(
    workspace: Path, run: Callable, start_script: Callable
) -> None:
    options = ("--max-epochs", 3)
    process = start_script(SCRIPT, "--workspace", workspace, *QUICK, *options)
    first = workspace / "cnn/models/gender_model_0.pt"
    journal = workspace / "_stages/02_filter_candidates/journal.csv"
    wait_until(lambda: journal.exists() and journal.read_text().count("\n") >= 2, process)
    process.kill()
    process.wait()
    made_at = first.stat().st_mtime_ns
    assert not (workspace / ALL_IMAGES).exists()

    run(*options)
    assert first.stat().st_mtime_ns == made_at
    resumed = pd.read_csv(workspace / ALL_IMAGES)
    shutil.rmtree(workspace / "cnn/log")  # folds are trained again where their epochs are gone
    run(*options)
    assert set(pd.read_csv(workspace / "cnn/log/epoch_detail_gender.csv")["fold"]) == {0, 1}
    run(*options, "--force")
    pd.testing.assert_frame_equal(resumed, pd.read_csv(workspace / ALL_IMAGES))


def test_labels_of_a_network(workspace: Path, run_here: Callable, tmp_path: Path) -> None:
    """make_labels on a workspace: marked as machine-made, accepted by the filter, never over a person's."""
    torch.manual_seed(0)
    network = tmp_path / "network.safetensors"
    save_oracle(network, Oracle(OracleConfig(("eyes",), stem_channels=2, stage_channels=(4, 4, 4))), {})
    command = (REPOSITORY / "scripts/make_labels.py", "--workspace", workspace, "--from-workspace")
    command += ("--network", network, "--count", 30)
    assert "made by: hand" in run_here(*command, expect=5).err
    run_here(*command, "--overwrite")
    record = json.loads((workspace / LABELS_RECORD).read_text())
    assert record["made_by"].startswith("machine (network.safetensors")
    assert (record["weights_id"], record["seed"], record["count"]) == (WEIGHTS_ID, 5, 30)
    labels = pd.read_csv(workspace / LABELS)
    assert [*hand_labels.COLUMNS, hand_labels.MADE_BY] == list(labels)[:4]
    assert set(labels[hand_labels.MADE_BY]) == {hand_labels.MACHINE}
    sure = labels[hand_labels.probability_of("gender")]
    assert ((sure >= 0.5) == labels["gender"]).all() and sure.between(0, 1).all()
    assert labels["img_name"].iloc[-1] == "000029.jpg"
    run_here(*command)
