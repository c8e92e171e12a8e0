"""The explorer's page over HTTP."""

from __future__ import annotations

import threading
from pathlib import Path

from scripts.pages.explorer.explorer import LARGEST_PHOTOGRAPH_BYTES, ExploreError, Explorer
from scripts.pages.server import PageServer, json_response
from scripts.pipeline import Tool, UserError
from scripts.stages.regenerating.regenerator import check_files
from scripts.stages.workspace import GENERATORS, STATISTICS_INPUT


class ExploreServer(PageServer):
    """Serves one explorer on 127.0.0.1, to as many tabs as are open: each sends its whole setting.

    Args:
        explorer: makes the pictures.
        port: 0 takes any free one.

    Raises:
        UserError: the port is taken.
    """

    page = Path(__file__).with_name("page")
    only_newest_page = False
    largest_message_bytes = LARGEST_PHOTOGRAPH_BYTES * 4 // 3 + 4096  # base64, with its name
    refusals = (ExploreError, UserError)
    stale_page = "explore was started again since this page was opened. Reload to go on here."
    write_failure = "The photograph could not be kept ({error}). Free some space or mend the folder."

    def __init__(self, explorer: Explorer, port: int) -> None:
        super().__init__(
            port,
            pages={"/api/state": lambda request: json_response(explorer.state())},
            actions={
                "/api/picture": explorer.picture,
                "/api/strip": explorer.strip,
                "/api/photograph": explorer.photograph,
                "/api/progress": explorer.progress,
            },
        )


def explore(tool: Tool, trunc_psi: float, corrections: int, port: int, browser: bool) -> None:
    """Load the newest generator and show the page until it is closed or Ctrl-C.

    Raises:
        MissingInputError: there are no score statistics, or no generator at all.
    """
    is_there = any(item.locate(tool.workspace).exists() for item in GENERATORS.values())
    check_files(tool, [STATISTICS_INPUT] if is_there else [STATISTICS_INPUT, GENERATORS["base"]])
    explorer = Explorer(tool, trunc_psi, corrections)
    with ExploreServer(explorer, port) as server:
        tool.log(f"Generators of {tool.workspace}: {', '.join(explorer.versions)}.")
        loading = threading.Thread(target=explorer.load_all)
        loading.start()
        try:
            server.show("Explorer", browser, tool.check_stop)
        finally:
            explorer.close()
            loading.join()  # a process that ends while torch loads is aborted
