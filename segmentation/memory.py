"""Batches that shrink when memory runs out."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import torch


class Sliceable(Protocol):
    """A list, a tuple or an array: a slice of it is of its own kind."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


Items = TypeVar("Items", bound=Sliceable)
Result = TypeVar("Result")

# What the CPU allocator says on Windows and on Linux, and what oneDNN and CUDA's libraries say.
OUT_OF_MEMORY_TEXTS = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "could not create a memory",
    "alloc_failed",
)


class NotEnoughMemoryError(MemoryError):
    """Not even one item fits into memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if this error says that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in OUT_OF_MEMORY_TEXTS)


class ShrinkingBatches:
    """Applies a function batch by batch; a batch that does not fit into memory is halved and tried again.

    Attributes:
        size: largest batch still tried. It never grows again, because memory that ran out once would run out
            again and the failed attempt costs time.
    """

    def __init__(self, size: int, on_shrink: Callable[[int], None] = lambda size: None) -> None:
        """Starts with a size.

        Args:
            size: items per batch, at least 1.
            on_shrink: called with the new size after each halving.
        """
        if size < 1:
            raise ValueError(f"a batch holds at least one item, not {size}")
        self.size = size
        self._on_shrink = on_shrink

    def map(self, function: Callable[[Items], Result], items: Items) -> Iterator[Result]:
        """Yields `function(batch)` for consecutive batches of `items`, in order.

        Raises:
            NotEnoughMemoryError: a single item does not fit.
        """
        start = 0
        while start < len(items):
            batch: Items = items[start : start + self.size]
            failure = ""
            try:
                result = function(batch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = str(error) or type(error).__name__
            # Outside the handler, which would keep the failed attempt's tensors alive.
            if failure:
                self._shrink(len(batch), failure)
                continue
            yield result
            start += len(batch)

    def _shrink(self, failed_size: int, failure: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if failed_size == 1:
            raise NotEnoughMemoryError(f"there is not enough memory for a single item: {failure}")
        self.size = (failed_size + 1) // 2
        self._on_shrink(self.size)
