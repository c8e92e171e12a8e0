"""One person's labelling session: what to show next, and what becomes of the answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.pages.labelling import label_table
from scripts.pages.labelling.answers import Answer, AnswerJournal, Order
from scripts.pages.labelling.candidates import (
    FILTER_STAGE,
    check_pictures,
    judged,
    most_contradicted,
    most_uncertain,
)
from scripts.pipeline import Tool, UserError, records
from scripts.stages.workspace import CANDIDATES, FILTERS


class AnswerError(ValueError):
    """The page sent something that cannot be an answer, or the pictures changed under it."""


class LabelSession:
    """Shows pictures, takes answers, exports. Its methods may be called from several threads.

    It begins with the journal, and a label table if one lies there. A person's table of these pictures counts
    as answered, so labels that were edited by hand or made elsewhere are not lost; what is answered after it
    was taken over holds. A machine-made table that says how sure its networks are is a beginning: its labels
    hold until the person answers, the unsure ones first. Another one is only looked at in a second pass.

    Attributes:
        tool, options: of the running script.
        candidates: the pictures, see `load_candidates`.
        journal: answers, open.
        base: labels of a machine-made table that is being corrected or checked; they enter the journal with
            the first answer.
        answered_now: labels and skips of this session.

    Raises:
        UserError: the table holds a person's labels of other pictures, the options need estimates that are
            not there, or pictures vanished.
    """

    def __init__(self, tool: Tool, options: Any, candidates: pd.DataFrame, journal: AnswerJournal) -> None:
        self.tool, self.options, self.candidates, self.journal = tool, options, candidates, journal
        self.base: dict[int, Answer] = {}
        self.answered_now = 0
        self._lock = threading.RLock()
        self._table_state = self._candidates_state()
        self._exported: dict[int, Answer] | None = None
        found = label_table.find_table(tool, candidates)
        if not options.replace:
            label_table.check_replaceable(tool, found, candidates)
        self._take_over(found)
        self._origin = found.made_by.rpartition(label_table.TAKEN_OVER)[2] if found else ""
        self.order = self._chosen_order(found)
        self._by_uncertainty = most_uncertain(candidates) if self.order == "uncertain" else []
        self._to_check: list[int] = []
        if options.check:
            labels = {n: answer.pair for n, answer in self._known().items() if not answer.skipped}
            table = pd.DataFrame.from_dict(labels, orient="index", columns=["gender", "quality"])
            self._to_check = most_contradicted(candidates, table, options.disagreement)
        check_pictures(tool, candidates, self.queue())

    def _take_over(self, found: label_table.FoundTable | None) -> None:
        answers = self.journal.answers
        if found is None:
            return
        if found.by_machine and (self.options.check or found.has_probabilities):
            self.base = {seed: answer for seed, answer in found.labels.items() if seed not in answers}
        elif found.is_a_persons and found.sha256 != self.journal.table_sha256:
            differing = {
                seed: answer
                for seed, answer in found.labels.items()
                if seed not in answers or answers[seed].pair != answer.pair
            }
            self.journal.take_over(differing, found.sha256)
            if differing:
                self.tool.log(
                    f"{len(differing)} labels were taken over from the table (made by: {found.made_by})."
                )

    def _chosen_order(self, found: label_table.FoundTable | None) -> Order:
        """The order asked for; by itself the uncertain ones come first once the networks know this person."""
        is_judged = len(judged(self.candidates)) > 0
        needs = {"--check": self.options.check, "--order uncertain": self.options.order == "uncertain"}
        for words, is_given in needs.items():
            if is_given and not is_judged:
                raise UserError(
                    f"{words} needs the estimates of {FILTER_STAGE}, and it has not finished with these "
                    "candidates. Label some pictures by number first (--order number), export, and run:\n    "
                    f"{self.tool.command(FILTER_STAGE)}"
                )
        if self.options.order != "auto":
            return self.options.order
        if not is_judged or found is None:
            return "number"
        learned = found.made_by.startswith(label_table.MADE_BY)
        return "uncertain" if learned or found.has_probabilities else "number"

    def queue(self, skipped: bool = False) -> list[int]:
        """img_nos still to be shown, in order.

        Args:
            skipped: show those that were skipped instead.
        """
        with self._lock:
            known = self._known()
            if skipped:
                return [n for n in sorted(known) if known[n].skipped]
            if self.options.check:
                return [n for n in self._to_check if not (n in known and known[n].kind == "check")]
            answered = {n for n, answer in known.items() if not answer.by_machine}
            if self.order == "number":
                return [n for n in self.candidates.index[: self.options.count].tolist() if n not in answered]
            left = max(self._total() - len(answered), 0)
            return [n for n in self._by_uncertainty if n not in answered][:left]

    def items(self, img_nos: Sequence[int]) -> list[dict[str, Any]]:
        """Pictures as the page needs them: number, name, label, and the networks' probabilities."""
        with self._lock:
            known = self._known()
        items = []
        for n, row in zip(img_nos, self.candidates.loc[list(img_nos)].itertuples(), strict=True):
            score = [round(row.gender, 4), round(row.quality, 4)]
            is_judged = not any(map(pd.isna, score))
            label = known[n].pair if n in known else None
            items.append({"img": n, "name": row.name, "label": label, "score": score if is_judged else None})
        return items

    def status(self) -> dict[str, Any]:
        """Progress and counts for the page."""
        with self._lock:
            known, total = self._known(), self._total()
            pairs = [answer.pair for answer in known.values() if answer.pair is not None]
            return {
                "mode": "check" if self.options.check else "label",
                "done": total - len(self.queue()),
                "total": total,
                "skipped": len(known) - len(pairs),
                "men": sum(gender == 0 for gender, _ in pairs),
                "women": sum(gender == 1 for gender, _ in pairs),
                "bad": sum(quality == 0 for _, quality in pairs),
                "good": sum(quality == 1 for _, quality in pairs),
                "exported": self._exported == self._answers(),
            }

    def label(self, labels: Any, skip: Any = None) -> dict[str, Any]:
        """Record what the page sent about one picture or a page of them.

        Args:
            labels: list of [img_no, gender, quality].
            skip: list of img_nos that were left undecided, or None.

        Returns:
            The new status.

        Raises:
            AnswerError: not of this form, an unknown picture or value, or the candidates changed meanwhile.
            OSError: the answer could not be written, and does not count.
        """
        with self._lock:
            self._check_unchanged()
            skip = [] if skip is None else skip
            if not isinstance(labels, list) or not isinstance(skip, list) or not labels + skip:
                raise AnswerError("labels and skip must be lists, and one of them must hold something")
            rows = [self._checked(label) for label in labels]
            skipped = [self._seed(n) for n in skip]
            self._adopt_base()
            self.journal.record(rows, skipped, self.order, self.options.check)
            self.answered_now += len(rows) + len(skipped)
            return self.status()

    def undo(self) -> dict[str, Any]:
        """Take back the last answer or page; the status with the pictures to show again and what it said."""
        with self._lock:
            self._check_unchanged()
            undone = self.journal.undo()
            self.answered_now = max(self.answered_now - len(undone), 0)
            said = self._by_number(undone)
            items = [{**item, "was": said[item["img"]].pair} for item in self.items(list(said))]
            return {**self.status(), "items": items}

    def export(self) -> dict[str, Any]:
        """Write the label table; the status with what to do next.

        Raises:
            UserError: nothing is labelled yet.
            AnswerError: the candidates changed meanwhile.
        """
        with self._lock:
            self._check_unchanged()
            if self.options.check:
                self._adopt_base()
            message, sha256 = label_table.export(self.tool, self.candidates, self._known(), self._origin)
            self.journal.take_over({}, sha256)
            self._exported = self._answers()
            redo = ["--force"] if records.read(self.tool.workspace, FILTER_STAGE) else []
            return {**self.status(), "message": message, "next": self.tool.command(FILTER_STAGE, *redo)}

    def picture(self, img_no: int) -> Path:
        """File of a candidate."""
        self._seed(img_no)
        return self.tool.workspace / self.candidates["img_path"][img_no]

    @property
    def path(self) -> Path:
        """Where the answers are."""
        return self.journal.path

    @property
    def is_exported(self) -> bool:
        """True if the table holds what the journal holds, or nothing was answered in this session."""
        return self.answered_now == 0 or self._exported == self._answers()

    def _answers(self) -> dict[int, Answer]:
        """Seed -> answer, with the labels that are being checked."""
        return {**self.base, **self.journal.answers}

    def _known(self) -> dict[int, Answer]:
        return self._by_number(self._answers())

    def _by_number(self, answers: dict[int, Answer]) -> dict[int, Answer]:
        """img_no -> answer of those seeds that belong to a candidate."""
        numbers = dict(zip(self.candidates["seed"], self.candidates.index.tolist(), strict=True))
        return {numbers[seed]: answer for seed, answer in answers.items() if seed in numbers}

    def _total(self) -> int:
        return len(self._to_check) if self.options.check else min(self.options.count, len(self.candidates))

    def _adopt_base(self) -> None:
        """Write the labels that are being checked into the journal, before the first answer about them."""
        if self.base:
            self.journal.take_over(self.base)
            self.base = {}

    def _checked(self, label: Any) -> tuple[int, int, int]:
        if not isinstance(label, list) or len(label) != 3 or not all(type(value) is int for value in label):
            raise AnswerError("a label must be three whole numbers: picture, gender, quality")
        img_no, gender, quality = label
        if gender not in (0, 1) or quality not in (0, 1):
            raise AnswerError(f"{' and '.join(FILTERS)} must be 0 or 1")
        return self._seed(img_no), gender, quality

    def _seed(self, img_no: Any) -> int:
        if type(img_no) is not int or img_no not in self.candidates.index:
            raise AnswerError(f"there is no candidate {img_no}")
        return int(self.candidates["seed"][img_no])

    def _candidates_state(self) -> tuple[int, int] | None:
        try:
            state = (self.tool.workspace / CANDIDATES).stat()
        except FileNotFoundError:
            return None
        return state.st_size, state.st_mtime_ns

    def _check_unchanged(self) -> None:
        if self._candidates_state() != self._table_state:
            raise AnswerError(
                "the candidates were generated anew meanwhile, so this page shows other pictures than the "
                "workspace has. Stop label_images with Ctrl-C and start it again; earlier answers are kept."
            )
