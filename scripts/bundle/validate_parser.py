"""Judge a parser of the embedded preset: on held-out portraits, and on generated pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool
from scripts.stages.workspace import BUNDLED_GENERATOR, BUNDLED_PARSER


@dataclass(frozen=True)
class Options(ToolOptions):
    """Judge a parser of the embedded preset: on held-out portraits, and on generated pictures."""

    parser: Path = option(REPOSITORY / BUNDLED_PARSER, help="weights to judge")
    portraits: int = option(500, help="held-out portraits, whose label maps are exact")
    weights: Path = option(REPOSITORY / BUNDLED_GENERATOR, help="generator of the other pictures")
    pictures: int = option(500, help="generated pictures, of which the mirrored ones must be parsed alike")
    seed: int = option(0, help="generated picture n is made from the seed plus n")

    def __post_init__(self) -> None:
        if self.portraits < 1 or self.pictures < 1:
            raise ValueError("--portraits and --pictures must be at least 1.")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import validate_parser

    validate_parser.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
