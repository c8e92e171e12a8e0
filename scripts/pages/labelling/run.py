"""One sitting of labelling: what there is to label, the order, then the page or the export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.pages.labelling import label_table
from scripts.pages.labelling.answers import AnswerJournal, Order
from scripts.pages.labelling.candidates import (
    Candidates,
    Scores,
    check_pictures,
    load_candidates,
    load_scores,
)
from scripts.pages.labelling.lock import page_lock
from scripts.pages.labelling.server import LabelServer
from scripts.pages.labelling.session import LabelSession, Plan, open_session
from scripts.pages.server import open_browser
from scripts.pipeline import Tool, UserError
from scripts.stages.filtering import hand_labels
from scripts.stages.workspace import LABELS_RECORD


def label(tool: Tool, options: Any) -> None:
    """Read what there is, then export or show the page."""
    candidates = load_candidates(tool)
    with page_lock(tool.workspace) as publish:
        if options.restart:
            kept_as = label_table.restart(tool, candidates)
            tool.log(
                f"Earlier answers are kept as {kept_as}." if kept_as else "There were no earlier answers."
            )
        with AnswerJournal(tool.workspace, candidates.weights_id) as journal:
            session = begin(tool, options, candidates, load_scores(tool, candidates), journal)
            if options.export:
                written = session.export()
                tool.log(f"{written['message']}\n  next: {written['next']}")
            else:
                serve(tool, options, session, publish)


def chosen_order(options: Any, tool: Tool, scores: Scores | None) -> Order:
    """The order asked for; by itself the uncertain ones come first once the networks know this person."""
    if options.order == "uncertain" and scores is None:
        raise UserError(
            "--order uncertain needs the estimates of 02_filter_candidates, and it has not finished with "
            "these candidates. Label some pictures by number first (--order number), export, and run:\n    "
            f"{tool.command('02_filter_candidates')}"
        )
    if options.order != "auto":
        return options.order
    if scores is None or not (tool.workspace / LABELS_RECORD).is_file():
        return "number"
    made_by = hand_labels.read_record(tool).made_by
    return "uncertain" if made_by.startswith(label_table.MADE_BY) else "number"


def begin(
    tool: Tool,
    options: Any,
    candidates: Candidates,
    scores: Scores | None,
    journal: AnswerJournal,
) -> LabelSession:
    """Open the session that the options describe."""
    if options.check and scores is None:
        raise UserError(
            "--check shows the labels that the networks of 02_filter_candidates contradict, and it has not "
            "finished with these candidates. Label and export first, then run:\n    "
            f"{tool.command('02_filter_candidates')}"
        )
    plan = Plan(
        mode="check" if options.check else "label",
        order=chosen_order(options, tool, scores),
        count=options.count,
        disagreement=options.disagreement,
    )
    session = open_session(tool, candidates, scores, journal, plan, options.replace)
    check_pictures(tool, candidates, session.queue())
    return session


def serve(tool: Tool, options: Any, session: LabelSession, publish: Callable[[str], None]) -> None:
    """Show the page until it is closed or Ctrl-C."""
    with LabelServer(session, options.port, options.page_size, options.grid) as server:
        publish(server.address)
        status = session.status()
        what = "labels checked" if options.check else "pictures labelled"
        tool.log(f"{status['done']} of {status['total']} {what}. Answers: {session.journal.path}")
        # The address is needed even by those who want to see errors only.
        print(f"Label page: {server.address} (Ctrl-C here, or its Close button, ends it)", flush=True)
        if options.browser:
            open_browser(server.address)
        try:
            server.serve_until(tool.check_stop)
        finally:
            tool.log(f"{session.answered_now} answers in this session; all are on disk.")
            if not session.is_exported:
                tool.log(
                    f"They are not in the label table yet. Export:\n    {tool.command(tool.name, '--export')}"
                )
