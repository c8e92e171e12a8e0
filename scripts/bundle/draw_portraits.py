"""Draw procedural portraits: a contact sheet with the label map beside every portrait."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Tool, ToolOptions, files, option, run_tool
from scripts.stages.sheets import contact_sheet

# isort: split
import numpy as np  # behind `scripts`, which says in a sentence where it is missing

from data import portraits


@dataclass(frozen=True)
class Options(ToolOptions):
    """Draw procedural portraits with their label maps on one contact sheet."""

    count: int = option(32, help="portraits to draw")
    size: int = option(128, help="pixels per side, 64 to 256")
    seed: int = option(0, help="portrait n has the seed SEED + n")
    columns: int = option(8, help="portraits per row")
    processes: int = option(1, help="processes that draw at the same time", affects_results=False)
    labels: bool = option(True, help="show the label map beside every portrait")
    out: Path = option(Path("portraits.png"), help="the PNG file to write")

    def __post_init__(self) -> None:
        if self.count < 1 or self.columns < 1 or not 64 <= self.size <= 256:
            raise ValueError("--count and --columns must be at least 1 and --size 64 to 256.")


def run(tool: Tool, options: Options) -> None:
    """Draw the portraits, write the sheet and say how fast it went."""
    start = time.perf_counter()
    seeds = range(options.seed, options.seed + options.count)
    drawn = portraits.render_many(seeds, options.size, options.processes)
    rate = options.count / (time.perf_counter() - start)
    cells = drawn.images
    if options.labels:
        cells = np.concatenate([cells, portraits.PALETTE[drawn.label_maps]], axis=2)
    files.write(options.out, contact_sheet(cells, options.columns))
    tool.finish({"speed": f"{rate:.1f} portraits per second"}, [str(options.out)])
    tool.log(f"{options.count} portraits of {options.size} px, {rate:.1f} per second: {options.out}")


if __name__ == "__main__":
    run_tool(Options, run)
