"""The label page in a real browser: label by keys, reload, go on, mark exceptions on a page, export."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pytest

from scripts.pages.labelling.server import LabelServer
from scripts.stages.filtering import hand_labels
from scripts.stages.workspace import LABELS
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.label_workspace import Sessions, make_tool, make_workspace
from tests.scripts.pages.page_serving import answering

CHROMIUM = find_chromium()
COUNT = 40
PAGE_SIZE = 12
SHOWN = "document.querySelector('#frame img')?.naturalWidth > 0"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium or Chrome is installed (Debian: apt install chromium)"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(CHROMIUM, tmp_path_factory.mktemp("profile"), width=900) as browser:
        yield browser


@contextmanager
def served(sessions: Sessions, **settings: object) -> Iterator[LabelServer]:
    """A label page in this process, as after a start of label_images."""
    with answering(LabelServer(sessions.start(count=COUNT, page_size=PAGE_SIZE), 0)) as server:
        yield server


def wait_for_progress(chromium: Chromium, text: str) -> None:
    """Wait until the page counts so many answers."""
    chromium.wait_for(f"document.getElementById('progress-text').textContent.includes('{text}')")


def test_label_reload_go_on_and_export(tmp_path: Path, chromium: Chromium) -> None:
    workspace = make_workspace(tmp_path / "workspace", COUNT)
    expected = {n: (n % 2, int(n % 5 > 0)) for n in range(20)}
    with ExitStack() as stack:
        sessions = stack.enter_context(Sessions(workspace))
        server = stack.enter_context(served(sessions))
        chromium.open(server.address, SHOWN)

        for n in range(20):  # all ways to say the same
            gender, quality = expected[n]
            letter = "fm"[1 - gender]
            if quality:
                chromium.press(letter if n % 3 else "21"[gender])
            elif n % 3:
                chromium.press("b")
                chromium.press(letter)
            else:
                chromium.press(letter, shift=True)
            if n == 10:
                wait_for_progress(chromium, "11 of 40")
                chromium.evaluate("document.querySelector('#single [data-key=u]').click()")
                chromium.wait_for("document.getElementById('caption').textContent.includes('taken back')")
                chromium.press(letter, shift=not quality)
        wait_for_progress(chromium, "20 of 40 · women 10, men 10, bad 4")

        chromium.open(server.address + "?again", SHOWN)
        assert chromium.evaluate("document.querySelector('#frame img').alt") == "candidate 20"
        chromium.press("s")
        wait_for_progress(chromium, "1 skipped")

        chromium.press("v")
        tiles = "document.querySelectorAll('#tiles .tile').length"
        chromium.wait_for(f"{tiles} === {PAGE_SIZE}")
        for key in ("ArrowRight", "m", "ArrowRight", "b", "ArrowRight", "s", "ArrowDown", " "):  # 8 columns
            chromium.press(key)
        chromium.evaluate("document.querySelectorAll('#tiles .quality')[5].click()")
        assert chromium.evaluate("exceptions.textContent") == f"5 of {PAGE_SIZE} marked"
        chromium.press("Enter")
        wait_for_progress(chromium, f"{21 + PAGE_SIZE} of 40")

        chromium.press("e")
        chromium.wait_for("document.getElementById('next').textContent.includes('02_filter_candidates')")
    table = pd.read_csv(workspace / LABELS)
    found = {int(row.img_name[:6]): (row.gender, row.quality) for row in table.itertuples()}
    assert {n: found[n] for n in range(20)} == expected
    exceptions = {22: (0, 1), 23: (1, 0), 26: (1, 0), 32: (0, 1)}
    page = {n: (1, 1) for n in range(21, 21 + PAGE_SIZE) if n != 24} | exceptions
    assert found == expected | page
    assert hand_labels.read_record(make_tool(workspace)).skipped == {20, 24}


def test_an_answer_that_was_not_saved_is_asked_again(tmp_path: Path, chromium: Chromium) -> None:
    workspace = make_workspace(tmp_path / "workspace", COUNT)
    with Sessions(workspace) as sessions, served(sessions) as server:
        chromium.open(server.address, SHOWN)
        chromium.press("f")
        wait_for_progress(chromium, "women 1")
        server.token = "another page was opened"
        chromium.press("m")
        chromium.wait_for("!document.getElementById('error').hidden")
        assert "Reload" in chromium.evaluate("document.getElementById('error').textContent")
        assert chromium.evaluate("document.querySelector('#frame img').alt") == "candidate 1"
        wait_for_progress(chromium, "1 of 40")
