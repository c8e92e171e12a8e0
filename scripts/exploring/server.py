"""The explorer's page over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult

from scripts.exploring.explorer import LARGEST_PHOTOGRAPH_BYTES, ExploreError, Explorer
from scripts.local_page import Action, PageHandler, PageServer
from scripts.pipeline import UserError


class ExploreServer(PageServer):
    """Serves one explorer on 127.0.0.1, to as many tabs as are open: each sends its whole setting.

    Args:
        explorer: makes the pictures.
        port: 0 takes any free one.

    Raises:
        UserError: the port is taken.
    """

    only_newest_page = False

    def __init__(self, explorer: Explorer, port: int) -> None:
        super().__init__(ExploreHandler, port)
        self.explorer = explorer


class ExploreHandler(PageHandler):
    """One connection of the browser."""

    server: ExploreServer
    page = Path(__file__).with_name("page")
    largest_message_bytes = LARGEST_PHOTOGRAPH_BYTES * 4 // 3 + 4096  # base64, with its name
    refusals = (ExploreError, UserError)
    stale_page = "explore was started again since this page was opened. Reload to go on here."
    write_failure = "The photograph could not be kept ({error}). Free some space or mend the folder."

    def get(self, url: SplitResult) -> None:
        """What the page is built from."""
        if url.path == "/api/state":
            self.send_json(HTTPStatus.OK, self.server.explorer.state())
        else:
            super().get(url)

    def actions(self) -> Mapping[str, Action]:
        """Pictures, strips, photographs, close."""
        explorer = self.server.explorer
        return {
            "/api/picture": explorer.picture,
            "/api/strip": explorer.strip,
            "/api/photograph": explorer.photograph,
            self.close_path: lambda _: {},
        }
