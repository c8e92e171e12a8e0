"""How long the pages keep a person waiting, driven in a headless Chromium.

    python tests/scripts/pages/measure_pages.py explore data/runs/embedded
    python tests/scripts/pages/measure_pages.py label data/runs/embedded

Timed from the event at a slider, or the key, to the frame after the one in which the new picture was put up.
Labels are given in a copy of the workspace's candidates; nothing in the workspace changes.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from scripts.pages.explorer.explorer import Explorer
from scripts.pages.labelling.server import LabelServer
from scripts.pipeline import Tool, ToolOptions
from scripts.pipeline.console import StopRequest
from scripts.stages.workspace import CANDIDATE_PICTURES, CANDIDATES
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.explore_workspace import serving
from tests.scripts.pages.label_workspace import Sessions
from tests.scripts.pages.page_serving import answering

CHOOSE = "document.querySelector('#versions [value={version}]').click()"
CHOSEN = "document.getElementById('command').textContent.includes('--version {version} ')"
# Turns mouth and pose in turn, one step at a time, and waits for each picture.
TURN = """(async () => {{
  const image = document.querySelector("#now img"), waits = [];
  for (let n = 0; n < {count}; n += 1) {{
    const range = document.getElementById(n % 2 ? "range-mouth" : "range-pose");
    const shown = new Promise((resolve) => image.addEventListener("load", resolve, {{ once: true }}));
    range.value = ((n * 37) % 100) / 100;
    const turned = performance.now();
    range.dispatchEvent(new Event("input"));
    await shown;
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    waits.push(performance.now() - turned);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }}
  return waits;
}})()"""
WATCH_KEYS = """
window.waits = [];
addEventListener("keydown", () => {
  const pressed = performance.now(), before = document.querySelector("#frame img").alt;
  const look = () => requestAnimationFrame(() => {
    const image = document.querySelector("#frame img");
    if (image && image.alt !== before && image.complete)
      requestAnimationFrame(() => waits.push(performance.now() - pressed));
    else look();
  });
  look();
}, true);
true"""


def tell(name: str, waits: list[float]) -> None:
    """Print the figures of one kind of waiting, in milliseconds."""
    middle, high = np.percentile(waits, (50, 95))
    print(
        f"{name}: median {middle:.0f} ms, 95 % {high:.0f} ms, largest {max(waits):.0f} ms (n = {len(waits)})"
    )


def explore(chromium: Chromium, options: argparse.Namespace) -> None:
    """Turn the dials of every version."""
    tool = Tool("explore", ToolOptions(workspace=options.workspace, threads=1, quiet=True), StopRequest())
    explorer = Explorer(tool)
    explorer.load_all()
    with serving(explorer) as server:
        chromium.open(server.address, "document.querySelector('#now img')?.naturalWidth > 0")
        for version in [version for version in explorer.versions if version != "base"]:
            chromium.evaluate(CHOOSE.format(version=version))
            chromium.wait_for(CHOSEN.format(version=version))
            tell(version, chromium.evaluate(TURN.format(count=options.count)))


def label(chromium: Chromium, options: argparse.Namespace) -> None:
    """Answer by keys."""
    with tempfile.TemporaryDirectory() as folder:
        workspace, source = Path(folder), options.workspace.resolve()
        (workspace / CANDIDATES).parent.mkdir(parents=True)
        shutil.copy(source / CANDIDATES, workspace / CANDIDATES)
        (workspace / CANDIDATE_PICTURES).symlink_to(source / CANDIDATE_PICTURES)
        with (
            Sessions(workspace) as sessions,
            answering(LabelServer(sessions.start(count=options.count + 1), 0)) as server,
        ):
            chromium.open(server.address, "document.querySelector('#frame img')?.naturalWidth > 0")
            chromium.evaluate(WATCH_KEYS)
            for n in range(options.count):
                chromium.press("fm"[n % 2])
                chromium.wait_for(f"waits.length === {n + 1}")
            tell("key to next picture", chromium.evaluate("waits"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("page", choices=("explore", "label"))
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--count", type=int, default=100, help="turns per generator, or pictures to label")
    given = parser.parse_args()
    if not (program := find_chromium()):
        sys.exit("No Chromium or Chrome is installed. Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as profile, Chromium(program, Path(profile)) as browser:
        (explore if given.page == "explore" else label)(browser, given)
