"""What a stage wrote is recorded when it finishes, and readers notice what changed since."""

import os
from pathlib import Path

import pytest
import torch

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, UserError, files, records
from scripts.pipeline.console import StopRequest
from scripts.stages import scores
from scripts.stages import workspace as paths
from segmentation.property_table import PROPERTY_NAMES
from stylegan.weights_file import write_torch

MAKER = "01_generate_candidates"
TABLE = "img_no,img_path\n0,pictures/0.jpg\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A finished stage with a table and a folder."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/0.jpg").write_bytes(b"picture")
    (tmp_path / "table.csv").write_text(TABLE)
    records.write_outputs(tmp_path, MAKER, ("table.csv", "pictures"))
    set_state(tmp_path, "complete")
    return tmp_path


def set_state(workspace: Path, state: str) -> None:
    records.write(workspace, MAKER, {"state": state, "fingerprint": "f"})


def reader(workspace: Path) -> Stage:
    spec = StageSpec("02_filter_candidates", inputs=(Input("table.csv", made_by=MAKER),))
    return Stage(spec, StageOptions(workspace=workspace, quiet=True), StopRequest())


def test_unchanged_inputs_are_accepted(workspace: Path) -> None:
    stage = reader(workspace)
    stage.check_inputs()
    assert len(stage.recorded_sha256("pictures/0.jpg")) == 64
    assert stage.recorded_sha256("pictures/1.jpg") == ""
    assert len(stage.read_csv("table.csv", ("img_no",))) == 1


def test_a_changed_input_is_refused_with_its_maker(workspace: Path) -> None:
    (workspace / "table.csv").write_text(TABLE.replace("0,", "1,"))
    with pytest.raises(UserError, match=rf"table\.csv is not what {MAKER} wrote(.|\n)*--force"):
        reader(workspace).check_inputs()


@pytest.mark.parametrize("damage", ["running", "no record"])
def test_without_a_valid_record_files_count_as_placed_by_hand(workspace: Path, damage: str) -> None:
    (workspace / "table.csv").write_text(TABLE.replace("0,", "1,"))
    if damage == "running":
        set_state(workspace, "running")
    else:
        (workspace / "_stages" / MAKER / records.OUTPUTS_NAME).write_text("[1]")
    reader(workspace).check_unchanged("table.csv")


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    """Torch would put the name of the file into it."""
    for name in (".tmp-1-a.pt", ".tmp-22-a.pt"):
        write_torch(tmp_path / name, {"a": torch.ones(3)})
    first, second = (path.read_bytes() for path in tmp_path.iterdir())
    assert first == second


@pytest.mark.parametrize("content", ["[]", '{"state": 1, "fingerprint": "f"}', '{"state": "complete"}', "{"])
def test_a_damaged_record_of_a_stage_counts_as_none(tmp_path: Path, content: str) -> None:
    files.write(tmp_path / "_stages/x/_stage.json", content)
    assert records.read(tmp_path, "x") is None


def test_scores_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    """A missing word is not True, which it would be as a truth value of pandas."""
    columns = [f"{name}_score" for name in PROPERTY_NAMES]
    header = ",".join(["img_no", "img_path", *columns, "valid"])
    rows = [f"{n},a/{n}.jpg,{','.join(['0.5'] * 7)},True" for n in range(9)]
    path = tmp_path / paths.SCORES
    files.write(path, "\n".join([header, *rows, ""]))
    assert scores.read_scores(reader(tmp_path))[1].shape == (9, 7)
    path.write_text("\n".join([header, *rows])[: -len("0.5,True")])
    with pytest.raises(UserError, match=r"all_scores_v3\.csv is damaged"):
        scores.read_scores(reader(tmp_path))


def test_a_change_without_a_trace_in_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    before = path.stat()
    first = records.cached_sha256(path)
    path.write_text("new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert records.cached_sha256(path) not in ("", first)
