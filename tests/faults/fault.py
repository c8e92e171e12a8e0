"""One injected fault and how it ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Fault:
    """One injected fault.

    Attributes:
        case: where it was injected, such as ``05 before operation 7``.
        problems: what was lost, torn or wrongly accepted, or an unreadable message; empty if it ended well.
    """

    case: str
    problems: tuple[str, ...] = ()


def in_parallel(work: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Results of independent pieces of work, as they are done; so many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for piece in as_completed([pool.submit(one) for one in work]):
            yield piece.result()
