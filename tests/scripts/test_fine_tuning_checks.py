"""Stages 05, 06, 07 and 09 refuse what cannot work before they remove what they made."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.pipeline import files, records, run_stage
from scripts.stages import workspace as paths
from scripts.stages.evaluating import versions
from segmentation.normalization import fit
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES
from stylegan_modified.fine_tuning import save_atomically
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


def test_a_batch_larger_than_what_there_is_to_learn_from(start_over: Run) -> None:
    for recipe in ("dials", "document"):
        code, errors = start_over("06_fine_tune_v2", "--batch-size", "1000", "--recipe", recipe)
        assert code == 5 and "71 pictures to learn from are too few for a batch of 1000" in errors
        assert "Give other values" in errors and "01_generate_candidates.py" in errors


def test_windows_of_the_property_cnn_without_pixels(start_over: Run) -> None:
    code, errors = start_over("06_fine_tune_v2", "--cnn-reduction", "64")
    assert code == 5 and "too small to read" in errors
    code, errors = start_over("06_fine_tune_v2", "--cnn-reduction", "3")
    assert code == 5 and "power of two" in errors


@pytest.mark.parametrize("name", ["05_fine_tune_v1", "06_fine_tune_v2", "07_fine_tune_v3"])
def test_too_few_pictures(start_over: Run, workspace: Path, name: str) -> None:
    write(workspace, pd.read_csv(workspace / paths.SCORES).head(7))
    code, errors = start_over(name)
    assert code == 5 and "only 7 pictures" in errors and "--count 4000 --force" in errors


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


@pytest.mark.parametrize("name", ["05_fine_tune_v1", "06_fine_tune_v2", "07_fine_tune_v3"])
def test_a_parser_that_stage_03_did_not_use(start_over: Run, workspace: Path, name: str) -> None:
    parser = workspace / paths.PARSER
    parser.parent.mkdir(parents=True, exist_ok=True)
    parser.write_text("another one")
    depends_on = {"options": {}, "inputs": {paths.PARSER: "sha256 of the one that it used"}}
    record = {"state": "complete", "fingerprint": "", "depends_on": depends_on}
    records.write(workspace, "03_segment_faces", record)
    code, errors = start_over(name)
    assert code == 5 and "03_segment_faces" in errors and paths.PARSER in errors
