"""TensorBoard events: trouble with them ends no training. `test_training` reads events of resumed ones."""

import resource
from pathlib import Path

import pytest
from tensorboard.backend.event_processing import event_accumulator

from scripts.stages.training_events import TrainingEvents


def take_steps(folder: Path) -> list[str]:
    """What a training of 200 steps says of its events."""
    said: list[str] = []
    with TrainingEvents(folder, said.append) as events:
        events.begin(0)
        for step in range(1, 201):
            events.scalars(step, {"loss": float(step), "undefined": float("nan")})
    return said


@pytest.mark.parametrize("trouble", ["no folder can be made", "full disk"])
def test_trouble_is_said_once_and_the_rest_goes_on(tmp_path: Path, trouble: str) -> None:
    if trouble == "full disk":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        try:
            said = take_steps(tmp_path / "v1")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        found = event_accumulator.EventAccumulator(str(tmp_path / "v1"))
        found.Reload()
        assert found.Tags()["scalars"] == ["loss"], "numbers that are not finite are left out"
        assert found.Scalars("loss")[0].value == 1, "what was written before can be read"
    else:
        (tmp_path / "logs").write_text("a file")
        said = take_steps(tmp_path / "logs/v1")
    assert len(said) == 1 and "No TensorBoard events" in said[0]
