"""The journal of a labelling person's answers: one line per answer or page, on disk before it counts.

Answers belong to seeds, not to file names: a picture is decided by the generator's weights and its seed, so
answers stay true when the candidates are generated again, even from another first seed.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from scripts.pipeline import UserError, files, records

FOLDER = "cnn/labelling"
FORMAT = "label answers 1"
CHECKSUM = "crc32"

Order = Literal["number", "uncertain"]


@dataclass(frozen=True)
class Answer:
    """What is known about one picture.

    Attributes:
        gender: 0 man, 1 woman; None if the picture was skipped.
        quality: 0 bad, 1 good; None if the picture was skipped.
        order: why it was asked first: by its number, or as the most uncertain.
        checked: a person has looked at it a second time.
        taken_over: it comes from a label table, not from this page.
    """

    gender: int | None
    quality: int | None
    order: Order = "number"
    checked: bool = False
    taken_over: bool = False

    @property
    def skipped(self) -> bool:
        """True if the person could not or would not decide."""
        return self.gender is None


def journal_path(workspace: Path, weights_id: str) -> Path:
    """Where the answers about a generator's pictures are."""
    return workspace / FOLDER / f"answers_{weights_id}.jsonl"


class AnswerJournal:
    """Append-only file of JSON lines, replayed when it is opened. Used as a context manager.

    The first line names the weights; each other line is an event: ``{"labels": [[seed, gender, quality]],
    "skip": [seed], "order": ..., "kind": "answer", "check" or "table"}`` or ``{"undo": 1}``; one of the kind
    "table" may tell the ``table_sha256`` with which the answers agree then. A line is written and synced to
    the disk before the answer counts. A last line without its end, left by a crash, is cut off.

    Args:
        workspace: folder of the run.
        weights_id: generator that made the pictures; it names the file.

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
        self._history: list[dict[int, Answer | None]] = []
        self._descriptor = -1
        self._size = 0

    def __enter__(self) -> AnswerJournal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole_bytes = self._replay() if self.path.exists() else 0
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        self._truncate(whole_bytes)
        if whole_bytes == 0:
            self._write({"format": FORMAT, "weights_id": self.weights_id})
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

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
        self._append(labels, skip, order, "check" if checked else "answer")

    def take_over(self, labels: Mapping[int, Answer], table_sha256: str = "") -> None:
        """Record labels of a table. They cannot be undone, nor anything before them.

        Args:
            labels: seed -> answer; may be empty, where the answers are the table's already.
            table_sha256: the table, to be remembered, so that it is not taken over again.
        """
        groups = {order: [] for order in ("uncertain", "number")}
        for seed, answer in labels.items():
            groups[answer.order].append((seed, answer.gender, answer.quality))
        if groups["uncertain"]:
            self._append(groups["uncertain"], (), "uncertain", "table")
        if groups["number"] or table_sha256:
            # In the last event: after a crash before it, the rest is taken over by the next session.
            self._append(groups["number"], (), "number", "table", table_sha256)

    def undo(self) -> dict[int, Answer]:
        """Take back the last answer or page, of whichever session.

        Returns:
            What it said, seed -> answer; empty if there is nothing to take back.
        """
        if not self._history:
            return {}
        undone = {seed: self.answers[seed] for seed in self._history[-1]}
        self._write_and_apply({"undo": 1})
        return undone

    def _append(
        self, labels: Sequence[tuple], skip: Sequence[int], order: Order, kind: str, table_sha256: str = ""
    ) -> None:
        rows = [list(label) for label in labels]
        event = {"labels": rows, "skip": list(skip), "order": order, "kind": kind}
        self._write_and_apply(event | ({"table_sha256": table_sha256} if table_sha256 else {}))

    def _write_and_apply(self, event: dict[str, Any]) -> None:
        self._write({**event, "at": records.now()})
        self._apply(event)

    def _apply(self, event: Mapping[str, Any]) -> None:
        if "undo" in event:
            for seed, previous in self._history.pop().items():
                if previous is None:
                    del self.answers[seed]
                else:
                    self.answers[seed] = previous
            return
        changes = self._changes(event)
        if event["kind"] == "table":
            self.table_sha256 = event.get("table_sha256", self.table_sha256)
            if changes:
                self._history.clear()
        else:
            self._history.append({seed: self.answers.get(seed) for seed in changes})
        self.answers.update(changes)

    def _changes(self, event: Mapping[str, Any]) -> dict[int, Answer]:
        """Seed -> answer of an event; why a picture was asked first stays."""
        checked, taken_over = event["kind"] == "check", event["kind"] == "table"
        rows = [*event["labels"], *((seed, None, None) for seed in event["skip"])]
        changes = {}
        for seed, gender, quality in rows:
            previous = self.answers.get(seed)
            order = previous.order if previous else event["order"]
            changes[seed] = Answer(gender, quality, order, checked, taken_over)
        return changes

    def _replay(self) -> int:
        """Fill ``answers`` from the file; returns the number of bytes up to the last whole line."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                event = files.parse_json(line)
                stored = event.pop(CHECKSUM, None)
                if stored not in (None, _checksum(event)):  # earlier lines have none
                    raise ValueError("its checksum is another")
                if number == 1:
                    self._check_header(event)
                else:
                    self._apply(event)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise UserError(
                    f"line {number} of {self.path} is damaged ({error}), and skipping it silently could "
                    "lose or change labels. Remove that line with an editor, then run the same command again."
                ) from error
        return sum(map(len, lines))

    def _check_header(self, header: Mapping[str, Any]) -> None:
        if (header["format"], header["weights_id"]) != (FORMAT, self.weights_id):
            raise ValueError(f"it should be the header of {FORMAT!r} for weights {self.weights_id}")

    def _write(self, event: Mapping[str, Any]) -> None:
        checked = {**event, CHECKSUM: _checksum(event)}
        line = json.dumps(checked, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._descriptor)
        except OSError:
            self._truncate(self._size)  # or the next line would be glued to half of this one
            raise
        self._size += len(line)

    def _truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)
        self._size = size


def _checksum(event: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(event, separators=(',', ':')).encode()):08x}"
