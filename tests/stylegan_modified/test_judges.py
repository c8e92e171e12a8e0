"""The judges of the evaluation and the networks in the losses are different files of different architectures,
trained on disjoint portraits; no label comes from a judge; the evaluation's latents are nobody's.
"""

import ast
import json
import re
from pathlib import Path

import pytest
from safetensors import safe_open
from torch import nn

from cnn.oracle import load_oracle
from scripts import faces, fine_tuning_run, hand_labels, make_labels
from scripts.pipeline import REPOSITORY, files, fingerprint
from scripts.pipeline.layers import read_toml

EMBEDDED = REPOSITORY / "data" / "embedded"
ORACLE, IDENTITY = EMBEDDED / "oracle.safetensors", EMBEDDED / "identity_network.safetensors"
TRAINING_CODE = sorted((REPOSITORY / "stylegan_modified").glob("training_*.py"))


def metadata(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["metadata"])


def training_seeds(path: Path) -> range:
    """Seeds of the portraits that a bundled network was trained on, as its file states them."""
    found = re.search(r"seeds (\d+) to (\d+)", metadata(path)["trained_on"])
    assert found, f"{path.name} does not say what it was trained on"
    return range(int(found[1]), int(found[2]) + 1)


def names_used(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_the_judge_and_the_network_of_the_loss_are_different_files() -> None:
    assert ORACLE.read_bytes() != IDENTITY.read_bytes()
    assert metadata(ORACLE)["seed"] != metadata(IDENTITY)["seed"]
    weights = {
        item["path"]: item.get("bundled")
        for item in read_toml(REPOSITORY / "scripts/presets/embedded.toml")["weights"]
    }
    assert weights[faces.ORACLE] == ORACLE.name and weights[faces.IDENTITY] == IDENTITY.name


def test_they_were_trained_on_disjoint_portraits() -> None:
    judge, loss = training_seeds(ORACLE), training_seeds(IDENTITY)
    assert len(judge) >= 1000 and len(loss) >= 1000
    assert judge.stop <= loss.start or loss.stop <= judge.start


def test_they_share_no_kind_of_layer_but_the_convolution() -> None:
    """Another width would not do: networks of one kind err alike."""
    judge, loss = (list(load_oracle(path).trunk.modules()) for path in (ORACLE, IDENTITY))
    kinds = [{type(module).__name__ for module in modules} for modules in (judge, loss)]
    assert kinds[0] & kinds[1] == {"Sequential", "Conv2d"}
    kernels = [
        {module.kernel_size for module in modules if isinstance(module, nn.Conv2d)} - {(1, 1)}
        for modules in (judge, loss)
    ]
    assert kernels[0] and kernels[1] and not kernels[0] & kernels[1]


def test_the_judge_did_not_make_the_labels_that_the_filter_learns_from() -> None:
    record = files.read_json(EMBEDDED / Path(hand_labels.RECORD).name)
    assert hand_labels.is_machine_made(record["made_by"]) and "oracle" not in json.dumps(record)
    assert record["network_sha256"] == fingerprint.sha256_file(IDENTITY)
    assert make_labels.Options().network == IDENTITY


@pytest.mark.parametrize("path", TRAINING_CODE, ids=lambda path: path.stem)
def test_no_trainer_knows_the_judges(path: Path) -> None:
    assert not names_used(path) & {
        "load_oracle",
        "read_pictures",
        "Oracle",
        "PropertyJudge",
        "GenderJudge",
        "OutsideLandmarks",
        "compute_scores",
    }


def test_the_fine_tuning_scripts_load_the_oracle_only_to_report() -> None:
    for path in sorted((REPOSITORY / "scripts").glob("0[567]_*.py")):
        assert not names_used(path) & {"ORACLE", "load_oracle", "read_pictures"}, path.name
    loaded = faces.load_identity.__code__
    assert "IDENTITY" in loaded.co_names and "ORACLE" not in loaded.co_names


def test_latents_of_the_evaluation_are_nobody_else_s() -> None:
    import importlib

    evaluate = importlib.import_module("scripts.09_evaluate")
    dials = importlib.import_module("scripts.06_fine_tune_v2")
    encoder = importlib.import_module("scripts.07_fine_tune_v3")
    used = (0, dials.POOL_SEED, encoder.PEOPLE_SEED, fine_tuning_run.CONTROL_SEED)
    for first, count in ((first, 100_000) for first in used):
        assert first + count <= evaluate.FIRST_SEED
    assert max(faces.PREVIEW_SEEDS) < evaluate.FIRST_SEED
    with pytest.raises(ValueError, match="training and tuning"):
        evaluate.Options(seed=fine_tuning_run.CONTROL_SEED)
    with pytest.raises(ValueError, match="Did you mean 'v1'"):
        evaluate.Options(versions=("v11",))
