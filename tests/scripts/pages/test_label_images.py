"""The command line of label_images: its page, its lock, and what it refuses."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scripts.pages.labelling.answers import FOLDER
from scripts.pipeline import locks
from scripts.stages.workspace import CANDIDATES
from tests.processes import exit_code
from tests.scripts.pages.label_workspace import FIRST_SEED, Sessions, label_all, make_workspace
from tests.scripts.pages.page_serving import use_tab


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def run_main(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the script in this process: exit code and everything it wrote."""

    def run(*arguments: object) -> tuple[int, str]:
        code = exit_code("label_images", "--workspace", workspace, *arguments)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_the_whole_script_until_its_page_is_closed(run_main, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tab(monkeypatch, lambda tab: tab.post("/api/label", {"labels": [[0, 1, 1]]}))
    code, output = run_main("--port", 0)
    assert code == 0, output
    assert "Label page: http://127.0.0.1:" in output
    assert "1 answers in this session" in output
    assert "--export" in output
    assert run_main("--export")[0] == 0


def test_a_second_page_is_refused(workspace: Path, run_main) -> None:
    with locks.locked(workspace / FOLDER):
        code, output = run_main("--no-browser")
    assert code == 5
    assert "it is running already" in output and "go on in the page that is open" in output


@pytest.mark.parametrize(
    ("damage", "expected", "message"),
    [
        ("no table", 3, r"01_generate_candidates\.py --workspace"),
        ("mixed", 5, "mixes pictures"),
        ("no picture", 5, rf"000007\.jpg.*\n.*--seed {FIRST_SEED} --force"),
    ],
)
def test_candidates_that_cannot_be_labelled(
    workspace: Path, run_main, damage: str, expected: int, message: str
) -> None:
    table = workspace / CANDIDATES
    if damage == "no table":
        table.unlink()
    elif damage == "mixed":
        mixed = pd.read_csv(table)
        mixed.loc[3, "weights_id"] = "f" * 16
        mixed.to_csv(table, index=False)
    else:
        (workspace / "stylegan/synthesize_results/000007.jpg").unlink()
    code, output = run_main("--no-browser")
    assert code == expected
    assert re.search(message, output)


def test_export_without_a_page_and_a_new_start(workspace: Path, run_main) -> None:
    code, output = run_main("--export")
    assert code == 5
    assert "nothing is labelled yet" in output
    with Sessions(workspace) as sessions:
        label_all(sessions.start(), 20)
    code, output = run_main("--export")
    assert code == 0, output
    assert "20 labels are in cnn/synthesize_results_quality_and_gender.csv" in output
    code, output = run_main("--export", "--force")
    assert code == 5
    assert "nothing is labelled yet" in output
    kept = {path.suffix for path in workspace.glob("cnn/labelling/kept_*/*")}
    assert kept == {".csv", ".json", ".jsonl"}
    with Sessions(workspace) as sessions:
        assert sessions.start().status()["done"] == 0


@pytest.mark.parametrize("arguments", [("--count", 0), ("--page-size", 0), ("--disagreement", 1)])
def test_impossible_options_exit_2(run_main, arguments: tuple) -> None:
    assert run_main(*arguments)[0] == 2
