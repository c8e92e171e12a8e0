"""Turn the seven dials of a face on a local page, beside the base generator's face; edit photographs; or draw
a face and see its portrait.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool

PORT = 8766


@dataclass(frozen=True)
class Options(ToolOptions):
    """Turn the seven dials of a face on a local page, beside the base generator's face; edit photographs."""

    trunc_psi: float = option(1.0, help="truncation of w: 1 none, 0 the average person")
    corrections: int = option(1, help="closed-loop corrections of v2 and v3 (0: none)")
    threads: int = option(
        1,
        help="CPU threads, 0: torch's choice; one is fast enough for 128 px, and more wait for each other "
        "when something else runs",
        affects_results=False,
    )
    sketch: bool = option(False, help="the page to draw on: a portrait beside your sketch, while you draw")
    network: Path | None = option(
        None,
        help="with --sketch: the network that draws; None: the workspace's, else the one that comes with us",
    )
    port: int = option(PORT, help="port of the page on 127.0.0.1; 0: any that is free")
    browser: bool = option(True, help="open the page in the browser")


def run(tool: Tool, options: Options) -> None:
    if options.sketch:
        from scripts.pages.sketching.server import sketch

        sketch(tool, options.network, options.port, options.browser)
        return
    from scripts.pages.explorer.server import explore

    explore(tool, options.trunc_psi, options.corrections, options.port, options.browser)


if __name__ == "__main__":
    run_tool(Options, run, account="if possible")
