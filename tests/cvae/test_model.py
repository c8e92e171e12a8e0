"""Both architectures: shapes, bound, noise that decodes a picture again, files and their refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cvae.conditions import CONDITION_NAMES, NEUTRAL, ConditionScale
from cvae.dialled import DialledVAE
from cvae.latents import FittedPrior, Gaussian
from cvae.likelihood import DiscretisedLogistic
from cvae.model import ConditionalVAE, VAEConfig
from cvae.recipes import LAYOUTS
from segmentation.normalization import fit
from segmentation.property_table import PROPERTY_NAMES

ARCHITECTURES = ("plain", "hierarchical")
NAMES = CONDITION_NAMES[:3]
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def config(architecture: str, height: int = 16, width: int = 16, size: str = "tiny") -> VAEConfig:
    return VAEConfig(architecture, height, width, NAMES, *LAYOUTS[architecture, size], latent_size=8)


def network(architecture: str, **shape: int) -> ConditionalVAE:
    torch.manual_seed(0)
    model = ConditionalVAE(config(architecture, **shape)).eval()
    with torch.no_grad():  # first weights are small, so that everything nearly is the identity
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def test_probabilities_of_all_levels_add_up_to_one() -> None:
    levels = torch.arange(256) / 127.5 - 1
    levels = levels.view(256, 1, 1, 1)
    for mean, log_scale in ((0.1, -4.0), (-1.3, -2.0), (0.99, -6.5), (0.0, 0.0)):
        likelihood = DiscretisedLogistic(torch.full_like(levels, mean), torch.full_like(levels, log_scale))
        assert float(likelihood.log_probability(levels).exp().sum()) == pytest.approx(1, abs=1e-3)


def test_divergence_is_that_of_the_two_distributions() -> None:
    torch.manual_seed(0)
    prior, relative = Gaussian(*torch.randn(2, 3, 4)), Gaussian(*torch.randn(2, 3, 4))
    posterior = torch.distributions.Normal(
        prior.at(relative.mean), prior.log_deviation.exp() * relative.log_deviation.exp()
    )
    known = torch.distributions.Normal(prior.mean, prior.log_deviation.exp())
    expected = torch.distributions.kl_divergence(posterior, known).sum(1)
    torch.testing.assert_close(relative.divergence(), expected)


def test_the_fitted_prior_is_that_of_the_posteriors() -> None:
    torch.manual_seed(0)
    conditions = torch.randn(4000, 3)
    conditions[:, 2] = 0.5  # never changes
    mean = conditions @ torch.randn(3, 4) + torch.randn(4000, 4) @ torch.randn(4, 4) + 1
    posterior = Gaussian(mean, torch.full_like(mean, -2.0))
    prior = FittedPrior(4, 3)
    before = float(prior.divergence(posterior, conditions).mean())
    torch.testing.assert_close(prior.divergence(posterior, conditions), posterior.divergence())  # N(0, 1)
    prior.fit(posterior, conditions)
    vector = posterior.at(torch.randn_like(mean))
    noise = prior.noise_of(vector, conditions)
    torch.testing.assert_close(prior.at(noise, conditions), vector)
    torch.testing.assert_close(noise.T.cov(), torch.eye(4), atol=0.05, rtol=0)
    assert float(prior.divergence(posterior, conditions).mean()) < 0.8 * before
    known = torch.distributions.MultivariateNormal(
        prior.at(torch.zeros(5, 4), conditions[:5]), scale_tril=prior.factor
    )
    those = torch.distributions.MultivariateNormal(
        mean[:5], scale_tril=torch.diag_embed(posterior.log_deviation[:5].exp())
    )
    expected = torch.distributions.kl_divergence(those, known)
    torch.testing.assert_close(prior.divergence(posterior, conditions)[:5], expected, rtol=1e-4, atol=1e-4)


@each_architecture
def test_a_picture_is_its_noise(architecture: str) -> None:
    model = network(architecture)
    images, conditions = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 3)
    found = model.infer(images, conditions, torch.randn(2, model.z_space_dim))
    assert found.noise.shape == (2, model.z_space_dim)
    assert found.divergences.shape == (2, len(model.config.latent_shapes()))
    assert (found.divergences >= 0).all()
    again = model.decode(found.noise, conditions)
    torch.testing.assert_close(again.mean, found.likelihood.mean)
    other = model.decode(found.noise, 1 - conditions)
    assert not torch.allclose(other.mean, again.mean)


@each_architecture
def test_pictures_that_are_not_square_and_do_not_halve_evenly(architecture: str) -> None:
    model = network(architecture, height=24, width=20)
    images = torch.rand(1, 3, 24, 20)
    assert model.infer(images, torch.rand(1, 3)).likelihood.picture.shape == images.shape
    assert model.decode(torch.randn(1, model.z_space_dim), torch.rand(1, 3)).picture.shape == images.shape


def test_the_prior_of_finer_latents_depends_on_the_conditions_and_the_coarser_ones() -> None:
    model = network("hierarchical")
    level = model._levels(0)[0]
    seen = []
    level.prior.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    noise = torch.randn(1, model.z_space_dim)
    model.decode(noise, torch.zeros(1, 3))
    model.decode(noise, torch.ones(1, 3))
    noise[:, 0] += 3
    model.decode(noise, torch.ones(1, 3))
    assert not torch.allclose(seen[0], seen[1]) and not torch.allclose(seen[1], seen[2])


def test_latents_that_do_not_take_part_say_nothing() -> None:
    model = network("hierarchical")
    images, conditions = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 3)
    draws = torch.randn(2, model.z_space_dim)
    found = model.infer(images, conditions, draws, levels=1)
    assert (found.divergences[:, :2] > 0).all() and (found.divergences[:, 2:] == 0).all()
    other = found.noise.clone()
    coarse = sum(torch.Size(shape).numel() for shape in model.config.latent_shapes()[:2])
    assert torch.equal(other[:, coarse:], draws[:, coarse:])
    other[:, coarse:] += 1
    torch.testing.assert_close(
        model.decode(other, conditions, levels=1).mean, found.likelihood.mean, msg="by finer latents"
    )
    assert not torch.allclose(model.decode(other, conditions).mean, found.likelihood.mean)


def test_zero_temperature_is_one_person() -> None:
    model = network("hierarchical")
    pictures = model.decode(torch.randn(2, model.z_space_dim), torch.full((2, 3), NEUTRAL), 0.0).picture
    torch.testing.assert_close(pictures[0], pictures[1])


@pytest.mark.parametrize(("height", "width", "most"), [(64, 64, 1.05), (128, 104, 1.1), (256, 256, 1.4)])
def test_both_architectures_have_nearly_as_many_parameters(height: int, width: int, most: float) -> None:
    size = "small" if height == 64 else "full"
    with torch.device("meta"):
        counts = []
        for architecture in ARCHITECTURES:
            layout = LAYOUTS[architecture, size]
            names = CONDITION_NAMES
            model = ConditionalVAE(VAEConfig(architecture, height, width, names, *layout))
            counts.append(sum(parameter.numel() for parameter in model.parameters()))
    assert max(counts) / min(counts) < most
    assert (1.5e6 if size == "small" else 5e6) < min(counts) and max(counts) < 15e6


@each_architecture
def test_files_hold_the_network_and_its_halves(architecture: str) -> None:
    model = network(architecture)
    whole = ConditionalVAE.from_checkpoint(model.checkpoint(), architecture)
    decoder = ConditionalVAE.from_checkpoint(model.checkpoint(half="decoder"))
    noise, conditions = torch.randn(1, model.z_space_dim), torch.rand(1, 3)
    expected = model.decode(noise, conditions).mean
    for loaded in (whole, decoder):
        torch.testing.assert_close(loaded.decode(noise, conditions).mean, expected)
    halves = [set(model.checkpoint(half=half)["weights"]) for half in ("encoder", "decoder")]
    assert halves[0].isdisjoint(halves[1]) and halves[0] | halves[1] == set(model.state_dict())


def test_refusals() -> None:
    model = network("plain")
    with pytest.raises(ValueError, match="plain VAE, and a hierarchical one"):
        ConditionalVAE.from_checkpoint(model.checkpoint(), "hierarchical")
    with pytest.raises(ValueError, match="no conditional VAE"):
        ConditionalVAE.from_checkpoint({"weights": {}})
    with pytest.raises(ValueError, match="encoder alone"):
        ConditionalVAE.from_checkpoint(model.checkpoint(half="encoder"))
    damaged = model.checkpoint()
    del damaged["weights"]["picture_out.bias"]
    with pytest.raises(ValueError, match=r"picture_out\.bias"):
        ConditionalVAE.from_checkpoint(damaged)
    with pytest.raises(ValueError, match="no multiple of 2 px"):
        replace(model.config, height=15)
    with pytest.raises(ValueError, match="2 numbers were given"):
        model.decode(torch.zeros(1, model.z_space_dim), torch.zeros(1, 2))


def test_conditions_span_the_scores_and_a_head_from_ahead_is_in_the_middle() -> None:
    scores = np.random.default_rng(0).normal(size=(500, 7)) * 3 + 1
    statistics = fit(scores, np.ones(scores.shape, bool))
    scale = ConditionScale.fit(("eyes", "hair_color", "head"), statistics)
    low, high = statistics.percentiles[:, 0], statistics.percentiles[:, -1]
    seen = scale.conditions(statistics.normalize(np.stack([low, high, np.zeros(7)])))
    assert seen[:2, :2] == pytest.approx(np.array([[0, 1], [1, 0]]))  # dark hair has a low score
    assert seen[2, 2] == pytest.approx(0.5) and seen[1, 2] == pytest.approx(1) and seen[0, 2] > 0.05
    assert ConditionScale.from_dict(scale.to_dict()) == scale


def test_dials_become_conditions_with_the_documents_signs() -> None:
    scale = ConditionScale(NAMES, (0.5, 0.5, 0.5), (0.25, -0.25, 0.25))
    dialled = DialledVAE(network("plain"), scale, 32)
    assert dialled.dials == tuple(PROPERTY_NAMES[column] for column in scale.columns)
    assert "background_std" not in dialled.dials and "hair_color" in dialled.dials
    z = torch.randn(2, dialled.z_space_dim)
    properties = torch.zeros(2, 7)
    properties[0, PROPERTY_NAMES.index("hair_color")] = 9.0  # bright, beyond the range
    made = dialled(z, properties)["image"]
    assert made.shape == (2, 3, 32, 32)
    expected = dialled.model.decode(z[:1], torch.tensor([[0.5, 0.0, 0.5]])).picture
    small = torch.nn.functional.interpolate(expected, (32, 32), mode="bicubic", antialias=True).clamp(-1, 1)
    torch.testing.assert_close(made[:1], small)
