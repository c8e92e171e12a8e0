"""Turn the seven dials of a face on a local page, beside the base generator's face; edit photographs."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import MissingInputError, Tool, ToolOptions, option, run_tool

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
    port: int = option(PORT, help="port of the page on 127.0.0.1; 0: any that is free")
    browser: bool = option(True, help="open the page in the browser")


def check_inputs(tool: Tool) -> None:
    """Raise `MissingInputError` unless there are score statistics and some generator."""
    from scripts.stages import workspace
    from scripts.stages.regenerating.regeneration import MAKERS, generator_file

    needed = {workspace.STATISTICS: "04_compute_property_scores"}
    if not any((tool.workspace / generator_file(version)).exists() for version in MAKERS):
        needed[workspace.GENERATOR] = "00_fetch_weights"
    for relative, maker in needed.items():
        if not (tool.workspace / relative).exists():
            raise MissingInputError(
                f"it needs {relative}, which is not in {tool.workspace}. {maker} makes it:\n"
                f"    {tool.command(maker)}"
            )


def run(tool: Tool, options: Options) -> None:
    """Load the newest generator and show the page until it is closed or Ctrl-C."""
    from scripts.pages.explorer.explorer import Explorer
    from scripts.pages.explorer.server import ExploreServer
    from scripts.pages.server import open_browser

    check_inputs(tool)
    explorer = Explorer(tool, options.trunc_psi, options.corrections)
    with ExploreServer(explorer, options.port) as server:
        tool.log(f"Generators of {tool.workspace}: {', '.join(explorer.versions)}.")
        # The address is needed even by those who want to see errors only.
        print(f"Explorer: {server.address} (Ctrl-C here, or its Close button, ends it)", flush=True)
        threading.Thread(target=explorer.load_all, daemon=True).start()
        if options.browser:
            open_browser(server.address)
        server.serve_until(tool.check_stop)


if __name__ == "__main__":
    run_tool(Options, run, account="if possible")
