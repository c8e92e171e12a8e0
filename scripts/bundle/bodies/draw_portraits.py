"""What draw_portraits does: portraits on one sheet, and how fast they were drawn."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from data import portraits
from scripts.pipeline import Tool, UsageError, files
from scripts.pipeline.console import script_command
from scripts.pipeline.pictures import contact_sheet


def run(tool: Tool, options: Any) -> None:
    """Draw the portraits, write the sheet and say how fast it went."""

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
    files.write(options.out, contact_sheet(cells, options.columns))
    tool.finish({"speed": f"{rate:.1f} portraits per second"}, [str(options.out)])
    tool.log(f"{options.count} portraits of {options.size} px, {rate:.1f} per second: {options.out}")
