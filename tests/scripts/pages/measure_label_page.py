"""How long the label page keeps a person waiting: answers driven by keys in a headless Chromium.

    python tests/scripts/pages/measure_label_page.py data/runs/embedded

Works on a copy of the workspace's candidates; nothing in the workspace changes.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from scripts.pages.labelling.server import LabelServer
from scripts.stages.workspace import CANDIDATES
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.label_workspace import Sessions
from tests.scripts.pages.page_serving import answering

WANTED_S = 180.0  # for 100 pictures
SHOWN = "document.querySelector('#frame img')?.naturalWidth > 0"
# From the key to the frame after the one in which the next picture was put up.
WATCH = """
window.waits = [];
performance.setResourceTimingBufferSize(10000);
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
TO_DISK = """performance.getEntriesByType("resource")
  .filter((entry) => entry.name.endsWith("/api/label")).map((entry) => entry.duration)"""


def drive(chromium: Chromium, count: int) -> tuple[list[float], list[float], float]:
    """Milliseconds to the next picture and to the disk per answer, and seconds of it all."""
    chromium.evaluate(WATCH)
    started = time.monotonic()
    for n in range(count):
        chromium.press("fm"[n % 2])
        chromium.wait_for(f"waits.length === {n + 1}")
    seconds = time.monotonic() - started
    chromium.wait_for(f"{TO_DISK}.length === {count}")
    return chromium.evaluate("waits"), chromium.evaluate(TO_DISK), seconds


def copy_candidates(source: Path, target: Path) -> None:
    """The pictures and their table."""
    (target / CANDIDATES).parent.mkdir(parents=True)
    shutil.copy(source / CANDIDATES, target / CANDIDATES)
    (target / "stylegan/synthesize_results").symlink_to(source / "stylegan/synthesize_results")


def main() -> None:
    """Drive the page and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, help="one in which 01_generate_candidates has finished")
    parser.add_argument("--count", type=int, default=100, help="pictures to label")
    options = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit("No Chromium or Chrome is installed. Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        copy_candidates(options.workspace.resolve(), Path(folder) / "workspace")
        with (
            Sessions(Path(folder) / "workspace") as sessions,
            answering(LabelServer(sessions.start(count=options.count + 1), 0)) as server,
            Chromium(program, Path(folder) / "profile") as chromium,
        ):
            chromium.open(server.address, SHOWN)
            waits, to_disk, seconds = drive(chromium, options.count)
    for name, values in (("key to next picture", waits), ("key to disk", to_disk)):
        middle, high = np.percentile(values, (50, 95))
        print(f"{name}: median {middle:.0f} ms, 95th percentile {high:.0f} ms (n = {len(values)})")
    left_s = WANTED_S / 100 - float(np.mean(waits)) / 1000
    print(f"{options.count} answers driven one after the other: {seconds:.1f} s")
    print(f"for 100 pictures in {WANTED_S:.0f} s a person has {left_s:.2f} s to decide on each")


if __name__ == "__main__":
    main()
