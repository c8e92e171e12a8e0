"""How long the explorer keeps a person waiting: dials turned in a headless Chromium, pictures over HTTP.

    python tests/scripts/pages/measure_explore_page.py data/runs/embedded

Each turn is timed from the event at the slider to the frame after the one in which the new picture was put
up. Nothing in the workspace changes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from scripts.pages.explorer.explorer import Explorer
from scripts.pipeline import Tool, ToolOptions
from scripts.pipeline.console import StopRequest
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.explore_workspace import serving

WANTED_MS = 150.0
SHOWN = "document.querySelector('#now img')?.naturalWidth > 0"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--count", type=int, default=100, help="turns per generator")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, as of explore.py")
    given = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit(
            "No Chromium or Chrome is installed, so nothing can be measured. Debian: apt install chromium"
        )
    options = ToolOptions(workspace=given.workspace, threads=given.threads, quiet=True)
    explorer = Explorer(Tool("explore", options, StopRequest()))
    explorer.load_all()
    with (
        tempfile.TemporaryDirectory() as profile,
        serving(explorer) as server,
        Chromium(program, Path(profile)) as chromium,
    ):
        chromium.open(server.address, SHOWN)
        for version in [version for version in explorer.versions if version != "base"]:
            chromium.evaluate(CHOOSE.format(version=version))
            chromium.wait_for(CHOSEN.format(version=version))
            waits = np.array(chromium.evaluate(TURN.format(count=given.count)))
            print(
                f"{version}: median {np.median(waits):.0f} ms, 95 % {np.percentile(waits, 95):.0f} ms, "
                f"largest {waits.max():.0f} ms; within {WANTED_MS:.0f} ms: "
                f"{np.mean(waits <= WANTED_MS):.0%} of {len(waits)}"
            )


if __name__ == "__main__":
    main()
