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
