"""Draw procedural portraits: a contact sheet with the label map beside every portrait."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Tool, ToolOptions, UsageError, option, run_tool
from scripts.pipeline.console import script_command
from scripts.pipeline.files import save_image
from scripts.pipeline.pictures import contact_sheet


@dataclass(frozen=True)
class Options(ToolOptions):
    """Draw procedural portraits with their label maps on one contact sheet."""

    count: int = option(32, help="portraits to draw")
    size: int = option(128, help="pixels per side, 64 to 256")
    seed: int = option(0, help="portrait n has the seed SEED + n")
    columns: int = option(8, help="portraits per row")
    processes: int = option(1, help="processes that draw at the same time", affects_results=False)
    labels: bool = option(True, help="show the label map beside every portrait")
    output: Path = option(Path("portraits.png"), help="the PNG file to write")


def run(tool: Tool, options: Options) -> None:
    """Draw the portraits, write the sheet and say how fast it went."""
    import numpy as np

    from data import portraits

    if options.count < 1 or options.columns < 1 or not 64 <= options.size <= 256:
        raise UsageError(
            "--count and --columns must be at least 1 and --size 64 to 256, or there is nothing to draw. "
            f"Type\n    {script_command(tool.name, '--count', '32', '--size', '128')}"
        )
    start = time.perf_counter()
    drawn = portraits.render_many(
        range(options.seed, options.seed + options.count), options.size, options.processes
    )
    rate = options.count / (time.perf_counter() - start)
    cells = drawn.images
    if options.labels:
        cells = np.concatenate([cells, portraits.PALETTE[drawn.label_maps]], axis=2)
    save_image(options.output, contact_sheet(cells, options.columns))
    tool.finish({"speed": f"{rate:.1f} portraits per second"}, [str(options.output)])
    tool.log(f"{options.count} portraits of {options.size} px, {rate:.1f} per second: {options.output}")


if __name__ == "__main__":
    run_tool(Options, run)
