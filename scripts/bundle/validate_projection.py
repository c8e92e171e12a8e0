"""Measure how well project_photos finds people whom the generator never drew, and how they can be edited.

Drawn portraits, whose dials are known, or a folder of photographs. Judges: the face parser with algorithm 3,
and a network of identity that is in no loss.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool


@dataclass(frozen=True)
class Options(ToolOptions):
    """Measure how well project_photos finds people whom the generator never drew; resumes."""

    photos: Path | None = option(None, help="folder of photographs; None: drawn portraits")
    people_by_name: bool = option(
        False, help='photographs whose names agree up to the first "_" show one person'
    )
    count: int = option(100, help="portraits to draw")
    first_seed: int = option(53_000_000, help="seed of the first portrait")
    align: bool = option(
        False, help="cut the portraits' faces out as those of photographs, instead of giving them whole"
    )
    version: Literal["v2", "v3"] = option("v2", help="generator")
    w_steps: int = option(50, help="see project_photos")
    wp_steps: int = option(90, help="see project_photos")
    tune: int = option(60, help="see project_photos; figures without tuning are given as well")
    low_resolution: int = option(0, help="see project_photos")
    batch_size: int = option(8, help="faces sought at once")
    editing: int = option(24, help="people whose dials are turned, one by one over five values; 0: nobody")
    judge: Path | None = option(None, help="network that judges who is shown; None: the workspace's oracle")
    out: Path | None = option(None, help="folder of the results; None: <workspace>/validate_projection")
    force: bool = option(False, help="start over", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(2, "count")
        self.need_at_least(0, "editing")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import validate_projection

    validate_projection.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
