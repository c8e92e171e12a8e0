"""The explorer's page over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult

from scripts.exploring.explorer import ExploreError, Explorer
from scripts.local_page import Action, PageHandler, PageServer
from scripts.pipeline import UserError


class ExploreServer(PageServer):
    """Serves one explorer on 127.0.0.1.

    Args:
        explorer: makes the pictures.
        port: 0 takes any free one.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, explorer: Explorer, port: int) -> None:
        super().__init__(ExploreHandler, port)
        self.explorer = explorer


class ExploreHandler(PageHandler):
    """One connection of the browser."""

    server: ExploreServer
    page = Path(__file__).with_name("page")
    largest_message_bytes = 48 << 20  # a photograph of 36 MB in base64
    refusals = (ExploreError, UserError)
    stale_page = (
        "This page is no longer the one that may ask: explore was started again, or the page was opened a "
        "second time. Reload to go on here."
    )
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
