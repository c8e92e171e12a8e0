"""Draw portraits from sketches: files of your own, drawn on screen or paper, or those of the test split."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool
from scripts.stages.workspace import SKETCH_DRAWN, SKETCH_NETWORK

# isort: split
import tyro  # behind `scripts`, which says in a sentence where it is missing

COLOR_HELP = "#rrggbb; None: that of a person whom the network learned from, by seed"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Draw portraits from sketches; several seeds give several plausible people."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = option(
        (), help="pictures of sketches, white on black or black on white; none: sketches of the test split"
    )
    seeds: str = option("0-3", help="portraits of each sketch: numbers and ranges, such as 0-3 or 3,7,20-24")
    hair: str | None = option(None, help=COLOR_HELP)
    skin: str | None = option(None, help=COLOR_HELP)
    clothes: str | None = option(None, help=COLOR_HELP)
    background: str | None = option(None, help="#rrggbb of both sides that are not given themselves")
    background_left: str | None = option(None, help=COLOR_HELP)
    background_right: str | None = option(None, help=COLOR_HELP)
    network: Path | None = option(
        None, help=f"network file, or a .pt of the document; None: <workspace>/{SKETCH_NETWORK}, else ours"
    )
    measure: bool = option(
        True, help="look for a face in every portrait (MTCNN), and say where there is none"
    )
    scale: int = option(2, help="enlargement of the pictures in grid.png")
    out: Path | None = option(None, help=f"folder of the results; None: <workspace>/{SKETCH_DRAWN}")

    def __post_init__(self) -> None:
        self.need_at_least(1, "scale")


def run(tool: Tool, options: Options) -> None:
    """Draw and save the portraits, their table and the sheet."""
    from scripts.stages.sketching.drawing import draw_from_sketches

    draw_from_sketches(tool, options)


if __name__ == "__main__":
    run_tool(Options, run, account="if possible")
