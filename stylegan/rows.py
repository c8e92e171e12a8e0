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
