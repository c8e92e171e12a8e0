"""Pictures of a tiny generator are found again among its latents, and bent into it."""

import pytest
import torch
from torch import Tensor, nn

from stylegan_modified.perceptual import ConvolutionFeatures, PictureDistance
from stylegan_modified.pivotal_tuning import bent, tune
from stylegan_modified.projection import LatentSpread, Projected, ProjectionRecipe, project, shrinking
from stylegan_modified.stylegan_generator import ConditionedGenerator, transplant
from tests.stylegan_modified import tiny

RECIPE = ProjectionRecipe(w_steps=30, wp_steps=30, w_prior=0.0, wp_prior=0.0)
ARCHITECTURES = pytest.mark.parametrize("architecture", ["stylegan", "stylegan2"])


def world(architecture: str = "stylegan") -> tuple[ConditionedGenerator, LatentSpread]:
    generator = transplant(tiny.base_generator(architecture=architecture)).requires_grad_(False)
    z = torch.randn(500, tiny.Z_DIM, generator=torch.Generator().manual_seed(0))
    return generator, LatentSpread(generator.mapping(z))


def people(generator: ConditionedGenerator, count: int) -> Tensor:
    z = torch.randn(count, tiny.Z_DIM, generator=torch.Generator().manual_seed(5))
    return generator(z)["image"]


def last(steps: object) -> Projected:
    *_, found = steps
    return found


@ARCHITECTURES
def test_a_picture_of_the_generator_is_found_again(architecture: str) -> None:
    generator, spread = world(architecture)
    targets = people(generator, 2)
    steps = list(project(generator, spread, PictureDistance(), targets, RECIPE))
    assert [step.step for step in steps] == list(range(61)) and steps[0].of == 60
    assert (steps[-1].distance < 0.25 * steps[0].distance).all()
    torch.testing.assert_close(generator.synthesis(steps[-1].wp), steps[-1].images)
    assert not torch.equal(steps[-1].wp[:, 0], steps[-1].wp[:, -1])  # in W+


def test_pictures_of_a_batch_do_not_influence_each_other() -> None:
    generator, spread = world()
    targets = people(generator, 5)
    # Batches of one size: those of another are rounded otherwise, and sixty steps of Adam make that grow.
    first, second = (
        last(project(generator, spread, PictureDistance(), targets[rows], RECIPE))
        for rows in ([0, 1, 2], [3, 1, 4])
    )
    torch.testing.assert_close(first.images[1], second.images[1])


def test_a_good_start_is_taken() -> None:
    generator, spread = world()
    z = torch.randn(2, tiny.Z_DIM, generator=torch.Generator().manual_seed(5))
    start = generator.mapping(z)
    first = next(project(generator, spread, PictureDistance(), people(generator, 2), RECIPE, start))
    assert first.distance.max() < 1e-3
    torch.testing.assert_close(spread.w(spread.v(start)), start, atol=1e-4, rtol=1e-3)


def test_the_prior_keeps_latents_where_people_are() -> None:
    generator, spread = world()
    targets = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    far = last(project(generator, spread, PictureDistance(), targets, RECIPE))
    strict = ProjectionRecipe(w_steps=30, wp_steps=30, w_prior=1.0, wp_prior=1.0)
    near = last(project(generator, spread, PictureDistance(), targets, strict))
    lengths = [float(spread.v(found.wp).square().mean()) for found in (near, far)]
    assert lengths[0] < 0.25 * lengths[1]


def test_a_small_photograph_is_compared_when_shrunk() -> None:
    generator, spread = world()
    small = shrinking(8)(people(generator, 2))
    steps = list(project(generator, spread, PictureDistance(), small, RECIPE, shrink=shrinking(8)))
    assert steps[-1].images.shape[-1] == 32
    errors = [float((shrinking(8)(step.images) - small).abs().mean()) for step in (steps[0], steps[-1])]
    assert errors[1] < 0.5 * errors[0]


def test_tuning_comes_nearer_and_changes_the_generator_of_that_person_only() -> None:
    generator, spread = world()
    target = people(transplant(tiny.base_generator(seed=7)), 1).detach()  # nobody whom this one can draw
    pivot = last(project(generator, spread, PictureDistance(), target, RECIPE))
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    *_, (change, loss) = tune(generator.synthesis, pivot.wp, target, PictureDistance(), 30, learning_rate=0.1)
    assert loss < 0.9 * float(pivot.distance)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    own = bent(generator, change)
    reached = PictureDistance()(own.synthesis(pivot.wp), PictureDistance().prepare(target))
    torch.testing.assert_close(reached, torch.tensor([loss]), atol=0.02, rtol=0.1)
    assert torch.equal(bent(generator, {}).synthesis(pivot.wp), generator.synthesis(pivot.wp))


def test_the_distance_hears_features_and_identity() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU())
    features = ConvolutionFeatures(network)

    def identity(images: Tensor) -> Tensor:
        return nn.functional.normalize(images.mean((2, 3)), dim=1)

    first, second = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert [part.shape[-1] for part in features(first)] == [16, 8]
    distance = PictureDistance([features], None, pixel_weight=0.0)
    assert torch.equal(distance(first, distance.prepare(first)), torch.zeros(2))
    assert (distance(second, distance.prepare(first)) > 0.01).all()

    class Identity(nn.Module):
        forward = staticmethod(identity)

    same = PictureDistance((), Identity(), pixel_weight=0.0, identity_weight=1.0)
    expected = 1 - (identity(first) * identity(second)).sum(1)
    torch.testing.assert_close(same(second, same.prepare(first)), expected)
