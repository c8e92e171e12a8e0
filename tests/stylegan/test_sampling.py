"""Images depend on (weights, seed) alone."""

import numpy as np
import pytest
import torch

from stylegan.sampling import from_uint8, sample_z, synthesize, to_uint8
from tests.stylegan import tiny


def _images(generator: torch.nn.Module, z: torch.Tensor, batch_size: int) -> torch.Tensor:
    return torch.cat([part["image"] for part in synthesize(generator, z, batch_size=batch_size)])


def test_z_of_an_image_depends_on_its_number_and_the_seed_only() -> None:
    z = sample_z(range(5), 10, 8)
    assert z.shape == (5, 8)
    assert torch.equal(sample_z([3], 10, 8)[0], z[3])
    assert torch.equal(sample_z([0], 13, 8)[0], z[3])
    assert not torch.equal(z[0], z[1])
    assert sample_z([], 0, 8).shape == (0, 8)


def test_batch_size_does_not_change_a_picture() -> None:
    generator = tiny.generator()
    for name, parameter in generator.named_parameters():
        if name.endswith("apply_noise.weight"):
            parameter.data.fill_(0.3)
    z = sample_z(range(7), 0, 8)
    together = _images(generator, z, 7)
    assert torch.allclose(_images(generator, z, 3), together, atol=1e-5)
    assert torch.allclose(_images(generator, z[4:5], 1), together[4:5], atol=1e-5)


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        next(synthesize(tiny.generator().train(), torch.zeros(1, 8)))


def test_uint8_round_trip() -> None:
    images = tiny.images(3)
    assert np.array_equal(to_uint8(from_uint8(images)), images)
    clipped = to_uint8(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1))
    assert clipped.reshape(-1).tolist() == [0, 128, 255]
    assert clipped.shape == (1, 1, 1, 3)
