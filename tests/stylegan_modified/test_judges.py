"""The judges of the evaluation and the networks in the losses are different files of different architectures,
trained on disjoint portraits; no label comes from a judge; the evaluation's latents are nobody's.
"""

import ast
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from cnn.identity import load_embedder
from cnn.oracle import load_oracle
from scripts import make_labels
from scripts.pipeline import REPOSITORY, Tool, ToolOptions, files
from scripts.pipeline.console import StopRequest
from scripts.pipeline.layers import read_toml
from scripts.stages import networks
from scripts.stages import workspace as paths
from scripts.stages.filtering import hand_labels
from scripts.stages.fine_tuning import control
from scripts.stages.workspace import LABELS_RECORD
from stylegan import seeds

EMBEDDED = REPOSITORY / "data" / "embedded"
ORACLE, IDENTITY = EMBEDDED / "oracle.safetensors", EMBEDDED / "identity_network.safetensors"
PACKAGES = ("cnn", "data", "scripts", "segmentation", "stylegan", "stylegan_modified")
MODULES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in (REPOSITORY / package).rglob("*.py")
}
# Whatever of it trains, edits or defines a loss: all but the measures of the evaluation.
LOSS_CODE = [name for name in MODULES if re.fullmatch(r"stylegan_modified\.(?!evaluation)\w+", name)]
TRAINING_SCRIPTS = [name for name in MODULES if re.match(r"scripts\.0[567]_", name)]
JUDGES = {
    *("ORACLE", "Oracle", "load_oracle", "load_embedder", "load_judging_oracle", "read_pictures"),
    *("GenderJudge", "PeopleJudges", "load_people_judges"),
    *("PropertyJudge", "Segmenter", "compute_scores", "load_judge", "load_segmenter", "build_segmenter"),
}
# Functions that the training scripts reach and that may name a judge, with what for.
USES_OF_JUDGES = {
    ("scripts.stages.fine_tuning.v2", "draw_practice"),  # label maps and labels, as 03 and 04 make them
    ("scripts.stages.fine_tuning.control", "read_people"),  # a report, after the training
    ("scripts.stages.fine_tuning.control", "report_control"),
    ("scripts.stages.networks", "build_segmenter"),
    ("scripts.stages.networks", "load_identity"),  # see the test of which file it reads
    ("scripts.stages.networks", "load_judge"),
    ("scripts.stages.networks", "load_judging_oracle"),
    ("scripts.stages.networks", "load_people_judges"),
    ("scripts.stages.networks", "load_segmenter"),
}


def metadata(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["metadata"])


def training_seeds(path: Path) -> range:
    """Seeds of the portraits that a bundled network was trained on, as its file states them."""
    found = re.search(r"seeds (\d+) to (\d+)", metadata(path)["trained_on"])
    assert found, f"{path.name} does not say what it was trained on"
    return range(int(found[1]), int(found[2]) + 1)


def bundled_weights(preset: str) -> dict[str, Path]:
    """Path in the workspace -> the repository's file that a preset places there."""
    entries = read_toml(REPOSITORY / f"scripts/presets/{preset}.toml")["weights"]
    return {item["path"]: REPOSITORY / item["bundled"] for item in entries if "bundled" in item}


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def names_used(tree: ast.AST) -> set[str]:
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def reached_from(modules: Iterable[str]) -> set[str]:
    """Our modules that these import, directly or through others, inside functions too; and themselves."""
    reached, ahead = set(), list(modules)
    while ahead:
        module = ahead.pop()
        if module in reached:
            continue
        reached.add(module)
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Import):
                ahead += [alias.name for alias in node.names if alias.name in MODULES]
            elif isinstance(node, ast.ImportFrom):
                names = (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
                ahead += [name for name in names if name in MODULES]
    return reached


def test_the_judge_and_the_network_of_the_loss_are_different_files() -> None:
    assert ORACLE.read_bytes() != IDENTITY.read_bytes()
    assert metadata(ORACLE)["seed"] != metadata(IDENTITY)["seed"]
    weights = bundled_weights("embedded")
    assert (weights[paths.ORACLE], weights[paths.IDENTITY_NETWORK]) == (ORACLE, IDENTITY)


def test_photographs_are_judged_by_other_networks_than_the_losses_know() -> None:
    """Of other architectures, makers and pictures; the judge of gender is in no loss at all."""
    weights = bundled_weights("celeba256")
    judge, loss = (load_embedder(weights[path]) for path in (paths.IDENTITY_JUDGE, paths.IDENTITY_NETWORK))
    assert type(judge.network) is not type(loss.network)
    assert judge.card.architecture != loss.card.architecture
    assert judge.card.training_data != loss.card.training_data
    assert loss.card.differentiable and judge.card.threshold == 0.6
    assert weights[paths.GENDER_JUDGE].suffix == ".onnx"  # which gives no gradient


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
    record = files.read_json(EMBEDDED / Path(LABELS_RECORD).name)
    assert hand_labels.is_machine_made(record["made_by"]) and "oracle" not in json.dumps(record)
    assert record["network_sha256"] == files.sha256_file(IDENTITY)
    assert make_labels.Options().network == IDENTITY


@pytest.mark.parametrize("module", LOSS_CODE)
def test_loss_code_reaches_nothing_that_reads_pictures(module: str) -> None:
    """Networks come as arguments; of the packages that judge only tables of names are known."""
    reached = {name for name in reached_from([module]) if name.startswith(("cnn", "segmentation", "scripts"))}
    assert reached <= {"segmentation", "segmentation.face_classes", "segmentation.property_table"}
    assert not {name for name in reached_from([module]) if "evaluation" in name}


def test_the_training_scripts_know_the_judges_only_to_report_and_to_label() -> None:
    found = set()
    for module in reached_from(TRAINING_SCRIPTS):
        if module.startswith("scripts."):
            functions = (node for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef))
            found |= {(module, function.name) for function in functions if names_used(function) & JUDGES}
    assert found == USES_OF_JUDGES


def test_the_same_person_loss_looks_with_the_identity_network(tmp_path: Path) -> None:
    for source, relative in ((ORACLE, paths.ORACLE), (IDENTITY, paths.IDENTITY_NETWORK)):
        (tmp_path / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / relative)
    tool = Tool("any", ToolOptions(workspace=tmp_path, device="cpu", quiet=True), StopRequest())
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    loaded = networks.load_identity(tool)
    judge, known = (load_embedder(path) for path in (ORACLE, IDENTITY))
    with torch.no_grad():
        assert torch.equal(loaded(image), known(image))
        assert not torch.allclose(known(image), judge(image), atol=1e-2)


def test_latents_of_the_evaluation_are_nobody_else_s() -> None:
    import importlib

    generate, dials, evaluate = (
        importlib.import_module(f"scripts.{name}")
        for name in ("01_generate_candidates", "06_fine_tune_v2", "09_evaluate")
    )
    assert set(control.PREVIEW_SEEDS) < set(seeds.CANDIDATES)
    assert generate.Options(seed=400_000, count=100_000).count == 100_000
    for seed, count in ((400_000, 100_001), (9_000_000, 10), (-1, 10)):
        with pytest.raises(ValueError, match="--seed plus --count"):
            generate.Options(seed=seed, count=count)
    with pytest.raises(ValueError, match="--pool must be at most 400000"):
        dials.Options(pool=400_001)
    with pytest.raises(ValueError, match="--control-latents"):
        dials.Options(control_latents=100_001)
    with pytest.raises(ValueError, match="training and tuning"):
        evaluate.Options(seed=seeds.CONTROL.start)
    with pytest.raises(ValueError, match="those of the given pictures"):
        evaluate.Options(population=500_001)
    with pytest.raises(ValueError, match="too large"):
        evaluate.Options(seed=2**31 - 1000)
    with pytest.raises(ValueError, match="Did you mean 'v1'"):
        evaluate.Options(versions=("v11",))
