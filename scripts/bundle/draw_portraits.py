"""Draw procedural portraits: a contact sheet with the label map beside every portrait."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool


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


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import draw_portraits

    draw_portraits.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
