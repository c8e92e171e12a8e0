"""Measure the filter on candidates without labels, whose truth the oracle or a table tells."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool
from scripts.stages.workspace import BUNDLED_ORACLE


@dataclass(frozen=True)
class Options(ToolOptions):
    """Measure the filter on candidates without labels, whose truth the oracle or a table tells."""

    oracle: Path = option(REPOSITORY / BUNDLED_ORACLE, help="network that knows the truth")
    truth: Path | None = option(None, help="CSV with img_name, quality and gender instead of the oracle")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import validate_filter

    validate_filter.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
