"""Measure the speed of the project's parts, each against the plain way of doing the same."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool

AREAS = ("stylegan", "stylegan2", "fine_tuning", "cnn", "segmentation", "scores", "sketch")


@dataclass(frozen=True)
class Options(ToolOptions):
    """Measure the speed of the project's parts, each against the plain way of doing the same."""

    only: tuple[str, ...] = option(AREAS, help=f"areas to measure, of {', '.join(AREAS)}")
    quick: bool = option(False, help="fewer cases and repeats")
    growth: bool = option(
        False,
        help="instead, how each stage grows: time and memory at 1, 4 and 16 times the pictures",
    )

    def __post_init__(self) -> None:
        unknown = [area for area in self.only if area not in AREAS]
        if unknown or not self.only:
            raise ValueError(f"--only takes one or more of {', '.join(AREAS)}; {unknown} is not among them.")


def run(tool: Tool, options: Options) -> None:
    from scripts.stages.benchmarks import body, growth

    if options.growth:
        growth.measure(tool)
    else:
        body.measure(tool, options.only, options.quick)


if __name__ == "__main__":
    run_tool(Options, run)
