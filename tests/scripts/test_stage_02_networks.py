"""Networks of a person's own in the filter stage: used, never lost, and refused with a reason."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from cnn.models import FilterCNN, gender_config, quality_config, save_filter_cnn
from scripts.stages.workspace import FILTERS
from tests.scripts.filter_workspace import filtering, make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def run(workspace: Path, run_here: Callable) -> Callable[..., str]:
    return filtering(workspace, run_here)


def networks(folder: Path) -> dict[str, bytes]:
    """Networks of another run of this program, two folds of each property, put into a folder; their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, fold) in enumerate((name, fold) for name in FILTERS for fold in range(2)):
        torch.manual_seed(seed)
        config = gender_config(64, 1 / 32) if name == "gender" else quality_config(64, 1 / 32)
        path = folder / f"{name}_model_{fold}.pt"
        save_filter_cnn(path, FilterCNN(config), {"property": name, "fold": fold})
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_networks_that_are_there_are_used_and_never_lost(workspace: Path, run: Callable) -> None:
    """As in the document, which trains only what is missing; also by --force."""
    mine = networks(workspace / "cnn/models")
    options = ("--max-epochs", 1)
    run(*options)
    assert contents(workspace / "cnn/models") == mine
    log = pd.read_csv(workspace / "cnn/log/train_log_gender.csv")
    assert log["status"].tolist() == ["given", "given"] and log["valid_loss"].isna().all()
    assert len(pd.read_csv(workspace / "cnn/log/epoch_detail_gender.csv")) == 0
    record = json.loads((workspace / "_stages/02_filter_candidates/_stage.json").read_text())
    assert "gender_0, gender_1, quality_0, quality_1" in record["numbers"]["networks not trained here"]
    judged = pd.read_csv(workspace / "cnn/inference_result/gender.csv")["gender"]

    (workspace / "cnn/models/quality_model_1.pt").unlink()
    run(*options, "--keep", "all", "--force")
    after = contents(workspace / "cnn/models")
    assert after.pop("quality_model_1.pt") != mine.pop("quality_model_1.pt") and after == mine
    assert pd.read_csv(workspace / "cnn/log/train_log_quality.csv")["status"].tolist()[0] == "given"
    assert pd.read_csv(workspace / "cnn/inference_result/gender.csv")["gender"].equals(judged)

    mine = networks(workspace / "cnn/models")  # also in the place of one that was trained here
    run(*options, "--force")
    assert contents(workspace / "cnn/models") == mine


def test_a_network_that_was_saved_before_a_kill_is_no_gift(workspace: Path, run: Callable) -> None:
    options = ("--max-epochs", 1)
    run(*options)
    folder = workspace / "_stages/02_filter_candidates"
    before = contents(workspace / "cnn/models")
    journal = folder / "journal.csv"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))  # the last row is missing
    record = folder / "_stage.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "running"}))
    run(*options)
    assert set(pd.read_csv(workspace / "cnn/log/train_log_quality.csv")["status"]) <= {"ok", "above limit"}
    assert contents(workspace / "cnn/models") == before
    broken = workspace / "cnn/models/gender_model_0.pt"
    broken.write_bytes(broken.read_bytes()[:500])  # damaged, not anybody's own
    run(*options, "--force")
    assert contents(workspace / "cnn/models") == before


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda path: torch.save(FilterCNN(gender_config(64, 1 / 32)).state_dict(), path), "is no gender"),
        (lambda path: save_filter_cnn(path, FilterCNN(gender_config(128, 1 / 32)), {}), "pictures of 128 px"),
        (
            lambda path: save_filter_cnn(path, FilterCNN(quality_config(64)), {"property": "quality"}),
            "it judges quality, not gender",
        ),
    ],
)
def test_networks_that_cannot_be_used_are_refused_and_kept(
    workspace: Path, run: Callable, content: Callable, why: str, force: tuple[str, ...]
) -> None:
    path = workspace / "cnn/models/gender_model_1.pt"
    path.parent.mkdir()
    content(path)
    before = path.read_bytes()
    errors = run(*force, expect=5)
    assert str(path) in errors and why in errors and "Move it away" in errors
    assert contents(path.parent) == {path.name: before}
