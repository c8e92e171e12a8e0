"""Labels of a condition, 0 to 1: the table that 22 reads, its refusals, and the page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.label_images import Options
from scripts.pages.labelling.conditions import ConditionSession
from scripts.pages.labelling.server import LabelServer
from scripts.pages.labelling.session import AnswerError
from scripts.pipeline import MissingInputError, Tool, UserError
from scripts.pipeline.console import StopRequest
from scripts.stages import workspace as at
from scripts.stages.cvae import hand_labels
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.page_serving import Tab, answering

CHROMIUM = find_chromium()
COUNT = 6


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Pictures of 20, every second one a variant."""
    rows = []
    for n in range(2 * COUNT):
        path = tmp_path / f"given/{n // 2:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 20 * n, np.uint8)).save(path)
        rows.append({"img_no": n, "source_path": f"given/{path.name}", "is_augmented": n % 2})
    (tmp_path / at.VAE_PICTURES).parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(tmp_path / at.VAE_PICTURES, index=False)
    return tmp_path


def session(workspace: Path, **options: object) -> ConditionSession:
    chosen = Options(workspace=workspace, quiet=True, condition="mouth", **options)
    return ConditionSession(Tool("label_images", chosen, StopRequest()), chosen)


@pytest.fixture
def tab(workspace: Path) -> Iterator[Tab]:
    with answering(LabelServer(session(workspace), 0)) as server, Tab(server.port) as tab:
        yield tab


def labels(workspace: Path) -> dict[str, float]:
    table = hand_labels.read(hand_labels.table_of(workspace / at.VAE_TABLES, "mouth"), "mouth")
    return dict(zip(table["img_name"], table["mouth"], strict=True))


def test_answers_are_the_table_of_22(workspace: Path, tab: Tab) -> None:
    status, value = tab.post("/api/label", {"labels": [[0, 0.3]]})
    assert (status, value["mode"], value["done"], value["total"]) == (200, "number", 1, COUNT)
    assert value["ends"] == ["closed", "wide open"]
    tab.post("/api/label", {"labels": [[2, 1]]})
    tab.post("/api/label", {"labels": [], "skip": [4]})
    assert labels(workspace) == {"000.png": 0.3, "001.png": 1}
    assert tab.get("/images/2") == (200, (workspace / "given/001.png").read_bytes())

    assert [item["img"] for item in tab.post("/api/undo", {})[1]["items"]] == [4]
    undone = tab.post("/api/undo", {})[1]
    assert undone["items"][0]["was"] == [1] and labels(workspace) == {"000.png": 0.3}
    message = tab.post("/api/export", {})[1]
    assert "22_decide_inputs" in message["next"] and "All are alike" in message["message"]


def test_the_next_session_goes_on_with_what_is_left(workspace: Path) -> None:
    first = session(workspace)
    first.label([[0, 0.5]])
    first.label([], [2])
    assert first.queue() == [4, 6, 8, 10] and first.queue(skipped=True) == [2]
    again = session(workspace, count=4)
    assert again.queue() == [2, 4, 6] and again.status()["done"] == 1
    assert again.undo()["items"] == []  # what other sessions said stays


WRONG = ([[0, 1.5]], [[0, "a"]], [[1, 0.5]], [[99, 0.5]], [[0, 0.5, 1]], [0], [[0, True]])


@pytest.mark.parametrize("label", WRONG)
def test_what_is_no_answer_is_refused(workspace: Path, label: object) -> None:
    labelling = session(workspace)
    with pytest.raises(AnswerError):
        labelling.label(label)
    assert not labelling.path.exists()


def test_a_damaged_table_and_missing_pictures_are_said(workspace: Path) -> None:
    path = hand_labels.table_of(workspace / at.VAE_TABLES, "mouth")
    path.parent.mkdir(parents=True)
    path.write_text("img_name,mouth\n000.png,2\n")
    with pytest.raises(UserError, match="number from 0 to 1"):
        session(workspace)
    (workspace / at.VAE_PICTURES).unlink()
    with pytest.raises(MissingInputError, match="20_augment_pictures"):
        session(workspace)
    with pytest.raises(ValueError, match="must be one of"):
        Options(condition="nose")
    with pytest.raises(ValueError, match="alone"):
        Options(condition="mouth", check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")
def test_digits_slider_and_undo_in_a_browser(workspace: Path, tmp_path: Path) -> None:
    shown = "document.querySelector('#frame img')?.naturalWidth > 0"
    progress = "document.getElementById('progress-text').textContent"
    with (
        Chromium(CHROMIUM, tmp_path / "profile", width=900) as chromium,
        answering(LabelServer(session(workspace), 0)) as server,
    ):
        chromium.open(server.address, shown)
        assert chromium.evaluate("document.title") == "Label mouth"
        hidden = "getComputedStyle(document.querySelector('[data-key=f]').parentElement).display"
        assert chromium.evaluate(hidden) == "none"
        chromium.press("4")
        chromium.press("+")
        chromium.evaluate("value.value = .25")
        chromium.press("Enter")
        chromium.press("9")
        chromium.wait_for(f"{progress}.startsWith('4 of {COUNT}')")
        chromium.press("u")
        chromium.wait_for("document.getElementById('caption').textContent.includes('taken back: 0.9')")
        chromium.press("0")
        chromium.press("s")
        chromium.press("7")
        chromium.wait_for("document.getElementById('done-text').textContent.includes('train_output_mouth')")
    assert labels(workspace) == {"000.png": 0.4, "001.png": 1, "002.png": 0.25, "003.png": 0, "005.png": 0.7}
