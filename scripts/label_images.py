"""Label candidates by hand on a local page: woman or man, good or bad quality, one key per picture."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UserError, option, run_tool

if TYPE_CHECKING:
    from scripts.pages.labelling.answers import AnswerJournal, Order
    from scripts.pages.labelling.candidates import Candidates, Scores
    from scripts.pages.labelling.session import LabelSession

PORT = 8765


@dataclass(frozen=True)
class Options(ToolOptions):
    """Label candidates by hand on a local page: woman or man, good or bad quality, one key per picture."""

    count: int = option(400, help="pictures to label: the first so many by number, or so many in all")
    order: Literal["auto", "number", "uncertain"] = option(
        "auto",
        help="next picture by number, or the most uncertain of all candidates first; auto: by number until "
        "02 has learned from labels of this page",
    )
    grid: bool = option(False, help="open with pages of many pictures, of which the exceptions are marked")
    page_size: int = option(48, help="pictures of a page in grid mode")
    check: bool = option(False, help="second pass: labels that the networks of 02 contradict, worst first")
    disagreement: float = option(
        0.5, help="with --check: distance of label and probability above which a label is shown, 0 to 1"
    )
    export: bool = option(False, help="write the label table from the answers so far, without a page")
    replace: bool = option(False, help="an export may replace hand labels of other pictures (a copy is kept)")
    restart: bool = option(False, help="begin anew; earlier answers and their table are set aside")
    port: int = option(PORT, help="port of the page on 127.0.0.1; 0: any that is free")
    browser: bool = option(True, help="open the page in the browser")

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.page_size <= 200:
            raise ValueError("--count must be at least 1 and --page-size 1 to 200.")
        if not 0 <= self.disagreement < 1:
            raise ValueError("--disagreement must be at least 0 and less than 1.")


def chosen_order(options: Options, tool: Tool, scores: "Scores | None") -> "Order":
    """The order asked for; by itself the uncertain ones come first once the networks know this person."""
    from scripts.pages.labelling import label_table
    from scripts.stages.filtering import hand_labels

    if options.order == "uncertain" and scores is None:
        raise UserError(
            "--order uncertain needs the estimates of 02_filter_candidates, and it has not finished with "
            "these candidates. Label some pictures by number first (--order number), export, and run:\n    "
            f"{tool.command('02_filter_candidates')}"
        )
    if options.order != "auto":
        return options.order
    if scores is None or not (tool.workspace / hand_labels.RECORD).is_file():
        return "number"
    made_by = hand_labels.read_record(tool).made_by
    return "uncertain" if made_by.startswith(label_table.MADE_BY) else "number"


def begin(
    tool: Tool,
    options: Options,
    candidates: "Candidates",
    scores: "Scores | None",
    journal: "AnswerJournal",
) -> "LabelSession":
    """Open the session that the options describe."""
    from scripts.pages.labelling.candidates import check_pictures
    from scripts.pages.labelling.session import Plan, open_session

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


def serve(tool: Tool, options: Options, session: "LabelSession", publish: Callable[[str], None]) -> None:
    """Show the page until it is closed or Ctrl-C."""
    from scripts.pages.labelling.server import LabelServer
    from scripts.pages.server import open_browser

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


def run(tool: Tool, options: Options) -> None:
    """Read what there is, then export or show the page."""
    from scripts.pages.labelling import label_table
    from scripts.pages.labelling.answers import AnswerJournal
    from scripts.pages.labelling.candidates import load_candidates, load_scores
    from scripts.pages.labelling.lock import page_lock

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


if __name__ == "__main__":
    run_tool(Options, run)
