"""One person's labelling session: what to show next, and what becomes of the answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scripts.pages.labelling import label_table
from scripts.pages.labelling.answers import Answer, AnswerJournal, Order
from scripts.pages.labelling.candidates import Candidates, Scores
from scripts.pipeline import Tool
from scripts.stages.workspace import CANDIDATES

Mode = Literal["label", "check"]


class AnswerError(ValueError):
    """The page sent something that cannot be an answer, or the pictures changed under it."""


@dataclass(frozen=True)
class Plan:
    """What a session is about.

    Attributes:
        mode: label pictures, or check labels that the networks contradict.
        order: next picture by number, or the one whose answer tells the networks most.
        count: by number, label the first so many candidates; by uncertainty, until so many are labelled.
        disagreement: a label is checked if the networks are farther from it than this, 0 to 1.
    """

    mode: Mode = "label"
    order: Order = "number"
    count: int = 400
    disagreement: float = 0.5


@dataclass
class LabelSession:
    """Shows pictures, takes answers, exports. Its methods may be called from several threads.

    Attributes:
        tool: the running script.
        candidates: the pictures.
        scores: what the networks say, if they were trained.
        journal: answers, open.
        plan: what to ask.
        origin: who made labels that were, or are to be, taken over from a table.
        base: labels of a machine-made table that is being checked; they enter the journal with the first
            answer.
        answered_now: labels and skips of this session.
    """

    tool: Tool
    candidates: Candidates
    scores: Scores | None
    journal: AnswerJournal
    plan: Plan
    origin: str = ""
    base: dict[int, Answer] = field(default_factory=dict)
    answered_now: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._table_state = self._candidates_state()
        self._to_check = self._disagreements() if self.plan.mode == "check" else []
        self._by_uncertainty = self._most_uncertain() if self.plan.order == "uncertain" else []
        self._exported: dict[int, Answer] | None = None

    def queue(self, skipped: bool = False) -> list[int]:
        """img_nos still to be shown, in order.

        Args:
            skipped: show those that were skipped instead.
        """
        with self._lock:
            known = self._known()
            if skipped:
                return [n for n in sorted(known) if known[n].skipped]
            if self.plan.mode == "check":
                return [n for n in self._to_check if not _is_checked(known.get(n))]
            if self.plan.order == "number":
                return [n for n in list(self.candidates.paths)[: self.plan.count] if n not in known]
            left = max(self._total() - len(known), 0)
            return [n for n in self._by_uncertainty if n not in known][:left]

    def items(self, img_nos: Sequence[int]) -> list[dict[str, Any]]:
        """Pictures as the page needs them: number, name, label, and the networks' probabilities."""
        with self._lock:
            known = self._known()
        return [self._item(n, known.get(n)) for n in img_nos]

    def status(self) -> dict[str, Any]:
        """Progress and counts for the page."""
        with self._lock:
            known = self._known()
            labelled = [answer for answer in known.values() if not answer.skipped]
            total = self._total()
            return {
                "mode": self.plan.mode,
                "done": total - len(self.queue()),
                "total": total,
                "skipped": len(known) - len(labelled),
                "men": sum(answer.gender == 0 for answer in labelled),
                "women": sum(answer.gender == 1 for answer in labelled),
                "bad": sum(answer.quality == 0 for answer in labelled),
                "good": sum(answer.quality == 1 for answer in labelled),
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
            if not isinstance(labels, list) or not isinstance(skip, list):
                raise AnswerError("labels and skip must be lists")
            rows = [self._checked(label) for label in labels]
            skipped = [self.candidates.seeds[self._known_number(n)] for n in skip]
            if not rows and not skipped:
                raise AnswerError("there is no answer in the message")
            self._adopt_base()
            checked = self.plan.mode == "check"
            self.journal.record(rows, skipped, self.plan.order, checked)
            self.answered_now += len(rows) + len(skipped)
            return self.status()

    def undo(self) -> dict[str, Any]:
        """Take back the last answer or page; the status with the pictures to show again and what it said."""
        with self._lock:
            self._check_unchanged()
            undone = self.journal.undo()
            self.answered_now = max(self.answered_now - len(undone), 0)
            numbers = {self.candidates.numbers.get(seed): answer for seed, answer in undone.items()}
            numbers.pop(None, None)
            said = [_pair(answer) for answer in numbers.values()]
            items = [{**item, "was": was} for item, was in zip(self.items(list(numbers)), said, strict=True)]
            return {**self.status(), "items": items}

    def export(self) -> dict[str, Any]:
        """Write the label table; the status with what to do next.

        Raises:
            UserError: nothing is labelled yet.
            AnswerError: the candidates changed meanwhile.
        """
        with self._lock:
            self._check_unchanged()
            if self.plan.mode == "check":
                self._adopt_base()
            answers = self._answers()
            written = label_table.export(self.tool, self.candidates, answers, self.origin)
            self.journal.take_over({}, written.table_sha256)
            self._exported = dict(answers)
            return {**self.status(), "message": written.message, "next": written.next_command}

    def picture(self, img_no: int) -> Path:
        """File of a candidate."""
        return self.tool.workspace / self.candidates.paths[self._known_number(img_no)]

    @property
    def is_exported(self) -> bool:
        """True if the table holds what the journal holds, or nothing was answered in this session."""
        return self.answered_now == 0 or self._exported == self._answers()

    def _answers(self) -> dict[int, Answer]:
        """Seed -> answer, with the labels that are being checked."""
        return {**self.base, **self.journal.answers}

    def _known(self) -> dict[int, Answer]:
        numbers = self.candidates.numbers
        return {numbers[seed]: answer for seed, answer in self._answers().items() if seed in numbers}

    def _total(self) -> int:
        if self.plan.mode == "check":
            return len(self._to_check)
        return min(self.plan.count, len(self.candidates.paths))

    def _item(self, img_no: int, answer: Answer | None) -> dict[str, Any]:
        is_judged = self.scores is not None and img_no in self.scores
        return {
            "img": img_no,
            "name": self.candidates.paths[img_no].rsplit("/", 1)[-1],
            "label": _pair(answer),
            "score": [round(p, 4) for p in self.scores.pair(img_no)] if is_judged else None,
        }

    def _most_uncertain(self) -> list[int]:
        if self.scores is None:
            return []
        judged = [n for n in self.candidates.paths if n in self.scores]
        return sorted(judged, key=lambda n: (-self.scores.uncertainty_bits(n), n))

    def _disagreements(self) -> list[int]:
        """Labels that the networks contradict, the most contradicted first."""
        if self.scores is None:
            return []
        found = {
            n: self.scores.disagreement(n, answer)
            for n, answer in self._known().items()
            if not answer.skipped and n in self.scores
        }
        return sorted((n for n in found if found[n] > self.plan.disagreement), key=lambda n: (-found[n], n))

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
            raise AnswerError("gender and quality must be 0 or 1")
        return self.candidates.seeds[self._known_number(img_no)], gender, quality

    def _known_number(self, img_no: Any) -> int:
        if type(img_no) is not int or img_no not in self.candidates.paths:
            raise AnswerError(f"there is no candidate {img_no}")
        return img_no

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


def open_session(
    tool: Tool,
    candidates: Candidates,
    scores: Scores | None,
    journal: AnswerJournal,
    plan: Plan,
    replace: bool = False,
) -> LabelSession:
    """Start a session on what the workspace holds: the journal, and a label table if one lies there.

    A person's table of these pictures counts as answered, so labels that were edited by hand or made
    elsewhere are not lost; what is answered after it was taken over holds. A machine-made table is only
    looked at in a second pass.

    Args:
        journal: open.
        replace: labels of other pictures may be replaced by an export.

    Raises:
        UserError: the table holds a person's labels of other pictures.
    """
    found = label_table.find_table(tool, candidates)
    if not replace:
        label_table.check_replaceable(tool, found, candidates)
    base: dict[int, Answer] = {}
    if found is not None and found.by_machine and plan.mode == "check":
        base = {seed: answer for seed, answer in found.labels.items() if seed not in journal.answers}
    elif found is not None and found.is_a_persons and found.sha256 != journal.table_sha256:
        answers = journal.answers
        differing = {s: a for s, a in found.labels.items() if not _same(answers.get(s), a)}
        journal.take_over(differing, found.sha256)
        if differing:
            tool.log(f"{len(differing)} labels were taken over from the table (made by: {found.made_by}).")
    origin = found.made_by.rpartition(label_table.TAKEN_OVER)[2] if found else ""
    return LabelSession(tool, candidates, scores, journal, plan, origin, base)


def _is_checked(answer: Answer | None) -> bool:
    return answer is not None and answer.checked


def _pair(answer: Answer | None) -> list[int] | None:
    """Gender and quality; None if there is no label."""
    return None if answer is None or answer.skipped else [answer.gender, answer.quality]


def _same(answer: Answer | None, other: Answer) -> bool:
    return answer is not None and (answer.gender, answer.quality) == (other.gender, other.quality)
