"""The label page: pictures, the queue and answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from scripts.pages.labelling import label_table
from scripts.pages.labelling.answers import FOLDER, AnswerJournal
from scripts.pages.labelling.candidates import load_candidates
from scripts.pages.labelling.conditions import ConditionSession
from scripts.pages.labelling.session import AnswerError, LabelSession
from scripts.pages.server import PageServer, json_response
from scripts.pipeline import Tool, UserError
from scripts.stages.workspace import VAE_TABLES


class LabelServer(PageServer):
    """Serves one session on 127.0.0.1; only the page that was opened last may answer.

    Args:
        session: what to show and where answers go.
        port: 0 takes any free one.

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

    def __init__(self, session: LabelSession | ConditionSession, port: int) -> None:
        self.session = session
        super().__init__(
            port,
            pages={"/images/<int:img_no>": self._picture, "/api/queue": self._queue},
            actions={
                "/api/label": lambda message: session.label(message.get("labels", []), message.get("skip")),
                "/api/undo": lambda _: session.undo(),
                "/api/export": lambda _: session.export(),
            },
        )

    def _queue(self, request: Request) -> Response:
        session, options = self.session, self.session.options
        items = session.items(session.queue(bool(request.args.get("skipped"))))
        settings = {"pageSize": options.page_size, "grid": options.grid}
        return json_response({**session.status(), **settings, "items": items})

    def _picture(self, request: Request, img_no: int) -> Response:
        try:
            return send_file(self.session.picture(img_no), request.environ)
        except (AnswerError, OSError) as error:
            raise NotFound(f"picture {img_no} cannot be read: {error}") from error


def label(tool: Tool, options: Any) -> None:
    """Read what there is, then export or show the page."""
    instead = f"another --workspace; or go on in the page that is open (port {options.port} by default)"
    if options.condition:
        with tool.alone_in(tool.workspace / VAE_TABLES, instead):
            serve(tool, ConditionSession(tool, options))
        return
    candidates = load_candidates(tool)
    with tool.alone_in(tool.workspace / FOLDER, instead):
        if options.force:
            kept_as = label_table.restart(tool, candidates)
            tool.log(
                f"Earlier answers are kept as {kept_as}." if kept_as else "There were no earlier answers."
            )
        with AnswerJournal(tool.workspace, candidates["weights_id"].iloc[0]) as journal:
            session = LabelSession(tool, options, candidates, journal)
            if options.export:
                written = session.export()
                tool.log(f"{written['message']}\n  next: {written['next']}")
            else:
                serve(tool, session)


def serve(tool: Tool, session: LabelSession | ConditionSession) -> None:
    """Show the page until it is closed or Ctrl-C."""
    options, status = session.options, session.status()
    what = "labels checked" if options.check else "pictures labelled"
    tool.log(f"{status['done']} of {status['total']} {what}. Answers: {session.path}")
    with LabelServer(session, options.port) as server:
        try:
            server.show("Label page", options.browser, tool.check_stop)
        finally:
            tool.log(f"{session.answered_now} answers in this session; all are on disk.")
            if not session.is_exported:
                export = tool.command(tool.name, "--export")
                tool.log(f"They are not in the label table yet. Export:\n    {export}")
