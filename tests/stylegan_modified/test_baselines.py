"""Simple directions on tiny generators of either architecture: they move what they are named after."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stylegan_modified import baselines
from stylegan_modified.baselines import DirectionGenerator, equal_reach, fit_baseline
from tests.stylegan_modified import tiny

ARCHITECTURES = pytest.mark.parametrize("architecture", ["stylegan", "stylegan2"])
CANDIDATES = torch.randn(400, tiny.Z_DIM, generator=torch.Generator().manual_seed(0))
Z = torch.randn(6, tiny.Z_DIM, generator=torch.Generator().manual_seed(9))


@torch.no_grad()
def latents(generator: torch.nn.Module) -> Tensor:
    return generator.mapping(CANDIDATES)


def linear_truth(w: Tensor) -> Tensor:
    """[w_dim, 7]: orthogonal effects of w on seven properties of about unit variance."""
    rng = torch.Generator().manual_seed(1)
    rows, _ = torch.linalg.qr(torch.randn(w.shape[1], 7, generator=rng))
    return rows / (w @ rows).std(0)


def read(images: Tensor) -> Tensor:
    """Seven linear readings of a picture, one of each kind of place and colour."""
    halves = [images[:, :, :, :16].mean((2, 3)), images[:, :, :, 16:].mean((2, 3))]
    return 20 * torch.cat([*halves, images[:, :, 8:24].mean((1, 2, 3))[:, None]], dim=1)


@pytest.mark.parametrize("name", ["base", "interfacegan", "ganspace", "sefa"])
@ARCHITECTURES
def test_a_step_changes_its_own_property_by_one(name: str, architecture: str) -> None:
    generator = tiny.base_generator(architecture=architecture)
    w = latents(generator)
    effect = linear_truth(w)
    model = fit_baseline(name, generator, w, w @ effect + 0.3)
    response = model.directions @ effect
    torch.testing.assert_close(response.diagonal(), torch.ones(7), atol=0.1, rtol=0)
    if name == "base":
        torch.testing.assert_close(response, torch.eye(7), atol=0.02, rtol=0)
    with torch.no_grad():
        assert torch.equal(model(Z)["image"], generator(Z)["image"])
        mine = model.generator.mapping(Z) @ model.effect + model.offset
        torch.testing.assert_close(model(Z, mine)["image"], generator(Z)["image"], atol=1e-3, rtol=1e-3)
        assert not torch.allclose(model(Z, mine + 1)["image"], generator(Z)["image"])
        one = torch.full_like(mine, torch.nan)  # the other properties stay as they are
        one[:, 2] = 1.0
        both = mine.clone()
        both[:, 2] = 1.0
        torch.testing.assert_close(model(Z, one)["image"], model(Z, both)["image"], atol=1e-3, rtol=1e-3)


def test_interfacegan_directions_are_conditional() -> None:
    """Entangled properties: the plain normal of one would move the other."""
    w = torch.randn(2000, 16, generator=torch.Generator().manual_seed(2))
    effect = torch.randn(16, 7, generator=torch.Generator().manual_seed(3)) / 4
    effect[:, 1] = 0.8 * effect[:, 0] + 0.3 * effect[:, 1]
    directions = baselines.interfacegan_directions(w, w @ effect, effect)
    response = directions @ effect
    assert abs(float(response[0, 1])) < 0.2 and abs(float(response[1, 0])) < 0.2


@ARCHITECTURES
def test_a_single_channel_moves_what_is_read(architecture: str) -> None:
    generator = tiny.base_generator(architecture=architecture)
    w = latents(generator)
    with torch.no_grad():
        scores = read(generator.synthesis(generator.truncation(w)))
    model = fit_baseline("stylespace", generator, w, scores, read)
    assert sum(int((change != 0).sum()) for change in model.channels.values()) == 7
    with torch.no_grad():
        z = CANDIDATES[:64]  # the people whose gradients were taken
        own = model.generator.mapping(z) @ model.effect + model.offset
        before = read(model(z, own)["image"])
        for k in range(7):
            after = read(model(z, own + 0.02 * torch.eye(7)[k])["image"])
            assert float((after - before)[:, k].mean()) / 0.02 == pytest.approx(1.0, abs=0.1)
        assert torch.equal(model(Z)["image"], generator(Z)["image"])  # no hook is left behind
    with pytest.raises(ValueError, match="gradients on scores"):
        fit_baseline("stylespace", generator, w, scores)


def test_steps_are_sized_by_what_pictures_show() -> None:
    generator = tiny.base_generator()
    w = latents(generator)
    with torch.no_grad():
        raw = read(generator.synthesis(generator.truncation(w)))

    def standard(images: Tensor) -> Tensor:
        return (read(images) - raw.mean(0)) / raw.std(0)

    def slopes(model: DirectionGenerator) -> np.ndarray:
        with torch.no_grad():
            own = model.generator.mapping(Z) @ model.effect + model.offset
            found = []
            for k in range(7):
                low, high = own.clone(), own.clone()
                low[:, k], high[:, k] = -1.0, 1.0
                moved = standard(model(Z, high)["image"]) - standard(model(Z, low)["image"])
                found.append(float(moved[:, k].mean()) / 2)
        return np.array(found)

    model = fit_baseline("ganspace", generator, w, (raw - raw.mean(0)) / raw.std(0))
    model.size *= 2.0
    before = np.abs(slopes(model) - 1).mean()
    after = np.abs(slopes(equal_reach(model, Z, torch.tensor([-1.0, 0.0, 1.0]), standard)) - 1).mean()
    assert after < 0.5 * before


def test_too_few_latents_are_refused() -> None:
    generator = tiny.base_generator()
    w = latents(generator)[:10]
    with pytest.raises(ValueError, match="too few"):
        fit_baseline("base", generator, w, torch.zeros(10, 7))
