"""The journal of a labelling person's answers: one line per answer or page, on disk before it counts.

Answers belong to seeds, not to file names: a picture is decided by the generator's weights and its seed, so
answers stay true when the candidates are generated again, even from another first seed.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scripts.pipeline import UserError, files, records

FOLDER = "cnn/labelling"
FORMAT = "label answers 1"

Order = Literal["number", "uncertain"]
Kind = Literal["answer", "check", "table", "machine"]


@dataclass(frozen=True)
class Answer:
    """What is known about one picture.

    Attributes:
        gender: 0 man, 1 woman; None if the picture was skipped.
        quality: 0 bad, 1 good; None if the picture was skipped.
        order: why it was asked first: by its number, or as the most uncertain.
        kind: an answer of this page, or one of a second look ("check"); from a label table, a person's
            ("table") or a network's, at which no person has looked ("machine").
    """

    gender: int | None
    quality: int | None
    order: Order = "number"
    kind: Kind = "answer"

    @property
    def by_machine(self) -> bool:
        """True if a network made it, and no person has looked at it."""
        return self.kind == "machine"

    @property
    def taken_over(self) -> bool:
        """True if it comes from a label table, not from this page."""
        return self.kind in ("table", "machine")

    @property
    def skipped(self) -> bool:
        """True if the person could not or would not decide."""
        return self.gender is None

    @property
    def pair(self) -> list[int] | None:
        """Gender and quality; None if the picture was skipped."""
        return None if self.gender is None or self.quality is None else [self.gender, self.quality]


def journal_path(workspace: Path, weights_id: str) -> Path:
    """Where the answers about a generator's pictures are."""
    return workspace / FOLDER / f"answers_{weights_id}.jsonl"


class AnswerJournal:
    """Append-only file of JSON lines, replayed when it is opened. Used as a context manager.

    The first line names the weights; each other line is an event: ``{"labels": [[seed, gender, quality]],
    "skip": [seed], "order": ..., "kind": ...}`` (see `Answer`) or ``{"undo": 1}``. One of the kind "table"
    may tell the ``table_sha256`` with which the answers agree then. A line is written and synced to the disk
    before the answer counts. A last line without its end, left by a crash, is cut off.

    Attributes:
        answers: seed -> what holds now, all undone answers removed.
        table_sha256: the label table that was taken over or exported last, if any; what was answered since
            is newer.

    Raises:
        UserError: a line in the middle is damaged, or the file belongs to other weights.
    """

    def __init__(self, workspace: Path, weights_id: str) -> None:
        self.path = journal_path(workspace, weights_id)
        self.weights_id = weights_id
        self.answers: dict[int, Answer] = {}
        self.table_sha256 = ""
        self._events: list[Mapping[str, Any]] = []  # those that were not undone

    def __enter__(self) -> AnswerJournal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)
        whole_bytes = self._replay()
        self._file.truncate(whole_bytes)
        if whole_bytes == 0:
            self._write({"format": FORMAT, "weights_id": self.weights_id})
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(
        self,
        labels: Sequence[tuple[int, int, int]],
        skip: Sequence[int] = (),
        order: Order = "number",
        checked: bool = False,
    ) -> None:
        """Record what a person decided in one go; one undo takes all of it back.

        Args:
            labels: (seed, gender, quality).
            skip: seeds that were left undecided.
            order: why these pictures were asked.
            checked: it was a second look.

        Raises:
            OSError: it could not be written; then nothing of it counts.
        """
        kind = "check" if checked else "answer"
        self._append({"labels": [*map(list, labels)], "skip": [*skip], "order": order, "kind": kind})

    def take_over(self, labels: Mapping[int, Answer], table_sha256: str = "") -> None:
        """Record labels of a table. They cannot be undone, nor anything before them.

        Args:
            labels: seed -> answer; may be empty, where the answers are the table's already.
            table_sha256: the table, to be remembered, so that it is not taken over again.
        """
        for kind, order in (("machine", "number"), ("table", "uncertain"), ("table", "number")):
            chosen = {
                n: answer for n, answer in labels.items() if (answer.kind, answer.order) == (kind, order)
            }
            rows = [[seed, *answer.pair] for seed, answer in chosen.items() if answer.pair is not None]
            event = {"labels": rows, "skip": [], "order": order, "kind": kind}
            if (kind, order) == ("table", "number") and table_sha256:
                # In the last event: after a crash before it, the rest is taken over by the next session.
                self._append(event | {"table_sha256": table_sha256})
            elif rows:
                self._append(event)

    def undo(self) -> dict[int, Answer]:
        """Take back the last answer or page, of whichever session.

        Returns:
            What it said, seed -> answer; empty if there is nothing to take back.
        """
        undone = {seed: self.answers[seed] for seed, *_ in _rows(self._events[-1])} if self._events else {}
        if not undone or any(answer.taken_over for answer in undone.values()):
            return {}
        self._append({"undo": 1})
        return undone

    def _append(self, event: dict[str, Any]) -> None:
        self._write({**event, "at": records.now()})
        self._apply(event)

    def _apply(self, event: Mapping[str, Any]) -> None:
        if "undo" in event:
            self._events.pop()
            self.answers = {}
            for earlier in self._events:
                self._answer(earlier)
            return
        self.table_sha256 = event.get("table_sha256", self.table_sha256)
        if _rows(event):
            self._answer(event)
            self._events.append(event)

    def _answer(self, event: Mapping[str, Any]) -> None:
        """Add the answers of an event; why a picture was asked first stays."""
        for seed, gender, quality in _rows(event):
            before = self.answers.get(seed)
            order = event["order"] if before is None or before.by_machine else before.order
            self.answers[seed] = Answer(gender, quality, order, event["kind"])

    def _replay(self) -> int:
        """Apply the events of the file; returns the number of bytes up to the last whole line."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        header = {"format": FORMAT, "weights_id": self.weights_id}
        for number, line in enumerate(lines, start=1):
            try:
                event = files.parse_json(line)
                if number > 1:
                    self._apply(event)
                elif {name: event[name] for name in header} != header:
                    raise ValueError(f"it should be the header of {FORMAT!r} for weights {self.weights_id}")
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise UserError(
                    f"line {number} of {self.path} is damaged ({error}), and skipping it silently could "
                    "lose or change labels. Remove that line with an editor, then run the same command again."
                ) from error
        return sum(map(len, lines))

    def _write(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"
        size = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(size)  # or the next line would be glued to half of this one
            raise


def _rows(event: Mapping[str, Any]) -> list[Sequence[Any]]:
    """Seed, gender and quality of every picture that an event is about."""
    return [*event["labels"], *((seed, None, None) for seed in event["skip"])]
