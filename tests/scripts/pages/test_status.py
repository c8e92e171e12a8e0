"""How far the stages are: every state, what vanished and what changed, and what is not judged yet."""

import fcntl
import shutil
from pathlib import Path

import pytest

from scripts.pages import status
from scripts.pipeline import Tool, ToolOptions, records
from scripts.pipeline.console import StopRequest
from scripts.pipeline.locks import LOCK_NAME
from scripts.stages.checking.workspace_check import WorkspaceCheck
from tests.scripts.pages import report_workspace


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace to copy; drawing one takes longer."""
    return report_workspace.make_workspace(tmp_path_factory.mktemp("status") / "workspace")


@pytest.fixture
def workspace(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "workspace")


def judged(workspace: Path) -> dict[str, status.StageStatus]:
    """The stages by number."""
    stages = status.read_stages(workspace)
    status.judge(stages, workspace)
    return {stage.number: stage for stage in stages.values()}


def states(workspace: Path) -> dict[str, str]:
    return {number: stage.state for number, stage in judged(workspace).items()}


def test_states(workspace: Path) -> None:
    assert states(workspace) == dict.fromkeys(("06", "07", "08"), "never run") | dict.fromkeys(
        ("00", "01", "02", "03", "04", "05", "09"), "complete"
    )
    for how, state in (("interrupted", "interrupted"), ("failed", "failed")):
        report_workspace.write_record(workspace, "05_fine_tune_v1", state="running", attempts=[{"how": how}])
        assert states(workspace)["05"] == state
    lock = records.stage_folder(workspace, "05_fine_tune_v1") / LOCK_NAME
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert states(workspace)["05"] == "running"
    (workspace / "segmentation/faces.csv").write_text("img_no,status,reason\n1,ok,\n")
    (workspace / "evaluation/results.json").unlink()
    found = judged(workspace)
    assert found["03"].state == "complete"
    assert (found["04"].state, found["09"].state) == ("stale", "stale")
    assert [reason.split(": was")[0] for reason in found["04"].reasons] == ["input segmentation/faces.csv"]
    assert found["09"].reasons == [
        "evaluation/results.json is gone",
        "made from what 04_compute_property_scores, 05_fine_tune_v1 will replace",
    ]
    (workspace / "stylegan_modified/synthesize_results").mkdir()
    (workspace / "stylegan_modified/synthesize_results/images.csv").touch()
    assert states(workspace)["08"] == "complete", "it keeps no record, but its table is there"


def test_another_version_of_a_script_makes_its_result_stale(workspace: Path) -> None:
    record = records.read(workspace, "04_compute_property_scores")
    record["depends_on"]["version"] = 1
    report_workspace.write_record(workspace, "04_compute_property_scores", **record | {"fingerprint": "old"})
    found = judged(workspace)
    assert found["04"].changed[0].startswith("version of the script: was 1, is")
    assert found["05"].changed == ["made from what 04_compute_property_scores will replace"]


def test_what_an_unfinished_stage_makes_is_not_judged(workspace: Path) -> None:
    """Its files are just changing; they may come out as they were."""
    report_workspace.write_record(workspace, "03_segment_faces", state="running", attempts=[])
    (workspace / "segmentation/faces.csv").write_text("img_no,status,reason\n")
    found = judged(workspace)
    assert (found["03"].state, found["03"].last_end) == ("interrupted", "killed")
    assert found["04"].state == "complete"


def test_options_that_are_gone(workspace: Path) -> None:
    record = records.read(workspace, "01_generate_candidates")
    record["options"]["colour"] = {"value": "red", "from": "config"}
    records.write(workspace, "01_generate_candidates", record)
    assert judged(workspace)["01"].changed == [], "it changed no result"
    record["depends_on"]["options"]["colour"] = "red"
    records.write(workspace, "01_generate_candidates", record)
    assert judged(workspace)["01"].changed == ["made with options that the script no longer has"]


def test_check_setup_says_the_same(workspace: Path) -> None:
    record = records.read(workspace, "04_compute_property_scores")
    record["depends_on"]["version"] = 1
    report_workspace.write_record(workspace, "04_compute_property_scores", **record | {"fingerprint": "old"})
    (workspace / "evaluation/results.json").unlink()
    tool = Tool("check_setup", ToolOptions(workspace=workspace), StopRequest(), has_log=False)
    findings = {one.subject: one for one in WorkspaceCheck(tool, changed_bundle=False).findings()}
    for stage in judged(workspace).values():
        if stage.record is not None:
            assert all(change in findings[stage.name].text for change in stage.changed)
            assert ("--force" in findings[stage.name].mend) == bool(stage.changed)
