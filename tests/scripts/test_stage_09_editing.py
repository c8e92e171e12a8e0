"""Stage 09 on v3, which edits given pictures: tiny networks, a tiny judge, the real oracle for people."""

import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cnn.oracle import Oracle, load_oracle, save_oracle
from scripts.pipeline import REPOSITORY, Stage
from scripts.pipeline.console import StopRequest
from scripts.stages import networks
from scripts.stages import workspace as paths
from scripts.stages.evaluating import given_pictures
from scripts.stages.evaluating.judges import Judges
from scripts.stages.evaluating.readings import VersionReadings
from scripts.stages.evaluating.versions import ENCODED_PER_EDITED
from scripts.stages.workspace import EDITING_SHEET, EVALUATION, EVALUATION_TABLE, EVALUATION_TEXT
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import editing
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from tests.scripts.test_stage_09 import SIZES, GreyJudge, build_workspace, runner
from tests.stylegan_modified import tiny

evaluate = importlib.import_module("scripts.09_evaluate")
EDITING = (*SIZES, "--versions", "v3", "--editing-pictures", "4")


@pytest.fixture(scope="module", autouse=True)
def stand_ins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editing, "REFINE_STEPS", 2)
        patch.setattr(networks, "load_judge", GreyJudge)
        # The tiny generator shows no faces, so who is kept is decided by a grey level.
        patch.setattr(Judges, "would_keep", lambda self, images: images[:, 0, 0, 0] % 3 > 0)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_workspace(tmp_path_factory.mktemp("editing") / "workspace")
    model = tiny.dial_generator()
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.dials.parameters():
            parameter.normal_(0, 0.1)
    encoder = Encoder(EncoderConfig(tiny.RESOLUTION, tiny.Z_DIM, width=0.25, hidden=32))
    torch.save(model.checkpoint(), folder / paths.FINE_TUNED["v3"])
    torch.save(model.property_cnn.checkpoint(), folder / paths.PROPERTY_CNN)
    torch.save(encoder.checkpoint(), folder / paths.ENCODER)
    return folder


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "workspace"))


@pytest.fixture
def run(workspace: Path) -> Callable[..., int]:
    return runner(workspace)


@pytest.fixture(scope="module")
def evaluated_once(stand_ins: None, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(built, tmp_path_factory.mktemp("evaluated") / "workspace")
    assert runner(folder)(*EDITING) == 0
    return folder


@pytest.fixture
def evaluated(evaluated_once: Path, tmp_path: Path) -> Path:
    """A workspace after `EDITING`."""
    return Path(shutil.copytree(evaluated_once, tmp_path / "evaluated"))


def results(workspace: Path) -> dict:
    return json.loads((workspace / EVALUATION).read_text())["v3"]


def test_editing_is_measured_shown_and_listed(evaluated: Path) -> None:
    entry = results(evaluated)
    editing = entry["editing"]
    assert editing["pictures"] == 4 and editing["pictures_encoded"] == 4 * ENCODED_PER_EDITED
    expected = {"reconstruction_error", "reconstruction_identity_auc", "reconstruction_similarity", "control"}
    expected |= {"slope", "leakage", "identity_auc", "own_property_mae", "z_property_r2"}
    assert expected <= set(editing)
    assert all(editing[name] is not None for name in expected)
    assert set(editing["confidence"]["slope"]["low"]) == set(PROPERTY_NAMES)
    assert 0 < editing["reconstruction_error"] < 255
    sheet = Image.open(evaluated / EDITING_SHEET.format("v3"))
    assert sheet.width > 16 * 96 and sheet.height > 4 * 96
    rows = pd.read_csv(evaluated / EVALUATION_TABLE).set_index(["measure", "property"])
    assert rows.loc[("editing.z_property_r2", "mouth"), "goal"] == "<= 0.05"
    assert rows.loc[("editing.control", "eyes"), "value"] == editing["control"]["eyes"]
    assert rows.loc[("control", "eyes"), "value"] == entry["control"]["eyes"]
    assert rows.loc[("control_by_oracle", "eyes"), "value"] == entry["control_by_oracle"]["eyes"]
    text = (evaluated / EVALUATION_TEXT).read_text()
    assert "| given pictures: identity AUC, rebuilt | >= 0.97 |" in text
    assert "| leakage, read by the oracle, sd per sd | <= 0.06 |" in text
    assert "seeds from 9500000" in text and "Its r with the scores there: eyes " in text


def test_v3_shares_the_pictures_of_the_generator_that_it_has_of_v2(evaluated: Path) -> None:
    run, alone = runner(evaluated), results(evaluated)
    shutil.rmtree(evaluated / "evaluation/measured")
    shutil.copy(evaluated / paths.FINE_TUNED["v3"], evaluated / paths.FINE_TUNED["v2"])
    GreyJudge.read_count = 0
    assert run(*EDITING, "--force") == 0
    count_alone = GreyJudge.read_count
    assert results(evaluated)["control"] == alone["control"]
    next((evaluated / "evaluation/measured/v3").glob("*/editing_*.npz")).unlink()
    GreyJudge.read_count = 0
    assert run(*EDITING, "--versions", "v2", "v3", "--force") == 0
    assert GreyJudge.read_count == 4 * 36 < count_alone
    both = json.loads((evaluated / EVALUATION).read_text())
    assert both["v2"]["control"] == both["v3"]["control"] == alone["control"]
    assert run(*EDITING, "--others", "own", "--force") == 0
    beside_own = results(evaluated)
    assert beside_own["leakage"] != alone["leakage"] and beside_own["editing"] == alone["editing"]


def test_readings_of_editing_are_kept_and_belong_to_their_networks(evaluated: Path) -> None:
    before = (evaluated / EVALUATION).read_bytes()
    GreyJudge.read_count = 0
    next((evaluated / "evaluation/measured/v3").glob("*/editing_*.npz")).unlink()
    assert runner(evaluated)(*EDITING, "--force") == 0
    assert GreyJudge.read_count == 4 * 36
    assert (evaluated / EVALUATION).read_bytes() == before
    encoder = Encoder(EncoderConfig(tiny.RESOLUTION, tiny.Z_DIM, width=0.25, hidden=32))
    torch.save(encoder.checkpoint(), evaluated / paths.ENCODER)
    stage = Stage(evaluate.SPEC, evaluate.Options(workspace=evaluated, device="cpu"), StopRequest())
    folder = VersionReadings(stage, "v3", None, None).folder
    assert not (evaluated / folder).exists()
    shutil.copy(REPOSITORY / "data/embedded/identity_network.safetensors", evaluated / paths.IDENTITY_NETWORK)
    assert VersionReadings(stage, "v3", None, None).folder != folder


def test_the_document_s_generator_is_asked_directly_and_none_is_a_choice(
    run, workspace: Path, capsys
) -> None:
    v1 = transplant(tiny.base_generator())
    torch.manual_seed(6)
    with torch.no_grad():
        v1.mapping.label_weight.normal_()
    torch.save(v1.checkpoint(), workspace / paths.FINE_TUNED["v3"])
    assert run(*EDITING) == 0
    assert results(workspace)["editing"]["leakage"] > 0
    assert run(*EDITING[:-1], "0", "--force") == 0
    assert "editing" not in results(workspace)
    assert not (workspace / EDITING_SHEET.format("v3")).exists()
    assert run(*EDITING[:-1], "0", "--others", "own", "--force") == 5
    assert "--others own: v3 is a conditioned generator" in capsys.readouterr().err
    assert run(*EDITING[:-1], "0", "--force") == 0
    assert "given pictures" not in (workspace / EVALUATION_TEXT).read_text()


def test_a_base_without_usable_pictures_is_said(run, workspace: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Judges, "would_keep", lambda self, images: np.zeros(len(images), bool))
    monkeypatch.setattr(given_pictures, "SMALLEST_SEARCH", 64)
    monkeypatch.setattr(given_pictures, "CANDIDATES_PER_GIVEN", 1)
    assert run(*EDITING) != 0
    assert "--editing-pictures 0" in capsys.readouterr().err
    with pytest.raises(ValueError, match="even"):
        evaluate.Options(editing_pictures=3)
    with pytest.raises(ValueError, match="cvae and v1 cannot tell what a person has"):
        evaluate.Options(versions=("v1", "v2", "cvae"), others="own")


def test_the_oracle_s_properties_are_brought_into_the_order_of_the_table(workspace: Path) -> None:
    stage = Stage(evaluate.SPEC, evaluate.Options(workspace=workspace, device="cpu"), StopRequest())
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    before = Judges(stage, None).read(images)["properties"]
    oracle = load_oracle(workspace / paths.ORACLE)
    order = [6, 2, 4, 0, 1, 5, 3]
    names = tuple(oracle.config.property_names[k] for k in order)
    turned = Oracle(replace(oracle.config, property_names=names))
    state = oracle.state_dict()
    for name in ("property_mean", "property_sd", "property_head.weight", "property_head.bias"):
        state[name] = state[name][order]
    turned.load_state_dict(state)
    save_oracle(workspace / paths.ORACLE, turned, {})
    np.testing.assert_allclose(Judges(stage, None).read(images)["properties"], before, atol=2e-3)
