"""How two ways of doing the same work are timed and told apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """Images per second of the same work on the same machine."""

    name: str
    ours: float
    plain: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.ours / self.plain


def seconds_by_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each way. They take turns, so that other work of the machine slows them alike.

    Args:
        ways: warmed up; each ends with a number or array on the CPU, so that a GPU has finished.
        repeats: of each way.
        clock: seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = clock()
            way()
            times[name].append(clock() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def check_difference(difference: float, limit: float, name: str) -> None:
    """Raise RuntimeError if ours and plain do not do the same."""
    if not difference <= limit:
        raise RuntimeError(f"{name}: ours and plain differ by {difference:.2g}, more than {limit:g}")
