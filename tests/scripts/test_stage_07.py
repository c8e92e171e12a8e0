"""Stage 07: what the encoder is judged by, it has not learned from."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scripts.stages.fine_tuning import v3
from stylegan_modified.fine_tuning import TrainingPictures


def numbered(count: int) -> TrainingPictures:
    """Pictures whose first property is their number."""
    properties = torch.zeros(count, 7)
    properties[:, 0] = torch.arange(count)
    return TrainingPictures(torch.zeros(count, 8, 8, 3, dtype=torch.uint8), properties)


@pytest.mark.parametrize(("count", "expected"), [(8, 1), (79, 8), (2000, 64)])
def test_some_pictures_are_kept_from_the_encoder(count: int, expected: int) -> None:
    seen, unseen = v3.hold_out(numbered(count), seed=0)
    assert len(unseen.images) == expected
    numbers = [part.properties[:, 0].tolist() for part in (seen, unseen)]
    assert sorted(numbers[0] + numbers[1]) == list(range(count))
    assert numbers[1] != v3.hold_out(numbered(count), seed=1)[1].properties[:, 0].tolist()


def test_the_error_is_that_of_the_pictures_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that shows black: the error is the brightness of the pictures."""
    images = torch.full((20, 8, 8, 3), 30, dtype=torch.uint8)
    images[15:] = 90

    class Black(nn.Module):
        def forward(self, z: torch.Tensor, properties: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"image": torch.full((len(z), 3, 8, 8), -1.0)}

    stage = SimpleNamespace(device=torch.device("cpu"))
    data = TrainingPictures(images, torch.zeros(20, 7))
    _, error = v3.reconstructions(stage, Black(), lambda pictures, own: (own, own), data)
    assert error == pytest.approx(45, abs=0.1)
