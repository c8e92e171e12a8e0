"""A script under torchrun: several processes do one run, and the first of them writes and speaks for all.

The first process locks, checks, clears and records as a run alone does. The others wait for its decision and
then do the same work on a `Tool` that writes and says nothing. Whoever ends early says why, once for all: the
others notice that it is gone, and end in silence with its exit code.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from scripts.pipeline.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch.distributed import Store

# The others wait while the first one draws, measures or writes: torch's own 10 minutes are too short.
LONGEST_WAIT = timedelta(hours=12)
POLL_S = 0.05
DECISION, LAST_WORD = "decision", "last_word"
GO, NOTHING_TO_DO = "go", "nothing to do"


class Working(Protocol):
    """What is asked here of a running script."""

    @property
    def device(self) -> torch.device: ...

    def check_stop(self) -> None: ...


class LostError(UserError):
    """Another process of the run is gone."""


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


def is_first() -> bool:
    """True for a run alone, and for the process that writes and speaks for all."""
    place = place_among_processes()
    return place is None or place.rank == 0


@contextmanager
def leading(tool: Working) -> Iterator[None]:
    """In the first process, around the work: let the others begin, and wait for them at the end."""
    if place_among_processes() is None:
        yield
        return
    _store().set(DECISION, GO)
    with _group(tool.device):
        yield


def dismiss() -> None:
    """In the first process, at the end: those who were not told to begin have nothing to do."""
    if place_among_processes() is not None:
        _store().set(DECISION, NOTHING_TO_DO)


def follow(tool: Working, work: Callable[[], None]) -> None:
    """In the other processes: wait for the decision of the first one, then do the work if it says so."""
    store = _store()
    while not store.check([DECISION]):
        if store.check([LAST_WORD]):
            raise UserError("the first process ended before the work began.")
        tool.check_stop()
        time.sleep(POLL_S)
    if store.get(DECISION).decode() == GO:
        with _group(tool.device):
            work()


def wait_for_all() -> None:
    """Return when every process of the run has come this far.

    Raises:
        ConnectionError: one of them has ended.
    """
    if place_among_processes() is None:
        return
    from torch import distributed

    try:
        distributed.barrier()
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def _group(device: torch.device) -> Iterator[None]:
    """torch's default process group: NCCL on GPUs, gloo on CPUs; at the end all wait for the last one.

    Raises:
        LostError: `stylegan.parallel` reported that another process is gone.
    """
    import torch
    from torch import distributed

    uses_gpu = device.type == "cuda"
    if uses_gpu:
        torch.cuda.set_device(device)
    backend = "nccl" if uses_gpu else "gloo"
    try:
        distributed.init_process_group(backend, timeout=LONGEST_WAIT, device_id=device if uses_gpu else None)
        yield
        wait_for_all()
    except (ConnectionError, distributed.DistError) as error:
        # gloo puts the place in its own code before the reason, and advice behind it.
        reason = re.sub(r"^\[[^\]]*\]\s*", "", str(error)).split(". ")[0]
        raise LostError(
            "another process of this run has ended (killed, out of memory, or its machine is gone), and the "
            f"others cannot go on without its part ({reason})."
        ) from error
    distributed.destroy_process_group()


def end(message: str, code: int) -> int:
    """Say why this process ends, unless another one has done so for all; returns the exit code of all."""
    place = place_among_processes()
    if place is not None:
        own = f"{code} {place.rank}"
        said = _last_word(own)
        if said != own:
            return int(said.split()[0])
    print(message, file=sys.stderr, flush=True)
    return code


def _last_word(own: str) -> str:
    """What the process that ended first left in torchrun's store: our own word where there was none."""
    from torch import distributed

    try:
        return _store().compare_set(LAST_WORD, "", own).decode()
    except distributed.DistError:  # torchrun itself is gone, and with it whom to ask
        return own


def _store() -> Store:
    """The table of texts that torchrun keeps for its processes; it outlives each of them."""
    from torch import distributed

    return next(distributed.rendezvous("env://"))[0]
