"""The row 20 to 27 on a folder of drawn people with hand labels, and what it refuses."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cvae.recipes import ROLES
from data import portraits
from data.portraits.parameters import TRUTH_NAMES
from scripts.pipeline import REPOSITORY, run_stage, run_tool
from scripts.stages import workspace as at
from scripts.stages.cvae.dataset import is_held_out

COUNT = 24
Run = Callable[..., str]


@pytest.fixture(scope="module")
def people() -> portraits.PortraitSet:
    return portraits.render_many(range(COUNT), 64)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, people: portraits.PortraitSet) -> Path:
    """Folder of pictures in female and male, with a table that is no picture."""
    folder = tmp_path_factory.mktemp("archive")
    woman = people.truth[:, TRUTH_NAMES.index("gender")] > 0.5
    for n, picture in enumerate(people.images):
        path = folder / ("female" if woman[n] else "male") / f"{n:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
    (folder / "data.csv").write_text("a,b\n1,2\n")
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Function that runs a script in this process and returns what it printed."""

    def call(number: str, workspace: Path, *arguments: object, code: int = 0) -> str:
        path = next((REPOSITORY / "scripts").glob(f"{number}_*.py"))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        argv = ["--preset", "smoke", "--workspace", str(workspace), "--threads", "1", *map(str, arguments)]
        with pytest.raises(SystemExit) as stopped:
            if hasattr(module, "SPEC"):
                run_stage(module.SPEC, module.Options, module.run, argv)
            else:
                run_tool(module.Options, module.run, argv, account="if possible")
        printed = "".join(capfd.readouterr())
        assert stopped.value.code == code, printed
        return printed

    return call


def write_labels(workspace: Path, name: str, values: np.ndarray) -> None:
    path = workspace / at.HAND_LABELLED_INPUT.format(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"{n:03d}.png" for n in range(COUNT)]
    pd.DataFrame({"img_name": names, name: values}).to_csv(path, index=False)


def truth(people: portraits.PortraitSet, name: str) -> np.ndarray:
    values = people.truth[:, TRUTH_NAMES.index(name)]
    return (values - values.min()) / (values.max() - values.min())


LABELLED = (
    "--source",
    "labels",
    "--conditions",
    "mouth",
    "head",
    "--fold-count",
    2,
    "--max-epochs",
    1,
    "--batch-size",
    4,
)
NO_CUT = (
    *("--gender-threshold", 0, "--exclude", "nobody"),
    *("--fold-count", 2, "--max-epochs", 1, "--batch-size", 4),
)


def test_a_folder_of_pictures_becomes_a_vae_and_its_pictures(
    tmp_path: Path, archive: Path, people: portraits.PortraitSet, run: Run
) -> None:
    decided, mouth = tmp_path, truth(people, "mouth")
    run("20", decided, "--pictures", archive)
    run("21", decided, *NO_CUT, "--width", 1 / 32)
    write_labels(decided, "mouth", mouth)
    write_labels(decided, "head", truth(people, "pose"))
    run("22", decided, *LABELLED, "--width", 1 / 32)
    table = pd.read_csv(decided / at.VAE_PICTURES)
    assert len(table) == 2 * COUNT and set(table["folder"]) == {"female", "male"}
    final = {path.name for path in (decided / at.VAE_FINAL).iterdir()}
    assert {"resized_female_000.jpg", "augmented_female_000.jpg"} <= final or "resized_male_000.jpg" in final
    assert len(final) == 2 * COUNT
    sides = is_held_out(table["source"].to_numpy())
    assert table.assign(out=sides).groupby("source")["out"].nunique().max() == 1
    heads = pd.read_csv(decided / at.DECIDED_INPUT.format("head"))
    assert heads["head"].between(0, 1).all() and len(heads) == 2 * COUNT
    record = json.loads((decided / at.CONDITION_RECORD).read_text())
    assert record["names"] == ["mouth", "head"] and set(record["out_of_fold"]) == {"mouth", "head"}

    trained = ("23", decided, "--architecture", "hierarchical")
    run(*trained)
    content = torch.load(decided / at.VAE, weights_only=True)
    assert content["about"]["architecture"] == "hierarchical"
    assert pd.read_csv(decided / at.VAE_LOG)["step"].iloc[-1] == 3
    assert "conditions" in pd.read_csv(decided / at.VAE_LOG)
    assert "up to date" in run(*trained)

    run("24", decided, "--seeds", "3,4", "--sweep", "mouth=0:1:3", "--head", ".2")
    made = pd.read_csv(decided / at.VAE_GENERATED / "images.csv")
    assert made["mouth"].tolist() == [0, 0.5, 1] * 2 and (made["head"] == 0.2).all()
    assert all((decided / at.VAE_GENERATED / name).exists() for name in made["file"])
    first, second = sorted(archive.glob("*/*.png"))[:2]
    edit = ("24", decided, "--out", decided / "edit", "--change", "mouth=.9", "--from-image")
    run(*edit, first, "--head", ".5")
    edited = pd.read_csv(decided / "edit/images.csv")
    assert edited["mouth"].tolist() == [0.9] and edited["head"].tolist() == [0.5]
    heads = []
    for picture in (first, second):  # each has its own, which is read from it
        run(*edit, picture)
        heads += pd.read_csv(decided / "edit/images.csv")["head"].tolist()
    assert 0 <= min(heads) < max(heads) <= 1
    assert "no condition 'eyes'" in run("24", decided, "--eyes", ".5", code=2)
    assert "outside 0 to 1" in run("24", decided, "--mouth", "1.5", code=2)

    run("25", decided, "--no-judged")
    results = json.loads((decided / at.VAE_RESULTS).read_text())
    assert results["held_out"]["count"] >= 1 and np.isfinite(results["held_out"]["bits_per_dimension"])
    assert "plain one" in run("25", decided, "--no-judged", "--architecture", "plain", "--force", code=5)

    run("26", decided)
    areas = json.loads((decided / at.REALNESS_RECORD).read_text())
    assert all(0 <= areas[role]["auc"] <= 1 for role in ROLES)
    run("27", decided, "--no-judged")
    table = pd.read_csv(decided / at.RETOUCHING_TABLE)
    assert len(table) == 4 * 4 and table["file"].map(lambda name: (decided / name).exists()).all()
    taken = table[(table["accepted"] == 1) & (table["method"] != "plain")]
    assert (taken["second_after"] >= taken["second_before"]).all()

    shutil.rmtree(decided / at.INPUT_NETWORKS.format("mouth"))
    assert "Give --conditions-weight 0, or make them" in run(*trained, "--force", code=5)
    assert (decided / at.VAE).exists()  # refused before anything was removed
    for values, complaint in ((1.2 * mouth, "number from 0 to 1"), (0 * mouth, "the same mouth")):
        write_labels(decided, "mouth", values)
        assert complaint in run("22", decided, *LABELLED, "--force", code=5)


def test_one_gender_only_is_refused(tmp_path: Path, archive: Path, run: Run) -> None:
    shutil.copytree(archive / "female", tmp_path / "pictures" / "female")
    run("20", tmp_path, "--pictures", tmp_path / "pictures", "--variants", 0)
    assert "one gender only" in run("21", tmp_path, code=5)


def test_fewer_than_eight_pictures_are_refused(tmp_path: Path, archive: Path, run: Run) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(archive.glob("*/*.png"))[:7]:
        shutil.copy(path, few)
    assert "at least 8" in run("20", tmp_path, "--pictures", few, code=5)
