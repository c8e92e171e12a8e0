"""Rows of a tensor that need not be in memory."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Rows(Protocol):
    """What trainings use of a uint8 tensor [N, ...]; a file can stand in for it when there are many."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""

    @property
    def device(self) -> torch.device:
        """Where the rows that are asked for arrive."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Some rows, by their numbers int64 [B]."""


class ChosenRows:
    """Some of the rows of others, in an order of their own.

    Args:
        rows: [N, ...].
        chosen: int64 [M] on the CPU, numbers from 0 to N - 1.
    """

    def __init__(self, rows: Rows, chosen: Tensor) -> None:
        self._rows, self._chosen = rows, chosen
        self.shape, self.device = (len(chosen), *rows.shape[1:]), rows.device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Rows of numbers int64 [B] from 0 to M - 1."""
        return self._rows[self._chosen[rows.cpu()]]


class JoinedRows:
    """Two sets of rows of one shape, one after the other."""

    def __init__(self, first: Rows, second: Rows) -> None:
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(f"rows of shape {first.shape[1:]} cannot be joined with {second.shape[1:]}")
        self._first, self._second = first, second
        self.shape, self.device = (len(first) + len(second), *first.shape[1:]), first.device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Rows of numbers int64 [B]."""
        is_first = rows < len(self._first)
        found = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8, device=self.device)
        found[is_first] = self._first[rows[is_first]].to(self.device)
        found[~is_first] = self._second[rows[~is_first] - len(self._first)].to(self.device)
        return found
