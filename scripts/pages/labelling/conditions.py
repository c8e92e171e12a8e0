"""Labelling a condition of the conditional VAEs: a number from 0 to 1 for each picture of 20."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cvae.conditions import condition
from scripts.pages.labelling.session import AnswerError
from scripts.pipeline import MissingInputError, Tool, UserError, files, tables
from scripts.stages import workspace as at
from scripts.stages.cvae import hand_labels


class ConditionSession:
    """What the page asks of a session, see `LabelSession`, for one condition.

    The answers are the table that 22 reads, written anew with each of them; so nothing has to be exported,
    and labels made elsewhere stay. What is skipped is asked again by the next session.

    Attributes:
        tool, options: of the running script; `options.condition` names the condition.
        path: the table.
        answered_now: answers of this session.

    Raises:
        MissingInputError: 20 has made no pictures yet.
        UserError: the table is damaged, or two pictures have one name.
    """

    is_exported = True

    def __init__(self, tool: Tool, options: Any) -> None:
        self.tool, self.options = tool, options
        self.condition = condition(options.condition)
        self.path = hand_labels.table_of(tool.workspace / at.VAE_TABLES, options.condition)
        self.pictures = self._find_pictures()
        self.answers: dict[str, float] = {}
        if self.path.is_file():
            known = hand_labels.read(self.path, options.condition)
            self.answers = dict(zip(known["img_name"], known[options.condition], strict=True))
        self.answered_now = 0
        self._skipped: set[int] = set()
        self._earlier: list[tuple[list[int], dict[str, float], set[int]]] = []  # before each answer
        self._lock = threading.RLock()

    def _find_pictures(self) -> pd.DataFrame:
        """`path` and `name` of the unchanged pictures by number."""
        again = self.tool.command("20_augment_pictures")
        table_path = self.tool.workspace / at.VAE_PICTURES
        if not table_path.is_file():
            raise MissingInputError(f"it needs {at.VAE_PICTURES}. 20_augment_pictures makes it:\n    {again}")
        table = tables.read_csv(table_path, ("img_no", "source_path", "is_augmented"), f"Again:\n    {again}")
        table = table[table["is_augmented"] == 0].set_index("img_no")
        paths = [self.tool.workspace / place for place in table["source_path"]]
        found = pd.DataFrame({"path": paths, "name": [path.name for path in paths]}, index=table.index)
        twice = found["name"][found["name"].duplicated()]
        if len(twice):
            raise UserError(
                f"two pictures are called {twice.iloc[0]}, and labels are kept by file name. Rename one and "
                f"run:\n    {again} --force"
            )
        return found.iloc[: self.options.count]

    def queue(self, skipped: bool = False) -> list[int]:
        """Numbers of the pictures to be shown; the skipped ones instead if asked for."""
        with self._lock:
            if skipped:
                return sorted(self._skipped)
            names = self.pictures["name"].items()
            return [n for n, name in names if name not in self.answers and n not in self._skipped]

    def items(self, img_nos: Sequence[int]) -> list[dict[str, Any]]:
        """Pictures as the page needs them."""
        return [{"img": n, "name": self.pictures["name"][n], "label": None, "score": None} for n in img_nos]

    def status(self) -> dict[str, Any]:
        """Progress for the page, and what 0 and 1 mean."""
        total = len(self.pictures)
        return {
            "mode": "number",
            "name": self.condition.name,
            "ends": [self.condition.low, self.condition.high],
            "done": total - len(self.queue()),
            "total": total,
            "skipped": len(self._skipped),
            "exported": True,
            "table": str(self.path),
        }

    def label(self, labels: Any, skip: Any = None) -> dict[str, Any]:
        """Write what the page sent: labels [[number, value]], and numbers that were skipped.

        Raises:
            AnswerError: not of this form, an unknown picture, or no number from 0 to 1.
            OSError: it could not be written, and does not count.
        """
        with self._lock:
            skip = [] if skip is None else skip
            if not isinstance(labels, list) or not isinstance(skip, list) or not labels + skip:
                raise AnswerError("labels and skip must be lists, and one of them must hold something")
            given = [self._checked(label) for label in labels]
            before = ([n for n, _ in given] + skip, dict(self.answers), set(self._skipped))
            for n in before[0]:
                self._known(n)
            answers = self.answers | {self.pictures["name"][n]: value for n, value in given}
            self._write(answers)
            self._skipped = (self._skipped | set(skip)) - {n for n, _ in given}
            self._earlier.append(before)
            self.answered_now += len(before[0])
            return self.status()

    def undo(self) -> dict[str, Any]:
        """Take back the last answer of this session; the status with the pictures to show again."""
        with self._lock:
            if not self._earlier:
                return {**self.status(), "items": []}
            numbers, answers, skipped = self._earlier[-1]
            said = {n: self.answers.get(self.pictures["name"][n]) for n in numbers}
            self._write(answers)
            self._earlier.pop()
            self._skipped = skipped
            self.answered_now -= len(numbers)
            items = [
                {**item, "was": None if said[item["img"]] is None else [said[item["img"]]]}
                for item in self.items(numbers)
            ]
            return {**self.status(), "items": items}

    def export(self) -> dict[str, Any]:
        """The status with what to do next; the table is written already."""
        spread = len(set(self.answers.values()))
        message = f"{len(self.answers)} labels are in {self.path}."
        message += "" if spread > 1 else " All are alike, so there is nothing to learn yet."
        return {
            **self.status(),
            "message": message,
            "next": self.tool.command("22_decide_inputs", "--source", "labels", "--conditions", "..."),
        }

    def picture(self, img_no: int) -> Path:
        """File of a picture."""
        path: Path = self.pictures["path"][self._known(img_no)]
        return path

    def _write(self, answers: dict[str, float]) -> None:
        columns = {"img_name": list(answers), self.condition.name: list(answers.values())}
        files.write(self.path, pd.DataFrame(columns))
        self.answers = answers

    def _checked(self, label: Any) -> tuple[int, float]:
        if not isinstance(label, list) or len(label) != 2 or type(label[1]) not in (int, float):
            raise AnswerError("a label must be two numbers: picture and condition")
        if not 0 <= label[1] <= 1:
            raise AnswerError("a condition is a number from 0 to 1")
        return self._known(label[0]), float(label[1])

    def _known(self, img_no: Any) -> int:
        if type(img_no) is not int or img_no not in self.pictures.index:
            raise AnswerError(f"there is no picture {img_no}")
        return img_no
