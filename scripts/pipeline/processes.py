"""A script under torchrun: several processes do one run, and the first of them writes for all.

The first process locks, checks, clears and records as a run alone does. The others wait for its decision and
then do the same work on a `Stage` without files and voice. Who ends early says why, once for all: the others
notice that it is gone, and end in silence with its exit code.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.pipeline.console import Console
from scripts.pipeline.errors import MissingInputError, UserError
from scripts.pipeline.launch import Place, place_among_processes
from scripts.pipeline.stage import Stage, Tool

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch.distributed import Store

# The others wait while the first one draws, measures or writes: torch's own 10 minutes are too short.
LONGEST_WAIT = timedelta(hours=12)
POLL_S = 0.05
DECISION, LAST_WORD = "decision", "last_word"
GO, NOTHING_TO_DO = "go", "nothing to do"

Run = Callable[[Any, Any], None]


class LostError(UserError):
    """Another process of the run is gone."""


class FollowingTool(Tool):
    """What the script's ``run`` receives in the other processes: it reads and calculates as in the first."""

    writes = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._console = Console(None, quiet=True)

    def alone_in(self, folder: Path, instead: str = "") -> AbstractContextManager[None]:
        """Nothing: the first process holds the lock for all."""
        return nullcontext()

    def write_json(self, relative: str, value: Any) -> None:
        """Nothing; so do the other methods that write."""

    def write_arrays(self, relative: str, **arrays: Any) -> None:
        pass

    def write_csv(self, relative: str, frame: pd.DataFrame) -> None:
        pass

    def save_image(self, relative: str, image: Any, **save_options: Any) -> None:
        pass

    def save_figure(self, relative: str, figure: Any, **save_options: Any) -> None:
        pass


class FollowingStage(FollowingTool, Stage):
    """`FollowingTool` for a numbered script."""


class SilentStage(Stage):
    """What a stage that makes items receives in the other processes: it writes its items and says nothing."""

    writes = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._console = Console(None, quiet=True)


def carry_out(
    name: str, several: bool, execute: Callable[[Run], None], follower: Callable[[], Tool], run: Run
) -> None:
    """Execute a script in this process, which may be one of several.

    Args:
        name: the script's name.
        several: whether the script can be run by several processes.
        execute: does in the first process what is to be done, calling the ``run`` that it is given for the
            work itself.
        follower: makes what ``run`` receives in the others.
        run: the work.

    Raises:
        UserError: several processes run a script that cannot use them, or one of them was lost.
    """
    place = place_among_processes()
    if place is None:
        execute(run)
    elif not several:
        raise UserError(
            f"torchrun started {place.count} processes, and {name} cannot share its work among them, so they "
            "would write the same files. Start it without torchrun."
        )
    elif place.is_first:
        _lead(execute, run)
    else:
        _follow(place, follower(), run)


@contextmanager
def one_voice() -> Iterator[None]:
    """Keep what is printed inside, such as help and wrong options, to the first process."""
    place = place_among_processes()
    if place is None or place.is_first:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


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


def _lead(execute: Callable[[Run], None], run: Run) -> None:
    store = _store()

    def together(tool: Tool, options: Any) -> None:
        tool.check_stop()  # one that was asked to stop while it waited has left
        store.set(DECISION, GO)
        with _group(tool.device):
            run(tool, options)

    execute(together)
    store.set(DECISION, NOTHING_TO_DO)  # heard only by those who have not been told to go


def _follow(place: Place, tool: Tool, run: Run) -> None:
    store = _store()
    while not store.check([DECISION]):
        if store.check([LAST_WORD]):
            raise UserError("the first process ended before the work began.")
        tool.check_stop()
        time.sleep(POLL_S)
    if store.get(DECISION).decode() != GO:
        return
    with _group(tool.device):
        if isinstance(tool, Stage):
            try:
                tool.check_inputs()
            except MissingInputError as error:
                raise MissingInputError(
                    f"process {place.rank} of {place.count} on {socket.gethostname()} does not see what the "
                    f"first one sees, but all machines must share the workspace: {error}"
                ) from error
        run(tool, tool.options)


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
