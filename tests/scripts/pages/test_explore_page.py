"""The explorer in a real browser: dials, persons, versions, strips, photographs, two tabs, no overflow."""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pages.explorer.explorer import Explorer
from scripts.pages.explorer.server import ExploreServer
from scripts.pipeline import REPOSITORY
from scripts.stages import workspace as paths
from scripts.stages.regenerating.regenerator import Regenerator, exact
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.projection import ProjectionRecipe
from tests.processes import ScriptProcess, wait_until
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.explore_workspace import (
    make_tool,
    make_workspace,
    photograph,
    pixels,
    quick_explorer,
    regenerated,
    run_command,
    serving,
)

CHROMIUM = find_chromium()
SCRIPT = REPOSITORY / "scripts/explore.py"
COMMAND = "document.getElementById('command').textContent"
ERROR = "document.getElementById('error-text').textContent"
STATUS = "document.getElementById('status').textContent"
NOW, BEFORE = (f"document.querySelector('#{name} img').src" for name in ("now", "previous"))
COLLECT_ERRORS = """
  window.errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
  console.error = console.warn = (...words) => errors.push(words.join(" "));
"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium or Chrome is installed (Debian: apt install chromium)"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("page") / "workspace")


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[ExploreServer]:
    with serving(quick_explorer(workspace)) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        browser.call("Page.enable")
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=COLLECT_ERRORS)
        yield browser


@pytest.fixture
def chromium(server: ExploreServer, browser: Chromium) -> Iterator[Chromium]:
    """The page as it opens; nothing may have gone wrong in it when the test is over."""
    open_page(browser, server.address)
    yield browser
    assert browser.evaluate("errors") == []


def open_page(browser: Chromium, address: str) -> None:
    browser.open("about:blank", "true")  # another # alone would not load the page again
    browser.open(address, f"{COMMAND} && {NOW}")


def click(chromium: Chromium, selector: str) -> None:
    chromium.evaluate(f"document.querySelector('{selector}').click()")


def wait_for_command(chromium: Chromium, *words: str) -> None:
    """Wait until the picture is one whose command line has these words."""
    chromium.wait_for(f"{json.dumps(words)}.every((word) => {COMMAND}.includes(word))")


def wait_for_file(folder: Path, pattern: str) -> Path:
    """The first file of this name that a download completes."""
    deadline = time.monotonic() + 60
    while not (found := list(folder.glob(pattern))):
        assert time.monotonic() < deadline, f"no {pattern} in {folder}"
        time.sleep(0.05)
    return found[0]


def test_a_dial_turns_by_keys_and_comes_back(chromium: Chromium) -> None:
    wait_for_command(chromium, "--version v3", "--seeds 0 ")
    opened, pixels = chromium.evaluate(COMMAND), chromium.evaluate(NOW)
    assert chromium.evaluate("document.querySelector('#previous button').disabled")
    chromium.evaluate("document.getElementById('range-mouth').focus()")
    chromium.press("0")
    wait_for_command(chromium, "--mouth 0.0 ")
    chromium.press("ArrowRight")
    chromium.press("ArrowRight", shift=True)
    wait_for_command(chromium, "--mouth 0.11 ")
    assert chromium.evaluate("document.activeElement.getAttribute('aria-valuetext')").startswith("0.11, from")
    assert chromium.evaluate(NOW) != pixels
    assert chromium.evaluate(BEFORE) == pixels  # all of this was one change
    chromium.evaluate("document.activeElement.dispatchEvent(new Event('dblclick'))")
    wait_for_command(chromium, "--mouth 0.0 ")
    chromium.press("z", control=True)
    chromium.wait_for(f"{COMMAND} === {json.dumps(opened)}")
    assert chromium.evaluate("document.getElementById('undo').disabled")
    chromium.press("z", shift=True, control=True)
    wait_for_command(chromium, "--mouth 0.0 ")
    click(chromium, "#reset")
    chromium.wait_for(f"{COMMAND} === {json.dumps(opened)} && {NOW} === {json.dumps(pixels)}")


def test_only_the_newest_position_is_asked_for(chromium: Chromium) -> None:
    chromium.evaluate("performance.clearResourceTimings()")
    chromium.evaluate("""{
      const range = document.getElementById("range-pose");
      for (let step = 0; step <= 100; step += 1) {
        range.value = step / 100;
        range.dispatchEvent(new Event("input"));
      }
    }""")
    wait_for_command(chromium, "--pose 1.0 ")
    asked = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert 1 <= sum(name.endswith("/api/picture") for name in chromium.evaluate(asked)) <= 3


def test_the_base_picture_follows_a_person_who_comes_back_before_the_other_was_drawn(
    chromium: Chromium,
) -> None:
    caption = "document.querySelector('#base span').textContent"
    chromium.wait_for(f"{caption} === 'no dials, seed 0'")
    chromium.evaluate("performance.clearResourceTimings()")
    chromium.evaluate("""{
      const seed = document.getElementById("seed");
      seed.value = 5;
      seed.dispatchEvent(new Event("change"));
      document.getElementById("undo").click();
    }""")
    asked = "performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/api/picture'))"
    chromium.wait_for(f"{asked}.length === 4")  # both pictures of both persons
    chromium.wait_for(f"{caption} === 'no dials, seed 0'")


def test_a_strip_gives_its_dial_the_value_of_a_picture(chromium: Chromium) -> None:
    buttons = "[...document.querySelectorAll('#strip button')]"
    click(chromium, '[aria-label="Strip along mouth"]')
    chromium.wait_for(f"{buttons}.length === 7 && !document.getElementById('strip-panel').hidden")
    value, png = chromium.evaluate(f"[{buttons}[6].textContent, {buttons}[6].querySelector('img').src]")
    chromium.evaluate(f"{buttons}[6].click()")
    wait_for_command(chromium, f"--mouth {float(value)} ")
    assert chromium.evaluate(f"{buttons}.findIndex((one) => one.ariaCurrent === 'true')") == 6
    assert chromium.evaluate(f"[{NOW}, {buttons}[6].querySelector('img').src]") == [png, png]
    click(chromium, "#dice")  # the strip follows the person
    chromium.wait_for(f"{buttons}[6].querySelector('img').src !== {json.dumps(png)}")
    click(chromium, '[aria-label="Strip along mouth"]')
    assert chromium.evaluate("document.getElementById('strip-panel').hidden")


def test_what_is_held_stays(chromium: Chromium) -> None:
    dials = "[...document.querySelectorAll('.dial [type=range]')].map((range) => range.value)"
    at_first = chromium.evaluate(dials)
    click(chromium, "#hold")
    assert chromium.evaluate("document.getElementById('seed').disabled")
    assert "seed 0 is held" in chromium.evaluate("document.getElementById('held').textContent")
    click(chromium, "#dice")
    assert sum(a != b for a, b in zip(chromium.evaluate(dials), at_first, strict=True)) >= 6
    held = chromium.evaluate(dials)
    click(chromium, "#versions [value=v1]")
    wait_for_command(chromium, "--version v1", "--seeds 0 ")
    assert chromium.evaluate("document.getElementById('own').hidden")
    click(chromium, "#hold")
    click(chromium, "#dice")
    chromium.wait_for(f"!{COMMAND}.includes('--seeds 0 ')")
    assert chromium.evaluate(dials) == held
    assert "The dials are kept" in chromium.evaluate("document.getElementById('held').textContent")
    other, seed = chromium.evaluate(COMMAND), chromium.evaluate("document.getElementById('seed').value")
    click(chromium, "#previous button")
    wait_for_command(chromium, "--version v1", "--seeds 0 ")
    click(chromium, "#hold")
    click(chromium, "#undo")
    assert "this one is held" in chromium.evaluate(STATUS)
    click(chromium, "#hold")
    click(chromium, "#undo")
    chromium.wait_for(f"{COMMAND} === {json.dumps(other)}")
    chromium.wait_for(f"document.querySelector('#base span').textContent === 'no dials, seed {seed}'")
    click(chromium, "#versions [value=base]")
    wait_for_command(chromium, "--version base")
    assert chromium.evaluate("[...document.querySelectorAll('.dial input')].every((one) => one.disabled)")


def test_the_picture_before_shows_while_now_is_pressed(chromium: Chromium) -> None:
    before = chromium.evaluate(NOW)
    chromium.evaluate("document.getElementById('range-pose').focus()")
    chromium.press("ArrowRight")
    chromium.wait_for(f"{NOW} !== {json.dumps(before)}")
    now = chromium.evaluate(NOW)
    chromium.hold("#now button", True)
    assert chromium.evaluate(NOW) == before
    chromium.hold("#now button", False)
    assert chromium.evaluate(NOW) == now


def test_an_address_shows_the_same_picture_beside_another_tab(server, chromium: Chromium) -> None:
    address = f"{server.address}#version=v2&seed=11&mouth=0.5&pose=99&eyes=wide&ears=1"
    open_page(chromium, address)
    wait_for_command(chromium, "--version v2", "--seeds 11 ", "--mouth 0.5 ")
    chromium.wait_for("location.hash.includes('background_std=')")
    png, whole = chromium.evaluate(NOW), chromium.evaluate("location.href")
    tab = chromium.call("Target.createTarget", url=whole)["targetId"]
    with chromium.other_page(tab):
        chromium.wait_for(f"document.querySelector('#now img')?.src && {NOW} === {json.dumps(png)}")
    chromium.evaluate("location.hash = '#version=v3&seed=12'")  # the first tab goes on
    wait_for_command(chromium, "--version v3", "--seeds 12 ", "--mouth 0.5 ")


def test_a_photograph_is_edited_saved_and_made_again(chromium: Chromium, workspace, tmp_path: Path) -> None:
    face = tmp_path / "face.png"
    face.write_bytes(photograph())
    chromium.give_files("#file", face)
    wait_for_command(chromium, "--version v3", "--person", "face_")
    assert chromium.evaluate("document.querySelector('#base strong').textContent") == "Photograph"
    chromium.wait_for("document.getElementById('search').hidden")
    (file,) = (workspace / "explorer/people").glob("face_*")
    person = Regenerator(make_tool(workspace), "v3").found(file)
    dials = zip(PROPERTY_NAMES, person.own, strict=True)
    # The dials went along with the search, so that the picture is the person who was found.
    wait_for_command(chromium, *(f"--{name.replace('_', '-')} {exact(value)} " for name, value in dials))
    np.testing.assert_array_equal(pixels(chromium.evaluate(NOW).partition(",")[2]), person.picture)
    own = chromium.evaluate(COMMAND)
    click(chromium, "#reset")
    chromium.wait_for(f"{COMMAND} !== {json.dumps(own)}")
    chromium.wait_for("location.hash.includes('photograph=face_')")
    chromium.call("Page.reload")
    chromium.wait_for(f"document.readyState === 'complete' && {COMMAND}.includes('--person')")
    click(chromium, "#versions [value=v1]")
    assert "Only v3" in chromium.evaluate(ERROR)
    chromium.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(chromium, "#save")
    chromium.wait_for(f"{STATUS}.startsWith('Saved')")
    chromium.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    chromium.call("Page.bringToFront")
    click(chromium, "#copy")
    chromium.wait_for(f"{STATUS}.startsWith('Copied')")
    copied = chromium.evaluate("navigator.clipboard.readText()")
    with Image.open(wait_for_file(tmp_path, "v3_face_*.png")) as saved:
        assert json.loads(saved.text["Settings"])["from_image"].startswith("face_")
        assert saved.text["Command"] == copied
        saved_pixels = np.asarray(saved)
    assert run_command(copied, "--no-measure", "--quiet") == 0
    np.testing.assert_array_equal(regenerated(workspace)[0], saved_pixels)
    click(chromium, "#seeds-again")
    wait_for_command(chromium, "--version v3", "--seeds 0 ")


DROP = """{{
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array({content})], {name}, {{ type: "image/png" }}));
  for (const kind of ["dragover", "drop"])
    dispatchEvent(new DragEvent(kind, {{ dataTransfer: files, cancelable: true }}));
}}"""


def drop(chromium: Chromium, content: bytes, name: str) -> None:
    chromium.evaluate(DROP.format(content=list(content), name=json.dumps(name)))


def test_a_search_shows_how_far_it_is_and_stops(workspace: Path, chromium: Chromium, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "slow")
    slow = Explorer(make_tool(tmp_path / "slow"), recipe=ProjectionRecipe(w_steps=10**6), tune_steps=0)
    with closing(slow), serving(slow) as server:
        open_page(chromium, server.address)
        drop(chromium, photograph(seed=3), "slow.png")
        wait_for_command(chromium, "--person", "slow_")
        first = chromium.evaluate(NOW)
        chromium.wait_for(f"!document.getElementById('search').hidden && {NOW} !== {json.dumps(first)}")
        assert "step" in chromium.evaluate("document.querySelector('#search span').textContent")
        box = "document.getElementById('search').getBoundingClientRect()"
        assert chromium.evaluate(f"{box}.height > 10 && {box}.bottom < innerHeight")  # seen without scrolling
        chromium.evaluate("""{
          const range = document.getElementById("range-pose");
          range.value = 1.23;
          range.dispatchEvent(new Event("input"));
        }""")
        wait_for_command(chromium, "--pose 1.23 ")  # dials turn while it goes on
        click(chromium, "#search button")
        chromium.wait_for("document.getElementById('search').hidden")
        wait_for_command(chromium, "--pose 1.23 ")


def test_what_is_wrong_with_a_photograph_is_told(chromium: Chromium) -> None:
    drop(chromium, b"no picture", "notes.png")
    chromium.wait_for(f"{ERROR}.includes('cannot be edited')")
    chromium.evaluate("Object.defineProperty(File.prototype, 'size', { value: 1e9, configurable: true }); 0")
    drop(chromium, photograph(), "huge.png")
    chromium.wait_for(f"{ERROR}.includes('huge.png is larger than 36 MB')")
    chromium.evaluate("delete File.prototype.size; document.getElementById('dismiss').click()")
    drop(chromium, photograph(48, 40), "sky.png")
    chromium.wait_for(f"{ERROR}.includes('No face was found in sky.png')")
    wait_for_command(chromium, "--person", "sky_")


def test_the_page_goes_on_when_explore_is_started_again(workspace, chromium: Chromium, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    arguments = ("--workspace", workspace, "--port", port, "--no-browser", "--device", "cpu")
    address = f"http://127.0.0.1:{port}/"
    first = ScriptProcess(SCRIPT, *arguments, folder=tmp_path)
    wait_until(lambda: is_listening(port), first)
    open_page(chromium, address)
    click(chromium, "#dice")
    chromium.wait_for(f"!{COMMAND}.includes('--seeds 0 ')")
    png = chromium.evaluate(NOW)
    first.kill()
    first.wait()
    chromium.evaluate("window.isOld = true")
    click(chromium, "#versions [value=v2]")
    chromium.wait_for(f"{ERROR}.includes('does not answer') && {ERROR}.includes('--port {port}')")
    assert chromium.evaluate("document.querySelector('main').inert")
    second = ScriptProcess(SCRIPT, *arguments, folder=tmp_path)
    wait_until(lambda: is_listening(port), second)
    chromium.wait_for(f"!window.isOld && document.readyState === 'complete' && {COMMAND}.includes('v2')")
    assert chromium.evaluate("document.getElementById('error').hidden")
    click(chromium, "#versions [value=v3]")
    chromium.wait_for(f"{NOW} === {json.dumps(png)}")
    click(chromium, "#close")
    chromium.wait_for(f"{STATUS}.startsWith('Closed')")
    assert second.wait().returncode == 0


def is_listening(port: int) -> bool:
    """Whether anything answers on a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_workspace_without_v3_says_what_makes_it(workspace, chromium: Chromium, tmp_path: Path) -> None:
    young = tmp_path / "young"
    shutil.copytree(workspace, young)
    missing = {"v3": ("#versions [value=v3]", "07_fine_tune_v3.py"), "v2": ("#upload", "06_fine_tune_v2.py")}
    for version, (selector, maker) in missing.items():
        (young / paths.FINE_TUNED[version]).unlink()
        with serving(Explorer(make_tool(young))) as server:
            open_page(chromium, server.address)
            newest = chromium.evaluate("document.querySelector('#versions :checked').value")
            click(chromium, selector)
            assert maker in chromium.evaluate(ERROR)
            click(chromium, "#dismiss")
            assert chromium.evaluate("document.querySelector('#versions :checked').value") == newest


def test_nothing_is_wider_than_a_phone_or_comes_from_elsewhere(server, chromium: Chromium) -> None:
    click(chromium, '[aria-label="Strip along pose"]')
    chromium.wait_for("!document.getElementById('strip-panel').hidden")
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
    chromium.call("Emulation.clearDeviceMetricsOverride")
    names = chromium.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names and all(name.startswith((server.address, "data:")) for name in names)
    unnamed = """[...document.querySelectorAll("button, input:not([hidden])")].filter((one) =>
      !(one.ariaLabel || one.textContent.trim() || one.labels?.length || one.querySelector("img[alt]")))"""
    assert chromium.evaluate(f"{unnamed}.map((one) => one.outerHTML)") == []
