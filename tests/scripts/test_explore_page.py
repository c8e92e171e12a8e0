"""The explorer in a real browser: dials, persons, versions, a strip, a photograph, saving; no overflow."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from scripts.exploring.explorer import Explorer
from scripts.exploring.server import ExploreServer
from tests.scripts.chromium import Chromium, find_chromium
from tests.scripts.explore_workspace import make_tool, make_workspace, photograph

CHROMIUM = find_chromium()
SHOWN = "document.querySelector('#now img')?.naturalWidth > 0"
COMMAND = "document.getElementById('command').textContent"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium or Chrome is installed (Debian: apt install chromium)"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ExploreServer]:
    with ExploreServer(Explorer(make_tool(make_workspace(tmp_path / "workspace"))), 0) as server:
        thread = threading.Thread(target=server.serve_until, args=(lambda: None,))
        thread.start()
        yield server
        server.closing = True
        thread.join()


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(CHROMIUM, tmp_path / "profile") as browser:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=COLLECT_ERRORS)
        yield browser


COLLECT_ERRORS = """
  window.errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
  console.error = (...words) => errors.push(words.join(" "));
"""


def wait_for_command(chromium: Chromium, *words: str) -> None:
    """Wait until the picture is one whose command line has these words."""
    for word in words:
        chromium.wait_for(f"{COMMAND}.includes('{word}')")


def test_turning_dials_in_the_browser(server: ExploreServer, chromium: Chromium, tmp_path: Path) -> None:
    chromium.call("Page.enable")
    chromium.open(server.address, SHOWN)
    wait_for_command(chromium, "--version v3", "--seeds 0 ")
    first = chromium.evaluate("document.querySelector('#now img').src")

    chromium.evaluate("document.getElementById('range-mouth').focus()")
    chromium.press("0")
    wait_for_command(chromium, "--mouth 0.0 ")
    assert chromium.evaluate("document.querySelector('#previous img').src") == first
    chromium.press("ArrowRight")
    wait_for_command(chromium, "--mouth 0.01 ")
    assert chromium.evaluate("document.activeElement.getAttribute('aria-valuetext')").startswith("0.01, from")
    chromium.evaluate("document.activeElement.dispatchEvent(new Event('dblclick'))")
    wait_for_command(chromium, "--mouth 0.0 ")

    chromium.evaluate("document.querySelectorAll('.along')[3].click()")
    chromium.wait_for("document.querySelectorAll('#strip img').length === 7")
    chromium.evaluate("document.querySelectorAll('#strip button')[6].click()")
    value = chromium.evaluate("document.querySelectorAll('#strip button')[6].textContent")
    wait_for_command(chromium, f"--mouth {float(value)} ")

    chromium.evaluate("document.getElementById('hold').click()")
    locked = "['seed', 'dice', 'upload'].every((id) => document.getElementById(id).disabled)"
    assert chromium.evaluate(locked)
    chromium.evaluate("document.querySelector('#versions [value=v1]').click()")
    wait_for_command(chromium, "--version v1", "--seeds 0 ")
    assert chromium.evaluate("document.getElementById('own').disabled")
    chromium.evaluate("document.getElementById('hold').click()")
    chromium.evaluate("document.getElementById('dice').click()")
    chromium.wait_for(f"!{COMMAND}.includes('--seeds 0 ')")
    chromium.evaluate("document.querySelector('#previous button').click()")
    wait_for_command(chromium, "--version v1", "--seeds 0 ", f"--mouth {float(value)} ")

    edit_a_photograph(chromium, tmp_path)
    check_widths(chromium)
    assert chromium.evaluate("errors") == []
    assert chromium.evaluate("document.getElementById('error').hidden")


def edit_a_photograph(chromium: Chromium, tmp_path: Path) -> None:
    """Upload a picture, turn a dial, save."""
    face = tmp_path / "face.png"
    face.write_bytes(photograph())
    document = chromium.call("DOM.getDocument")["root"]["nodeId"]
    field = chromium.call("DOM.querySelector", nodeId=document, selector="#file")["nodeId"]
    chromium.call("DOM.setFileInputFiles", nodeId=field, files=[str(face)])
    wait_for_command(chromium, "--version v3", "--from-image", "face_")
    assert chromium.evaluate("document.querySelector('#base strong').textContent") == "Photograph"
    chromium.evaluate("document.getElementById('reset').click()")
    chromium.evaluate("document.getElementById('own').click()")
    downloads = tmp_path / "downloads"
    chromium.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    chromium.evaluate("document.getElementById('save').click()")
    chromium.wait_for("document.getElementById('status').textContent.startsWith('Saved')")
    saved = wait_for_file(downloads, "v3_face_*.png")
    with Image.open(saved) as picture:
        assert json.loads(picture.text["Settings"])["from_image"].startswith("face_")


def wait_for_file(folder: Path, pattern: str) -> Path:
    """The first file of this name that a download completes."""
    deadline = time.monotonic() + 60
    while not (found := list(folder.glob(pattern))):
        assert time.monotonic() < deadline, f"no {pattern} in {folder}"
        time.sleep(0.05)
    return found[0]


def check_widths(chromium: Chromium) -> None:
    """Nothing is wider than the window of a phone or a desktop, in light and dark."""
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            chromium.call(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
            )
            chromium.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            assert chromium.evaluate("document.documentElement.scrollWidth <= innerWidth")
