"""TensorBoard events: resumed trainings without doubled or stale steps, and trouble that ends no training."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from scripts.stages.training_events import TrainingEvents

PICTURE = np.full((6, 8, 3), 200, np.uint8)


def refuse(text: str) -> None:
    pytest.fail(text)


def take_steps(folder: Path, steps: range, done: int, say: Callable[[str], None] = refuse) -> None:
    """A training that goes on after `done` steps; step n logs n + done / 1000, every fifth has a preview."""
    with TrainingEvents(folder, say) as events:
        events.begin(done)
        events.picture(done, "preview", PICTURE)
        for step in steps:
            events.scalars(step, {"loss": step + done / 1000, "undefined": float("nan")})
            if step % 5 == 0:
                events.picture(step, "preview", PICTURE)


def read(folder: Path) -> tuple[list[tuple[int, float]], list[int]]:
    """Steps and values of the loss, and steps of the previews, as TensorBoard shows them."""
    found = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    assert found.Tags()["scalars"] == ["loss"]
    losses = [(event.step, round(event.value, 3)) for event in found.Scalars("loss")]
    return losses, [event.step for event in found.Images("preview")]


def test_a_resumed_training_shows_each_step_once(tmp_path: Path) -> None:
    take_steps(tmp_path / "v1", range(1, 13), done=0)  # killed at 12, its checkpoint is that of step 10
    take_steps(tmp_path / "v1", range(11, 16), done=10)
    losses, previews = read(tmp_path / "v1")
    assert losses == [(n, float(n)) for n in range(1, 11)] + [(n, n + 0.01) for n in range(11, 16)]
    assert previews == [0, 5, 10, 15]

    take_steps(tmp_path / "v1", range(1, 4), done=0)
    losses, previews = read(tmp_path / "v1")
    assert losses == [(1, 1.0), (2, 2.0), (3, 3.0)], "a training from the start shows nothing of earlier ones"
    assert previews == [0]


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    said: list[str] = []
    take_steps(tmp_path / "logs/v1", range(1, 8), 0, said.append)
    assert len(said) == 1
    assert "No TensorBoard events" in said[0]


def test_a_full_disk_is_said_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        take_steps(tmp_path / "v1", range(1, 200), 0, said.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(said) == 1
    losses, _ = read(tmp_path / "v1")
    assert losses[0] == (1, 1.0), "what was written before can be read"


def test_no_folder_no_events(tmp_path: Path) -> None:
    with TrainingEvents(None, refuse) as events:
        events.begin(0)
        events.scalars(1, {"loss": 1.0})
        events.picture(1, "preview", PICTURE)
