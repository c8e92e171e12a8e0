"""The label page: pictures, the queue and answers over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from werkzeug.exceptions import NotFound
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from scripts.pages.labelling.session import AnswerError, LabelSession
from scripts.pages.server import CLOSE_PATH, Action, PageServer, json_response
from scripts.pipeline import UserError


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

    page = Path(__file__).with_name("page")
    refusals = (AnswerError, UserError)
    stale_page = (
        "This page is no longer the one that may answer: label_images was started again, or the page was "
        "opened a second time. Reload to go on here; what was answered is saved."
    )
    write_failure = (
        "The answer could not be written ({error}), so it does not count. Free some space or mend the "
        "folder, then answer again; everything before is saved."
    )

    def __init__(self, session: LabelSession, port: int, page_size: int, start_with_grid: bool) -> None:
        super().__init__(port)
        self.session = session
        self.page_settings = {"pageSize": page_size, "grid": start_with_grid}

    def get(self, request: Request) -> Response:
        """Pictures and the queue."""
        if request.path.startswith("/images/"):
            return self._picture(request, request.path.removeprefix("/images/"))
        if request.path != "/api/queue":
            return super().get(request)
        items = self.session.items(self.session.queue(bool(request.args.get("skipped"))))
        return json_response({**self.session.status(), **self.page_settings, "items": items})

    def actions(self) -> Mapping[str, Action]:
        """Answers: label, undo, export, close."""
        session = self.session
        return {
            "/api/label": lambda message: session.label(message.get("labels", []), message.get("skip")),
            "/api/undo": lambda _: session.undo(),
            "/api/export": lambda _: session.export(),
            CLOSE_PATH: lambda _: session.status(),
        }

    def _picture(self, request: Request, number: str) -> Response:
        try:
            return send_file(self.session.picture(int(number)), request.environ)
        except (ValueError, OSError) as error:
            raise NotFound(f"picture {number} cannot be read: {error}") from error
