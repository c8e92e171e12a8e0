"""Speed of the project's parts, each against the plain way of doing the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """Two rates of the same work on the same machine; the larger, the better."""

    name: str
    ours: float
    plain: float
    unit: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.ours / self.plain
