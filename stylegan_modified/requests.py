"""What trainings ask for: pairs of property vectors that differ in one dial."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

AT_MEDIAN, WHOLE_VECTOR = 0.55, 0.25  # shares; the rest has a random subset away from the median
STRETCH = 0.15  # beyond the training pictures, so that the ends of the dials are learned from both sides
ENDS = (0.01, 0.99)


@dataclass(frozen=True)
class RequestPairs:
    """N pairs of requests; `first` and `second` [N, 7] differ in property `dial` [N] int64 alone."""

    first: Tensor
    second: Tensor
    dial: Tensor

    def rows(self, rows: Tensor) -> RequestPairs:
        """Some of the pairs."""
        return RequestPairs(self.first[rows], self.second[rows], self.dial[rows])


class PairSampler:
    """Draws pairs of requests that the dials shall turn between.

    The other properties are at the median (as when people turn one dial), those of a training picture (so
    tied properties stay tied), or partly both. The turned property has two values of its own: of training
    pictures, stretched by up to 15 %, or anywhere between the 1st and 99th percentile.

    Args:
        samples: [M, 7] float, property vectors of the training pictures, on the CPU.
    """

    def __init__(self, samples: Tensor) -> None:
        self.samples = samples
        self.median = samples.median(dim=0).values
        self.low, self.high = torch.quantile(samples, torch.tensor(ENDS, dtype=samples.dtype), dim=0)

    def draw(self, count: int, generator: torch.Generator) -> RequestPairs:
        """Draw `count` pairs with a CPU random generator."""
        samples, width = self.samples, self.samples.shape[1]
        vectors = samples[torch.randint(len(samples), (count,), generator=generator)]
        median = self.median.expand_as(vectors)
        kind = torch.rand(count, 1, generator=generator)
        subset = torch.rand(count, width, generator=generator) < 0.5
        others = torch.where(kind < AT_MEDIAN + WHOLE_VECTOR, vectors, torch.where(subset, vectors, median))
        others = torch.where(kind < AT_MEDIAN, median, others)
        dial = torch.randint(width, (count,), generator=generator)
        turned = F.one_hot(dial, width).bool()
        first, second = (torch.where(turned, self._values(count, generator), others) for _ in range(2))
        return RequestPairs(first, second, dial)

    def _values(self, count: int, generator: torch.Generator) -> Tensor:
        """Values [N, 7] of single properties."""
        rows = torch.randint(len(self.samples), (count,), generator=generator)
        stretched = self.samples[rows] * (1 + STRETCH * torch.rand(count, 1, generator=generator))
        anywhere = self.low + (self.high - self.low) * torch.rand(count, 1, generator=generator)
        return torch.where(torch.rand(count, 1, generator=generator) < 0.5, stretched, anywhere)
