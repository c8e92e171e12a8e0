"""Draw what each property score measures on a picture: regions, lines and lengths of algorithm 3."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool

OUTPUT = "data/embedded/score_geometry.png"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Draw what each property score measures on a picture: regions, lines and lengths of algorithm 3."""

    seed: int = option(3_000_248, help="portrait that is measured")
    size: int = option(256, help="width and height of the portrait in pixels, 64 to 256")
    out: Path = option(REPOSITORY / OUTPUT, help="PNG to write")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import draw_score_geometry

    draw_score_geometry.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
