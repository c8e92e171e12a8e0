"""The page to draw on: drawn strokes in a real browser, mirror, eraser, undo, touch, template, saving."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from scripts.pages.sketching.server import Artist, SketchServer, sheet
from scripts.pipeline import REPOSITORY, Tool, ToolOptions, UserError, files
from scripts.pipeline.console import StopRequest
from scripts.stages.workspace import SKETCH_TABLE
from sketch.lines import strokes_of_face
from sketch.pairs import pack_strokes
from sketch.portrait_network import PortraitConfig, PortraitNetwork, save_network
from sketch.unet import UNetConfig
from tests.processes import exit_code
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.page_serving import Tab, answering
from tests.segmentation.drawn_faces import draw_face

CHROMIUM = find_chromium()
NOTE = "document.getElementById('note').textContent"
PORTRAIT = "document.getElementById('portrait').src"
LINE = [{"tool": "pen", "width": 3, "points": [[0.2, 0.2], [0.8, 0.8]]}]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, and one template."""
    folder = tmp_path_factory.mktemp("draw")
    torch.manual_seed(0)
    config = UNetConfig(1, 4, 8, 3, condition_size=17, out_channels=8)
    network = PortraitNetwork(PortraitConfig(config, 32, has_colors=True, latent_size=2), people=4)
    network.palette.copy_(torch.randint(0, 255, (4, 5, 3)).to(torch.uint8))
    (folder / "sketch/strokes").mkdir(parents=True)
    save_network(folder / "own.safetensors", network, {})
    pd.DataFrame({"img_no": [7], "split": ["train"], "status": ["ok"]}).to_csv(
        folder / SKETCH_TABLE, index=False
    )
    strokes = strokes_of_face(draw_face()[0], (0.1, 0.1, 0.9, 0.9))
    files.write(folder / "sketch/strokes/000007.npz", pack_strokes(strokes))
    return folder


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[SketchServer]:
    tool = Tool("explore", ToolOptions(workspace=workspace, quiet=True), StopRequest(), has_log=False)
    with answering(SketchServer(Artist(tool, workspace / "own.safetensors"), 0)) as server:
        yield server


def test_messages_and_what_is_wrong_with_them(server: SketchServer) -> None:
    with Tab(server.port) as tab:
        tab.check_files()
        state = json.loads(tab.get("/api/state")[1])
        assert (state["size"], state["templates"]) == (32, 1) and "hair" in state["colors"]
        status, answer = tab.post("/api/draw", {"strokes": LINE, "seeds": [0, 1], "check": True})
        assert status == 200 and len(answer["portraits"]) == 2 and answer["face"] is False
        for wrong, message in (
            ({"strokes": [], "seeds": [0]}, "no lines"),
            ({"strokes": LINE, "seeds": []}, "seeds are"),
            ({"strokes": LINE, "seeds": [True]}, "seeds are"),
            ({"strokes": LINE, "seeds": [0], "colors": {"hair": "brown"}}, "no colour"),
            ({"strokes": LINE, "seeds": [0], "colors": {"eyes": "#000000"}}, "colours are"),
            ({"strokes": [{"tool": "brush"}], "seeds": [0]}, "cannot be read"),
            ({"strokes": 3, "seeds": [0]}, "cannot be read"),
            ({"seeds": [0]}, "cannot be read"),
        ):
            status, answer = tab.post("/api/draw", wrong)
            assert status == 409 and message in answer["error"], wrong
        assert tab.post("/api/template", {"number": -1})[0] == 409


def test_pen_and_eraser() -> None:
    drawn = sheet(LINE)
    assert drawn[256, 256, 0] < 40 and drawn[256, 20, 0] == 255
    erased = sheet([*LINE, {"tool": "eraser", "width": 6, "points": [[0.5, 0.5]]}])
    assert erased[256, 256, 0] == 255 and erased[120, 120, 0] < 40
    with pytest.raises(UserError):
        sheet([{"tool": "pen", "width": 2, "points": [["a", "b"]]}])


def test_saved_files_and_their_command_give_the_same_portrait(server: SketchServer, tmp_path: Path) -> None:
    with Tab(server.port) as tab:
        setting = {"strokes": LINE, "seeds": [5], "colors": {"hair": "#203040"}}
        saved = tab.post("/api/save", setting)[1]
        assert tab.post("/api/save", setting)[1]["sketch"] != saved["sketch"]
    words = shlex.split(saved["command"])
    assert exit_code(REPOSITORY / words[1], *words[2:], "--out", tmp_path, "--no-measure") == 0
    again = np.asarray(Image.open(next(tmp_path.glob("*_seed000005.png")))).astype(int)
    assert np.abs(again - np.asarray(Image.open(saved["portrait"]))).max() <= 1
    assert "--from-image" in saved["dials"] and saved["portrait"] in saved["dials"]


def test_without_any_network_the_command_is_named(tmp_path: Path, capsys) -> None:
    script = REPOSITORY / "scripts/explore.py"
    missing = ("--sketch", "--workspace", tmp_path, "--network", tmp_path / "none.safetensors")
    assert exit_code(script, *missing) == 3
    assert "31_train_sketch_to_portrait" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        browser.call("Page.enable")
        yield browser


def drag(browser: Chromium, *points: tuple[float, float], touch: bool = False) -> None:
    """Draw on the sheet through points in shares of its side."""
    box = browser.evaluate("document.getElementById('canvas').getBoundingClientRect().toJSON()")
    places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in points]
    if touch:
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[places[0]])
        for place in places[1:]:
            browser.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[place])
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        return
    browser.call("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **places[0])
    for place in places[1:]:
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", **place)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **places[-1])


def ink(browser: Chromium, x: float, y: float) -> bool:
    """Whether there is a line at a place of the sheet."""
    context = "document.getElementById('canvas').getContext('2d')"
    return browser.evaluate(f"{context}.getImageData({x} * 512, {y} * 512, 1, 1).data[0]") < 128


@pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium or Chrome is installed (Debian: apt install chromium)"
)
def test_drawing_in_a_browser(server: SketchServer, browser: Chromium) -> None:
    browser.open(server.address, "document.body.dataset.ready === 'true'")
    assert browser.evaluate(f"{PORTRAIT} === ''")
    drag(browser, (0.3, 0.3), (0.3, 0.4), (0.35, 0.5))
    browser.wait_for(f"{PORTRAIT}.startsWith('data:image/png') && {NOTE}.includes('face is found')")
    assert ink(browser, 0.3, 0.35) and not ink(browser, 0.7, 0.35)
    first = browser.evaluate(PORTRAIT)
    browser.evaluate("document.getElementById('mirror').click()")
    drag(browser, (0.2, 0.6), (0.2, 0.8), touch=True)
    browser.wait_for(f"{PORTRAIT} !== {json.dumps(first)}")
    assert ink(browser, 0.2, 0.7) and ink(browser, 0.8, 0.7), "a finger draws, and the mirror too"
    browser.evaluate("document.querySelector('[value=eraser]').click()")
    drag(browser, (0.2, 0.6), (0.2, 0.8))
    assert not ink(browser, 0.2, 0.7) and not ink(browser, 0.8, 0.7)
    browser.press("z", control=True)
    assert ink(browser, 0.2, 0.7)
    browser.evaluate("document.getElementById('template').click()")
    browser.wait_for(
        "document.getElementById('portrait').src && !document.querySelector('#error:not([hidden])')"
    )
    browser.wait_for(
        "document.getElementById('canvas').getContext('2d').getImageData(0, 0, 512, 512).data"
        ".filter((value, index) => index % 4 === 0 && value < 128).length > 1500"
    )
    browser.evaluate("document.getElementById('several').click()")
    browser.wait_for("document.querySelectorAll('#others img').length === 5")
    before = browser.evaluate(PORTRAIT)
    browser.evaluate(
        "(() => { const field = document.getElementById('color-hair'); field.value = '#00ff00';"
        " field.dispatchEvent(new Event('input')); })()"
    )
    browser.wait_for(f"{PORTRAIT} !== {json.dumps(before)}")
    browser.evaluate("document.getElementById('save').click()")
    browser.wait_for("!document.getElementById('command').hidden")
    assert "32_draw_from_sketch.py" in browser.evaluate("document.getElementById('command').textContent")
    browser.evaluate("document.getElementById('clear').click()")
    browser.wait_for(f"!{PORTRAIT}")
    for width in (360, 1280):
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
        )
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    browser.call("Emulation.clearDeviceMetricsOverride")
