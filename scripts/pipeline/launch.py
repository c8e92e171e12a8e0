"""What torchrun tells a process of its place among others; and the command that started them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """One of several processes that torchrun started.

    Attributes:
        rank: from 0, over all machines.
        count: processes in all.
        local_rank: from 0, on this machine.
        local_count: processes on this machine.
        machines: how many there are.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    machines: int

    @property
    def is_first(self) -> bool:
        """True for the process that writes and speaks."""
        return self.rank == 0

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that starts such a group, from that of one process."""
        interpreter, *script = words
        machines = ["--standalone"]
        if self.machines > 1:
            machines = [f"--nnodes={self.machines}", "--rdzv-backend=c10d", "--rdzv-endpoint=HOST:PORT"]
        launcher = [interpreter, "-m", "torch.distributed.run", *machines]
        return [*launcher, f"--nproc-per-node={self.local_count}", *script]


def place_among_processes() -> Place | None:
    """The place of this process; None where torchrun did not start several."""
    found = os.environ
    if "TORCHELASTIC_RUN_ID" not in found or int(found["WORLD_SIZE"]) == 1:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")
    return Place(*(int(found[name]) for name in names))
