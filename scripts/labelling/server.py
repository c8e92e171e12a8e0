"""The label page: pictures, the queue and answers over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs

from scripts.labelling.session import AnswerError, LabelSession
from scripts.local_page import Action, PageHandler, PageServer
from scripts.pipeline import UserError

IMAGE_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}


class LabelServer(PageServer):
    """Serves one session on 127.0.0.1; only the page that was opened last may answer.

    Args:
        session: what to show and where answers go.
        port: 0 takes any free one.
        page_size: pictures of a page in grid mode.
        start_with_grid: the page opens in grid mode.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, session: LabelSession, port: int, page_size: int, start_with_grid: bool) -> None:
        super().__init__(LabelHandler, port)
        self.session = session
        self.page_settings = {"pageSize": page_size, "grid": start_with_grid}


class LabelHandler(PageHandler):
    """One connection of the browser."""

    server: LabelServer
    page = Path(__file__).with_name("page")
    token_header = "X-Label-Token"
    refusals = (AnswerError, UserError)
    stale_page = (
        "This page is no longer the one that may answer: label_images was started again, or the page was "
        "opened a second time. Reload to go on here; what was answered is saved."
    )
    write_failure = (
        "The answer could not be written ({error}), so it does not count. Free some space or mend the "
        "folder, then answer again; everything before is saved."
    )

    def get(self, url: SplitResult) -> None:
        """Pictures and the queue."""
        if url.path.startswith("/images/"):
            self._send_picture(url.path.removeprefix("/images/"))
        elif url.path == "/api/queue":
            self.answer(lambda: self._queue(bool(parse_qs(url.query).get("skipped"))))
        else:
            super().get(url)

    def actions(self) -> Mapping[str, Action]:
        """Answers: label, undo, export, close."""
        session = self.server.session
        return {
            "/api/label": lambda message: session.label(message.get("labels", []), message.get("skip")),
            "/api/undo": lambda _: session.undo(),
            "/api/export": lambda _: session.export(),
            self.close_path: lambda _: session.status(),
        }

    def _queue(self, skipped: bool) -> dict[str, Any]:
        session = self.server.session
        items = session.items(session.queue(skipped))
        return {**session.status(), **self.server.page_settings, "items": items}

    def _send_picture(self, number: str) -> None:
        try:
            path = self.server.session.picture(int(number))
            content = path.read_bytes()
        except (ValueError, OSError) as error:
            self.fail(HTTPStatus.NOT_FOUND, f"picture {number} cannot be read: {error}")
            return
        self.send(HTTPStatus.OK, content, IMAGE_TYPES.get(path.suffix.lower(), "application/octet-stream"))
