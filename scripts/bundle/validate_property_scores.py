"""Measure how well the property scores read portraits whose true properties are known.

For each algorithm and property: the correlation with the truth over different people and within one person
whose property is swept, how much of the score other properties explain, and how far wrong pixels in the label
map move it.
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
    """Measure how well the property scores read portraits whose true properties are known."""

    count: int = option(2000, help="portraits of different people")
    people: int = option(40, help="people of whom each property is swept by itself; 0: no sweeps")
    levels: int = option(5, help="values of a swept property, from its 5 % to its 95 % quantile")
    size: int = option(128, help="width and height of a portrait in pixels, 64 to 256")
    first_seed: int = option(3_000_000, help="seed of the first portrait")
    masks: Literal["true", "parser"] = option("true", help="label maps: the drawing's own, or the parser's")
    noise: float = option(0.002, help="share of the label map's pixels that get a random class")
    processes: int = option(1, help="processes that draw")

    def __post_init__(self) -> None:
        if self.count < 16 or self.people < 0 or self.levels < 3:
            raise ValueError("--count must be at least 16, --people at least 0 and --levels at least 3.")
        if not 64 <= self.size <= 256 or not 0 <= self.noise < 1:
            raise ValueError("--size must be 64 to 256 pixels, and --noise a share from 0 to below 1.")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import validate_property_scores

    validate_property_scores.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
