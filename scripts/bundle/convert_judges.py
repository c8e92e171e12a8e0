"""Convert published face networks to the files of data/photographs, from packages as registries ship them.

`data/photographs/README.md` has the commands that get the packages.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool

OUTPUT = "data/photographs"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Convert published face networks to the files of data/photographs."""

    packages: Path | None = option(None, help="folder of the three packages, as pip and npm save them")
    out: Path = option(REPOSITORY / OUTPUT, help="folder to write to")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import convert_judges

    convert_judges.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
