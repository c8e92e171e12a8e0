"""Stages in shards: what a stage declares so that its items can be divided among processes or machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.pipeline.journal import Journal
from scripts.pipeline.options import StageOptions, option
from scripts.pipeline.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Shard:
    """The i-th of n parts, i from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard | None:
        """Reads ``i/n``; None for an empty text.

        Raises:
            ValueError: not of that form, or i is not one of 1 to n.
        """
        if not text:
            return None
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ValueError(f"--shard must be i/n with i from 1 to n, such as 2/4, not {text!r}.")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class ShardedOptions(StageOptions):
    """Options of a stage whose items can be divided among processes or machines."""

    shard: str = option(
        "",
        help="i/n: make only the i-th of n parts; the part that ends last merges all",
        affects_results=False,
    )
    batch_size: int = option(32, help="items calculated at once", affects_results=False)

    def __post_init__(self) -> None:
        Shard.parse(self.shard)
        if self.batch_size < 1:
            raise ValueError("--batch-size must be at least 1.")


@dataclass(frozen=True)
class ItemWork:
    """What a stage does with its items, apart from how they are divided.

    Attributes:
        columns: of the journal and the table, ``img_no`` among them.
        keys: all items (``img_no``) in order.
        files: workspace-relative files that a row vouches for; an item without them is made again.
        make: makes the items of the batches, and appends a row for each that the journal lacks.
        finish: writes tables and pictures from the rows of all items.
        unit: what the items are, plural.
    """

    columns: Callable[[Any], Sequence[str]]
    keys: Callable[[Stage, Any], Sequence[int]]
    files: Callable[[Mapping[str, str]], Sequence[str]]
    make: Callable[[Stage, Any, Sequence[Sequence[int]], Journal], None]
    finish: Callable[[Stage, Any, pd.DataFrame], None]
    unit: str = "images"
