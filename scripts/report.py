"""Write report.html: the story of a run in one file, to look at rather than to read."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import MissingInputError, Tool, ToolOptions, option, run_tool

REPORT = "report.html"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Write report.html into the workspace; it holds all pictures and needs nothing beside it."""

    out: Path | None = option(None, help="HTML file to write; None: <workspace>/report.html")


def run(tool: Tool, options: Options) -> None:
    """Read what the workspace has and write the page."""
    from scripts.pages.report.page import page, read_run

    found = read_run(tool.workspace, tool.log_dir.parent)
    if found.is_empty:
        raise MissingInputError(
            f"no script has run in {tool.workspace}, so there is nothing to report. Begin with:\n"
            f"    {tool.command('00_fetch_weights')}\nor run all:\n    bash scripts/run_all.sh"
        )
    relative = str(options.out.resolve()) if options.out else REPORT
    path = tool.path(relative)
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    with tool.atomic(relative) as temporary:
        temporary.write_text(page(found, written), encoding="utf-8")
    size_mb = path.stat().st_size / 1e6
    tool.finish({"size": f"{size_mb:.1f} MB"}, [relative])
    tool.log(f"look at: {path} ({size_mb:.1f} MB)")


if __name__ == "__main__":
    run_tool(Options, run, account="if possible")
