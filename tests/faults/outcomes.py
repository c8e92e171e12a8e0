"""What came of a fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """One injected fault.

    Attributes:
        case: where it was injected, such as ``05_fine_tune_v1`` or ``faces.csv, bit flipped``.
        survived: nothing was lost, nothing wrong was accepted, and the message was readable.
        lost: rows, files or steps that were lost, doubled or torn.
        detail: what went wrong; empty if nothing did.
    """

    case: str
    survived: bool
    lost: int = 0
    detail: str = ""


class Family(Protocol):
    """A module of this package that injects one family of faults."""

    def faults(self, rounds: int, seed: int, folder: Path) -> Iterator[Outcome]:
        """Inject about ``rounds`` faults; the same seed injects the same ones.

        Args:
            rounds: how many, as far as the family has that many different ones.
            seed: of everything random.
            folder: an empty folder for the workspaces that are broken.
        """


def in_parallel(work: Iterable[Callable[[], list[Outcome]]]) -> Iterator[Outcome]:
    """Outcomes of independent pieces of work, as they are done; so many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for piece in as_completed([pool.submit(one) for one in work]):
            yield from piece.result()
