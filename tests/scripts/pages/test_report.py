"""The report: states, what was left out, curves, escaping, one file without requests, honest about gaps."""

import base64
import io
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts import report
from scripts.pages.report.page import Run, read_run
from scripts.pages.report.page import page as written
from scripts.pages.report.results import training_log
from scripts.pipeline import records, run_tool
from tests.scripts.pages import report_workspace
from tests.scripts.pages.report_workspace import HOSTILE, SIZE

VOID = {"img", "meta", "br"}


class Page(HTMLParser):
    """Checks the nesting of a page and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] != ["style"] else ""

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements with this tag."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace to copy; drawing one takes longer."""
    return report_workspace.make_workspace(tmp_path_factory.mktemp("report") / "workspace")


@pytest.fixture
def workspace(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "workspace")


@pytest.fixture
def write_report(capsys: pytest.CaptureFixture) -> Callable[[Path], tuple[int, str]]:
    """Runs the script; returns its exit code and what it printed."""

    def write(workspace: Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit_info:
            run_tool(report.Options, report.run, argv=["--workspace", str(workspace)])
        captured = capsys.readouterr()
        return exit_info.value.code, captured.out + captured.err

    return write


def run_of(workspace: Path) -> Run:
    return read_run(workspace, workspace / "logs")


def test_one_file_without_requests_scripts_or_live_markup(workspace: Path, write_report: Callable) -> None:
    code, printed = write_report(workspace)
    assert code == 0, printed
    text = (workspace / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert HOSTILE in page.text, "shown as text"
    assert HOSTILE not in text
    assert not page.named("script") and not page.named("link")
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in page.named("img"))
    assert not re.search(r"https?://|url\(|@import", text)
    targets = {link["href"] for link in page.named("a")}
    names = {attributes.get("id") for _, attributes in page.elements}
    assert targets and all(target.startswith("#") and target[1:] in names for target in targets)
    assert len(page.named("figure")) == len(page.named("figcaption"))
    assert not list(workspace.glob(".tmp-*"))


def test_it_tells_the_run(workspace: Path, write_report: Callable) -> None:
    write_report(workspace)
    page = Page((workspace / "report.html").read_text(encoding="utf-8"))
    assert "Of 10 people that the original generator drew, the filter kept 6." in page.text
    assert "v1 reaches 78 % of the goals" in page.text
    assert "06, 07, 08 never ran" in page.text
    assert "python scripts/02_filter_candidates.py --preset smoke --workspace" in page.text
    for words in (
        "0123456789",
        "seed 7",
        "python 3.11.7",
        "12 s on cpu",
        "1,234 done",
        "killed, complete",
        "d_loss",
        "odd<name>",
    ):
        assert words in page.text
    (hero,) = (image for image in page.named("img") if "that no training saw" in image["alt"])
    assert Image.open(io.BytesIO(base64.b64decode(hero["src"].split(",")[1]))).size == (SIZE, 2 * SIZE)
    for version in ("base", "v1", "v2"):
        assert any(f"People by {version}: each dial" in image["alt"] for image in page.named("img"))
    assert page.text.count("The training of v1 after") == 3


def test_what_mends_a_stale_result(workspace: Path) -> None:
    """A file that is gone needs another run; one that was made from something else a new start."""
    report_workspace.write_record(workspace, "09_evaluate", command="python scripts/09_evaluate.py")
    (workspace / "evaluation/results.json").unlink()
    text = Page(written(run_of(workspace), "today")).text
    assert "To make it again: python scripts/09_evaluate.py" in text and "--force" not in text
    record = records.read(workspace, "09_evaluate")
    record["options"]["latents"]["value"] = 8
    records.write(workspace, "09_evaluate", record)
    text = Page(written(run_of(workspace), "today")).text
    assert "--latents: was 100, is 8, so this result no longer follows" in text
    assert "To make it again: python scripts/09_evaluate.py --force" in text


def test_what_was_left_out_and_why(workspace: Path) -> None:
    run = run_of(workspace)
    rows = [(row.stage, row.count, row.why) for row in run.left_out()]
    assert rows == [
        ("02", 1, f"failed: {HOSTILE}"),
        ("02", 1, "not a woman with probability 0.7"),
        ("02", 1, "not of good quality with probability 0.9"),
        ("02", 1, "neither woman nor of good quality"),
        ("03", 1, "no_face: nothing found"),
        ("04", 1, "mouth cannot be measured"),
        ("09", 1, "it has no encoder."),
    ]
    assert run.results.funnel() == {
        "candidates drawn": 10,
        "kept by the filter": 6,
        "faces parsed": 5,
        "with all seven scores": 4,
    }
    report_workspace.write_record(
        workspace, "05_fine_tune_v1", counts={"toys": {"done": 3, "skipped": 1, "failed": 2}}
    )
    assert ("05", 2) in [(row.stage, row.count) for row in run_of(workspace).left_out()]


def test_curves_of_steps_and_of_folds(workspace: Path) -> None:
    log = run_of(workspace).results.training("v1", "stylegan_modified/train_log_v1.csv")
    ((xs, ys),) = log.curves["d_loss"]
    assert (log.x_name, xs[:2], ys[0]) == ("step", [10.0, 20.0], 0.1)
    assert np.isnan(log.curves["g_loss"][0][1][0])
    table = pd.DataFrame(
        {"fold": [0, 0, 0, 1], "attempt": [0, 0, 1, 0], "epoch": [0, 1, 0, 0], "valid_loss": [3, 2, 1, "?"]}
    )
    folds = training_log("gender", table)
    assert folds.x_name == "epoch"
    assert list(folds.curves) == ["valid_loss"]
    assert folds.curves["valid_loss"] == [([1, 2, 3], [3.0, 2.0, 1.0])]


@pytest.mark.parametrize(
    ("relative", "content", "said"),
    [
        ("evaluation/results.json", b"{", "evaluation/results.json is not what 09_evaluate writes"),
        ("evaluation/results.json", b'{"v1": {"mae": {"eyes": 1}}}', "is not what 09_evaluate writes"),
        ("segmentation/faces.csv", b"\xff\xfe", "segmentation/faces.csv is not a readable UTF-8 CSV"),
        ("evaluation/strips_v2.png", b"not a picture", "strips_v2.png cannot be read"),
        ("stylegan/candidates_sheet.png", b"", "candidates_sheet.png cannot be read"),
        ("stylegan_modified/previews/v1_000020.png", b"\x89PNG", "v1_000020.png cannot be read"),
        ("_stages/02_filter_candidates/_stage.json", b"[]", "02 never ran"),
    ],
)
def test_damaged_files_leave_a_note(
    workspace: Path, write_report: Callable, relative: str, content: bytes, said: str
) -> None:
    (workspace / relative).write_bytes(content)
    code, printed = write_report(workspace)
    assert code == 0, printed
    text = Page((workspace / "report.html").read_text(encoding="utf-8")).text
    assert said.replace("02 never ran", "02, 06, 07, 08 never ran") in text


def test_a_run_that_has_just_begun(workspace: Path, tmp_path: Path, write_report: Callable) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(workspace / "_stages/00_fetch_weights", begun / "_stages/00_fetch_weights")
    code, printed = write_report(begun)
    assert code == 0, printed
    text = Page((begun / "report.html").read_text(encoding="utf-8")).text
    assert "stylegan/stylegan_model.pth is gone" in text
    assert "no generator with dials has been trained here" in text


def test_before_the_evaluation_the_dials_are_those_of_the_newest_version(workspace: Path) -> None:
    shutil.rmtree(workspace / "evaluation")
    previews = workspace / "stylegan_modified/previews"
    shutil.copy(previews / "v1_000100.png", previews / "v1.png")
    (previews / "v2.png").write_bytes(b"damaged")
    page = Page(written(run_of(workspace), "today"))
    assert page.text.count("Four people, by v1: each dial from low to high") == 1


def test_an_empty_workspace_is_refused_with_the_command(tmp_path: Path, write_report: Callable) -> None:
    code, printed = write_report(tmp_path / "nothing")
    assert code == 3
    assert "nothing to report" in printed
    assert "00_fetch_weights.py --workspace" in printed
    assert not (tmp_path / "nothing/report.html").exists()
