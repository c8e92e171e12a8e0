"""The trainings: both recipes learn, a resumed one equals one that was not stopped, views match."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cnn.oracle import Oracle, OracleConfig
from sketch.colors import COLOR_NAMES, face_colors
from sketch.lines import draw, strokes_of_face
from sketch.pairs import SketchPairs, random_similarity
from sketch.recipes import SketchRecipe
from sketch.training import SketchTrainer, portrait_config
from tests.segmentation.drawn_faces import draw_face

TINY = SketchRecipe(
    width=4,
    most_channels=8,
    depth=3,
    discriminator_width=4,
    batch_size=4,
    steps=4,
    pixel_steps=1,
    latent_size=2,
)
CPU = torch.device("cpu")


def make_pairs(size: int, count: int = 6) -> SketchPairs:
    portraits, strokes, colors = [], [], []
    for number in range(count):
        label_map, picture = draw_face(gap=2.0 * number, turn=number - 3.0)
        step = 224 / size
        index = (np.arange(size) * step + step / 2).astype(int)
        portraits.append(np.ascontiguousarray(picture[index][:, index]))
        strokes.append(strokes_of_face(label_map, (0.0, 0.0, 1.0, 1.0)))
        colors.append(face_colors(portraits[-1], label_map, (0.0, 0.0, 1.0, 1.0)))
    sketches = np.stack([draw(part, size) for part in strokes])
    return SketchPairs(np.stack(portraits), sketches, strokes, np.stack(colors))


@pytest.fixture(scope="module")
def pairs() -> SketchPairs:
    return make_pairs(32)


def identity() -> torch.nn.Module:
    torch.manual_seed(0)
    oracle = Oracle(OracleConfig(("a",), 32, stage_channels=(4, 8), pooled_channels=4, trunk="strided"))
    return oracle.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "recipe",
    [
        TINY,
        replace(
            TINY,
            network="residual",
            match_parameters=True,
            adversarial_loss="least-squares",
            latent_size=0,
            colors=False,
        ),
        replace(TINY, recipe="document", network="residual"),
        replace(TINY, batch_size=1),
    ],
    ids=["ours", "residual", "document", "one pair per step"],
)
def test_a_resumed_training_equals_one_that_was_not_stopped(pairs: SketchPairs, recipe: SketchRecipe) -> None:
    straight, first, second = (SketchTrainer(pairs, recipe, CPU, identity()) for _ in range(3))
    for _ in range(4):
        values = straight.step()
    for _ in range(2):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        again = second.step()
    assert values == again and all(np.isfinite(list(values.values())))
    for name, tensor in straight.averaged().state_dict().items():
        assert torch.equal(tensor, second.averaged().state_dict()[name]), name


@pytest.mark.parametrize("recipe", ["ours", "document"])
def test_a_training_comes_nearer_to_the_portraits(pairs: SketchPairs, recipe: str) -> None:
    learning = replace(
        TINY, recipe=recipe, steps=40, generator_lr=5e-3, hand=0.0, dropout=0.0, pixel_steps=40
    )
    trainer = SketchTrainer(pairs, learning, CPU)
    values = [float(trainer.step()["pixel"]) for _ in range(learning.steps)]
    assert np.mean(values[-5:]) < 0.6 * np.mean(values[:5])
    assert trainer.finished


def test_the_documents_full_size_networks_train_and_resume() -> None:
    pairs = make_pairs(256, count=1)
    recipe = SketchRecipe(recipe="document", batch_size=1, steps=2)
    trainer = SketchTrainer(pairs, recipe, CPU)
    trainer.step()
    state = trainer.state_dict()
    trainer.load_state_dict(state)
    values = trainer.step()
    assert trainer.finished and all(np.isfinite(list(values.values())))
    moments = state["optimizers"]["generator"]["state"]
    assert len(moments) == 17 and all(int(one["step"]) == 2 for one in moments.values())


def test_lines_and_portrait_are_moved_alike(pairs: SketchPairs) -> None:
    """Portraits that are their own sketches stay so under the joint transform."""
    same = SketchPairs(
        np.repeat(pairs.sketches[..., None], 3, axis=3), pairs.sketches, pairs.strokes, pairs.colors
    )
    exact = replace(TINY, hand=0.0)
    lines, portraits, colors = same.batch(range(6), np.random.default_rng(0), exact)
    assert lines.shape == (6, 1, 32, 32) and colors.shape == (6, 5, 3)
    for line, portrait in zip(lines[:, 0], portraits.mean(dim=1), strict=True):
        assert np.corrcoef(line.ravel(), portrait.ravel())[0, 1] > 0.7
    document = replace(TINY, recipe="document")
    line, portrait, _ = same.batch([0], np.random.default_rng(0), document)
    assert not torch.equal(line[:, 0], portrait[:, 0]), "the document scales each by itself"
    matrices = [random_similarity(np.random.default_rng(number), exact) for number in range(40)]
    assert all(np.abs(matrix @ [0.5, 0.5, 1] - 0.5).max() < 0.15 for matrix in matrices)
    assert 8 < sum(np.linalg.det(matrix[:, :2]) < 0 for matrix in matrices) < 32, "half are mirrored"


def test_a_mirrored_portrait_comes_with_the_colours_of_its_sides(pairs: SketchPairs) -> None:
    halves = np.zeros_like(pairs.portraits)
    halves[:, :, 16:] = 200
    colors = np.zeros_like(pairs.colors)
    colors[:, COLOR_NAMES.index("background_right")] = 200
    sided = replace(pairs, portraits=halves, colors=colors)
    _, portraits, told = sided.batch(list(range(6)) * 4, np.random.default_rng(0), TINY)
    right_is_bright = portraits[:, :, :, 24:].mean(dim=(1, 2, 3)) > portraits[:, :, :, :8].mean(dim=(1, 2, 3))
    assert torch.equal(right_is_bright, told[:, COLOR_NAMES.index("background_right"), 0] > 0)
    assert 0 < right_is_bright.sum() < 24, "some are mirrored, and some are not"


def test_the_hand_is_as_unsteady_as_the_recipe_says(pairs: SketchPairs) -> None:
    steady, unsteady = (
        pairs.batch(range(6), np.random.default_rng(0), replace(TINY, hand=hand))[0] for hand in (1e-6, 2.0)
    )
    assert not torch.equal(steady, unsteady)


@pytest.mark.parametrize("weight", ["pixel_weight", "feature_weight", "perceptual_weight", "latent_weight"])
def test_every_weight_of_the_recipe_counts(pairs: SketchPairs, weight: str) -> None:
    trainers = [
        SketchTrainer(pairs, replace(TINY, pixel_steps=0, **changed), CPU, identity())
        for changed in ({}, {weight: 0.0})
    ]
    for trainer in trainers:
        trainer.step()
        trainer.step()
    ours, without = (trainer.network.state_dict() for trainer in trainers)
    assert any(not torch.equal(ours[name], without[name]) for name in ours)


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        portrait_config(replace(TINY, depth=6), 96)
