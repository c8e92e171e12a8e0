"""A script that runs out of memory ends with a message, not with a traceback."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.pipeline import Stage, StageOptions, StageSpec, option, run_stage


@dataclass(frozen=True)
class Options(StageOptions):
    """Use memory."""

    batch_size: int = option(16, help="pictures per step")


def out_of_gpu_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


HUNGRY: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.empty(1 << 57),
    "numpy": lambda: np.empty(1 << 57),
    "CUDA": out_of_gpu_memory,
}


def start(workspace: Path, work: Callable[[], object]) -> int:
    def run(stage: Stage, options: Options) -> None:
        work()

    with pytest.raises(SystemExit) as exit_info:
        run_stage(StageSpec("90_toy"), Options, run, ["--workspace", str(workspace), "--quiet"])
    return exit_info.value.code


@pytest.mark.parametrize("name", HUNGRY)
def test_memory_that_runs_out_is_a_message(name: str, tmp_path: Path, capsys) -> None:
    assert start(tmp_path, HUNGRY[name]) == 5
    message = capsys.readouterr().err
    assert "90_toy: there is not enough memory (" in message
    assert "--batch-size below 16 (which gives another result, so it needs --force)" in message
    assert "same command" in message


def test_other_errors_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run_stage(StageSpec("90_toy"), Options, _fail, ["--workspace", str(tmp_path), "--quiet"])


def _fail(stage: Stage, options: Options) -> None:
    raise RuntimeError("a bug")
