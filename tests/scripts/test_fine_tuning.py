"""Stages 05, 06, 07 and 09 refuse what cannot work before they remove what they made; who learns from whom in
06 and 07.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from cnn.identity import load_embedder
from cnn.onnx_networks import GenderJudge
from cnn.people_judges import PeopleJudges
from data import portraits
from scripts.pipeline import REPOSITORY, files, records, run_stage
from scripts.stages import workspace as paths
from scripts.stages.evaluating import versions
from scripts.stages.fine_tuning import control, v2, v3
from segmentation.normalization import fit
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES
from stylegan_modified.evaluation import ControlReport, Sweep
from stylegan_modified.evaluation_summary import without_nan
from stylegan_modified.fine_tuning import TrainingPictures, save_atomically
from stylegan_modified.recipes import V2Recipe
from stylegan_modified.stylegan_generator import transplant
from tests.scripts.segmentation_record import record_segmentation
from tests.stylegan_modified import tiny

COUNT = 79
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Scores of 79 pictures and a file in the place of every network, also of those that stages made."""
    scores = np.random.default_rng(0).normal(size=(COUNT, len(PROPERTY_NAMES)))
    table = pd.DataFrame(scores, columns=[f"{name}_score" for name in PROPERTY_NAMES])
    table.insert(0, "img_no", range(COUNT))
    table.insert(1, "img_path", [f"picture_{n}.png" for n in range(COUNT)])
    write(tmp_path, table.assign(valid=True))
    Image.new("RGB", (tiny.RESOLUTION, tiny.RESOLUTION)).save(tmp_path / "picture_0.png")
    statistics = fit(scores, np.ones(scores.shape, bool), PROPERTY_NAMES).to_dict()
    files.write(tmp_path / paths.STATISTICS, {f"algorithm_{LABEL_ALGORITHM}": statistics})
    names = [item.path for item in paths.FILTER_INPUTS]
    names += [paths.GENERATOR, paths.FILTER_TABLE, paths.LATENTS, paths.PROPERTY_CNN]
    for name in (*names, *paths.FINE_TUNED.values(), paths.ENCODER, "evaluation/results.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("made earlier")
    record_segmentation(tmp_path)
    return tmp_path


def write(workspace: Path, table: pd.DataFrame) -> None:
    (workspace / paths.SCORES).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(workspace / paths.SCORES, index=False)


@pytest.fixture
def start_over(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a stage with --force: exit code and error. Nothing that was made earlier may be gone."""

    def run(name: str, *arguments: str) -> tuple[int, str]:
        made = (path for path in workspace.rglob("*") if "_stages" not in path.parts and path.is_file())
        before = {path: path.read_bytes() for path in made if "logs" not in path.parts}
        module = importlib.import_module(f"scripts.{name}")
        argv = ["--workspace", str(workspace), "--device", "cpu", "--force", *arguments]
        with pytest.raises(SystemExit) as exit_info:
            run_stage(module.SPEC, module.Options, module.run, argv)
        assert all(path.exists() and path.read_bytes() == content for path, content in before.items())
        return exit_info.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--batch-size", "1000"), "71 pictures to learn from are too few for a batch of 1000"),
        (("--batch-size", "1000", "--recipe", "document"), "too few for a batch of 1000"),
        (("--cnn-reduction", "64"), "too small to read"),
        (("--cnn-reduction", "3"), "power of two"),
    ],
)
def test_what_the_property_cnn_cannot_learn(start_over: Run, arguments: tuple[str, ...], reason: str) -> None:
    code, errors = start_over("06_fine_tune_v2", *arguments)
    assert code == 5 and reason in errors
    assert "Give other values" in errors and "01_generate_candidates.py" in errors


@pytest.mark.parametrize("name", ["05_fine_tune_v1", "06_fine_tune_v2", "07_fine_tune_v3"])
def test_too_few_pictures_and_a_parser_that_stage_03_did_not_use(
    start_over: Run, workspace: Path, name: str
) -> None:
    whole = pd.read_csv(workspace / paths.SCORES)
    write(workspace, whole.head(7))
    code, errors = start_over(name)
    assert code == 5 and "only 7 pictures" in errors and "--count 4000 --force" in errors
    write(workspace, whole)
    parser = workspace / paths.PARSER
    parser.parent.mkdir(parents=True, exist_ok=True)
    parser.write_text("another one")
    depends_on = {"options": {}, "inputs": {paths.PARSER: "sha256 of the one that it used"}}
    record = {"state": "complete", "fingerprint": "", "depends_on": depends_on}
    records.write(workspace, "03_segment_faces", record)
    code, errors = start_over(name)
    assert code == 5 and "03_segment_faces" in errors and paths.PARSER in errors


def test_a_v2_without_dials(start_over: Run, workspace: Path) -> None:
    document = transplant(tiny.base_generator()).checkpoint()
    save_atomically(document, workspace / paths.FINE_TUNED["v2"])
    code, errors = start_over("07_fine_tune_v3")
    assert code == 5 and "it has no dials for v3 to use" in errors


def test_nothing_to_evaluate(start_over: Run, workspace: Path) -> None:
    for items in versions.FILES.values():
        for item in items:
            (workspace / item.path).unlink(missing_ok=True)
    (workspace / paths.GENERATOR).write_text("made earlier")
    code, errors = start_over("09_evaluate")
    assert code == 3 and "it needs a generator, and there is none" in errors


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("05_fine_tune_v1", ("--batch-size", "3")),
        ("05_fine_tune_v1", ("--generator-lr", "-1")),
        ("05_fine_tune_v1", ("--warm-start-steps", "-1")),
        ("06_fine_tune_v2", ("--batch-size", "1")),
        ("06_fine_tune_v2", ("--batch-size", "5")),
        ("06_fine_tune_v2", ("--cnn-lr", "0")),
        ("06_fine_tune_v2", ("--cnn-width", "0")),
        ("07_fine_tune_v3", ("--encoder-width", "0")),
        ("07_fine_tune_v3", ("--learning-rate", "-0.1")),
        ("07_fine_tune_v3", ("--save-seconds", "-1")),
        ("09_evaluate", ("--batch-size", "0")),
        ("09_evaluate", ("--corrections", "-1")),
    ],
)
def test_values_that_mean_nothing(start_over: Run, name: str, arguments: tuple[str, ...]) -> None:
    code, errors = start_over(name, *arguments)
    assert code == 2 and arguments[0] in errors


def test_odd_batches_are_fine_where_pictures_do_not_come_in_pairs() -> None:
    for name in ("05_fine_tune_v1", "06_fine_tune_v2"):
        options = importlib.import_module(f"scripts.{name}").Options
        assert options(recipe="document", batch_size=5).batch_size == 5


def numbered(count: int) -> TrainingPictures:
    """Pictures whose first property is their number."""
    properties = torch.zeros(count, 7)
    properties[:, 0] = torch.arange(count)
    return TrainingPictures(torch.zeros(count, 8, 8, 3, dtype=torch.uint8), properties)


def test_both_pictures_of_a_person_of_v1_are_one_person() -> None:
    practice = v2.PracticePictures(
        z=torch.zeros(3, 4),
        requests=None,
        label_maps=None,
        images=torch.zeros(5, 8, 8, 3, dtype=torch.uint8),
        scores=torch.zeros(5, 7),
        people=torch.tensor([0, 0, 1, 2, 2]),
    )
    joined = practice.joined(numbered(4))
    assert joined.people.tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 6] and len(joined.images) == 9


def test_the_dials_start_alike_whatever_was_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, network = tiny.dial_generator().generator, tiny.property_cnn()
    monkeypatch.setattr(v2.networks, "load_v1", lambda stage: generator)
    monkeypatch.setattr(v2.networks, "load_identity", lambda stage: None)
    monkeypatch.setattr(v2.candidate_latents, "load_filters", lambda stage: ())
    monkeypatch.setattr(v2, "start_dials", lambda stage, model, z: None)
    stage = SimpleNamespace(device=torch.device("cpu"))
    practice = SimpleNamespace(z=torch.zeros(4, tiny.Z_DIM), requests=None, label_maps=None)
    recipe = V2Recipe(steps=1, batch_size=4, seed=5)
    tuning = SimpleNamespace(stage=stage, recipe=recipe, train=lambda trainer, preview: None)
    first, second = (v2.train_dials(tuning, network, practice).dials.state_dict() for _ in range(2))
    assert all(torch.equal(second[name], value) for name, value in first.items())
    assert any(value.std() > 0 for value in first.values())


@pytest.mark.parametrize(("count", "expected"), [(8, 1), (79, 8), (2000, 64)])
def test_some_pictures_are_kept_from_the_encoder(count: int, expected: int) -> None:
    seen, unseen = v3.hold_out(numbered(count), seed=0)
    assert len(unseen.images) == expected
    numbers = [part.properties[:, 0].tolist() for part in (seen, unseen)]
    assert sorted(numbers[0] + numbers[1]) == list(range(count))
    assert numbers[1] != v3.hold_out(numbered(count), seed=1)[1].properties[:, 0].tolist()


def test_the_error_is_that_of_the_pictures_it_is_given() -> None:
    """A decoder that shows black: the error is the brightness of the pictures."""
    images = torch.full((20, 8, 8, 3), 30, dtype=torch.uint8)
    images[15:] = 90

    class Black(nn.Module):
        def forward(self, z: torch.Tensor, properties: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"image": torch.full((len(z), 3, 8, 8), -1.0)}

    stage = SimpleNamespace(device=torch.device("cpu"))
    data = TrainingPictures(images, torch.zeros(20, 7))
    _, error = v3.reconstructions(stage, Black(), lambda pictures, own: (own, own), data)
    assert error == pytest.approx(45, abs=0.1)


def test_a_control_report_says_who_is_shown_as_far_as_anybody_judges() -> None:
    """Photographs have judges of identity and gender, and nobody who judges their quality."""
    faces = portraits.render_many(range(2), 64, processes=1).images
    count = len(PROPERTY_NAMES)
    sweep = Sweep(np.zeros((count, 2, count)), np.tile(faces[:, None, None], (1, count, 2, 1, 1, 1)))
    bundled = REPOSITORY / "data/photographs"
    identity = load_embedder(bundled / "loss_identity.safetensors")
    judges = PeopleJudges(None, identity, GenderJudge(bundled / "gender.onnx"))
    found = control.read_people(judges, sweep)
    assert set(found) == {"identity_auc", "women"} and found["identity_auc"] == 1.0
    assert control.read_people(PeopleJudges(), sweep) == {}
    report = ControlReport(2, *[dict.fromkeys(PROPERTY_NAMES, 1.0)] * 4, [], 0.0, 1.0)
    assert control.control_numbers(report, found)["people"].startswith("identity AUC 1.000, women ")
    assert "people" not in control.control_numbers(report, {})


def test_a_property_that_nobody_could_read_is_named_and_ends_nothing() -> None:
    by_property = dict.fromkeys(PROPERTY_NAMES, 1.0) | {"mouth": np.nan}
    report = ControlReport(2, *[by_property] * 4, [[np.nan]], 0.0, 0.5)
    numbers = control.control_numbers(report, {})
    assert numbers["control"].startswith("r 1.00 to 1.00") and numbers["unknown"].startswith("mouth:")
    written = without_nan(report.to_dict())
    assert written["r"]["mouth"] is written["response"][0][0] is None and written["r"]["eyes"] == 1.0
