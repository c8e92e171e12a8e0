"""The trainer: exact resume, phases, losses and refusals."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stylegan.batches import TrainingImages
from stylegan.latents import latent_rotation, latents_to_z
from stylegan.losses import path_lengths, pyramid_loss, r1_penalty
from stylegan.phases import Phase, phases_from_tables
from stylegan.training import StyleGANTrainer, TrainingError
from tests.stylegan import tiny

REGRESSION = Phase("regression", resolution=8, kimg=0.016, batch=4, lr_start=0.01, lr_end=0.001)
DISCRIMINATOR = Phase("discriminator", resolution=16, kimg=0.008, batch=4)
ADVERSARIAL = Phase(
    "adversarial", resolution=16, kimg=0.04, batch=4, fade_kimg=0.02, style_mixing=0.5, anchor_start=1.0
)
AUGMENTED = {"augmentation": "adaptive", "augmentation_p": 0.4, "augmentation_kimg": 0.1}


def _steps(trainer: StyleGANTrainer, count: int) -> list[dict[str, float]]:
    return [trainer.step() for _ in range(count)]


def _assert_equal(first: Any, second: Any) -> None:
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            if key != "phase_seconds":
                _assert_equal(first[key], second[key])
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            _assert_equal(one, other)
    else:
        assert first == second


@pytest.mark.parametrize(
    ("phase", "changes"),
    [
        (REGRESSION, {}),
        (DISCRIMINATOR, {}),
        (ADVERSARIAL, AUGMENTED),
        (
            Phase(kimg=1, batch=4, style_mixing=0.5),
            {"architecture": "stylegan2", "path_length_weight": 2.0, "path_length_interval": 2, **AUGMENTED},
        ),
    ],
    ids=["regression", "discriminator", "adversarial", "stylegan2"],
)
def test_five_and_four_steps_equal_nine(phase: Phase, changes: dict[str, Any]) -> None:
    through, first, second = (
        tiny.trainer(replace(phase, kimg=1.0), paired=True, **changes) for _ in range(3)
    )
    rows = _steps(through, 9)
    _steps(first, 5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    torch.manual_seed(99)
    assert _steps(second, 4) == rows[5:]
    _assert_equal(second.state_dict(), through.state_dict())
    if changes:
        assert len({row["augment_p"] for row in rows}) > 1
        assert "r1" in rows[0] and "r1" not in rows[1]
        assert ("path_length" in rows[0]) == ("path_length_weight" in changes)


def test_phases_follow_each_other_and_a_resume_may_fall_anywhere() -> None:
    phases = (REGRESSION, DISCRIMINATOR, ADVERSARIAL)
    through, resumed = (tiny.trainer(*phases, paired=True) for _ in range(2))
    kinds, lods = [], []
    while not through.finished:
        kinds.append(through.phase.kind)
        through.step()
        lods.append(float(through.generator.synthesis.lod))
        fresh = tiny.trainer(*phases, paired=True)
        fresh.load_state_dict(copy.deepcopy(resumed.state_dict()))
        fresh.step()
        resumed = fresh
    assert kinds == ["regression"] * 4 + ["discriminator"] * 2 + ["adversarial"] * 10
    # The fade starts where the phase before it stood, which was at full resolution already.
    assert lods == [1.0] * 4 + [0.0] * 12
    _assert_equal(resumed.state_dict(), through.state_dict())


def test_a_higher_resolution_is_faded_in() -> None:
    coarse = Phase("adversarial", resolution=8, kimg=0.004, batch=4)
    trainer = tiny.trainer(coarse, ADVERSARIAL, paired=True)
    lods = []
    while not trainer.finished:
        trainer.step()
        lods.append(round(float(trainer.generator.synthesis.lod), 3))
    assert lods == [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_regression_learns_the_pairs() -> None:
    rates = {"lr_start": 0.02, "lr_end": 0.02, "mapping_rate": 30.0, "beta1": 0.9}
    trainer = tiny.trainer(Phase("regression", resolution=16, kimg=10, batch=20, **rates), paired=True)
    losses = [row["pyramid"] for row in _steps(trainer, 60)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    generated, paired = trainer.preview(8)
    assert pyramid_loss(generated, paired, 2) < pyramid_loss(generated, paired.roll(1, dims=0), 2)


@pytest.mark.parametrize(("phase", "trained"), [(REGRESSION, "generator"), (DISCRIMINATOR, "discriminator")])
def test_what_each_phase_trains(phase: Phase, trained: str) -> None:
    trainer = tiny.trainer(phase, paired=True)
    before = {name: copy.deepcopy(network.state_dict()) for name, network in trainer.networks()}
    trainer.step()
    for name, network in trainer.networks():
        changed = any(not torch.equal(before[name][key], p) for key, p in network.named_parameters())
        assert changed == (name == trained or (name, trained) == ("generator_smooth", "generator"))


def test_the_average_follows_the_generator() -> None:
    trainer = tiny.trainer(REGRESSION, paired=True, average_half_life_kimg=0.001)
    name = "synthesis.layer1.weight"
    start = trainer.generator.state_dict()[name].clone()
    _steps(trainer, 3)
    current, smooth = (n.state_dict()[name] for n in (trainer.generator, trainer.generator_smooth))
    assert 0 < (smooth - start).norm() < (current - start).norm()
    assert not trainer.generator_smooth.training
    assert torch.equal(trainer.generator_smooth.truncation.w_avg, trainer.generator.truncation.w_avg)


def test_every_image_is_used_once_per_pass() -> None:
    trainer = tiny.trainer(ADVERSARIAL, paired=True)
    rows = []
    for _ in range(10):
        rows.append(trainer._passes.rows(trainer.counters.images, 4))
        trainer.counters.images += 4
    first, second = np.concatenate(rows[:5]), np.concatenate(rows[5:])
    assert sorted(first) == sorted(second) == list(range(20))
    assert not np.array_equal(first, second)


def test_a_step_leaves_the_callers_random_numbers_alone() -> None:
    trainer = tiny.trainer(ADVERSARIAL, paired=True)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trainer.step()
    assert torch.equal(torch.rand(2), expected)


def test_mixed_precision_trains_alike_but_for_rounding() -> None:
    trainers = [tiny.trainer(ADVERSARIAL, paired=True, precision=p) for p in ("float32", "bf16")]
    plain, mixed = (trainer.step() for trainer in trainers)
    for name in ("loss_d", "loss_g", "r1", "pyramid"):
        assert mixed[name] == pytest.approx(plain[name], rel=0.1), name
        assert mixed[name] != plain[name], name


def test_half_of_the_pictures_of_a_folder_are_mirrored_if_asked_for() -> None:
    shown = {}
    for mirror in (False, True):
        trainer = tiny.trainer(Phase("adversarial", resolution=16, kimg=1, batch=20), mirror=mirror)
        batch = trainer._next_batch()
        pictures = trainer.data.batch(batch.rows, 16, tiny.CPU)
        found = trainer.steps._real_images(batch)
        as_they_are, turned = ((found == each).flatten(1).all(1) for each in (pictures, pictures.flip(3)))
        assert (as_they_are ^ turned).all()
        shown[mirror] = int(turned.sum())
    assert shown[False] == 0 and 0 < shown[True] < 20


@pytest.mark.parametrize("phase", [REGRESSION, ADVERSARIAL])
def test_a_folder_of_pictures_allows_no_pairs(phase: Phase) -> None:
    with pytest.raises(TrainingError, match="needs images with known latents"):
        tiny.trainer(phase)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(TrainingError, match="must be"):
        StyleGANTrainer(tiny.plan(), TrainingImages(tiny.images(size=32)), tiny.CPU)


def test_only_the_same_plan_is_resumed_and_new_options_count_as_their_default() -> None:
    state = tiny.trainer(REGRESSION, paired=True).state_dict()
    with pytest.raises(TrainingError, match="other 'seed'"):
        tiny.trainer(REGRESSION, paired=True, seed=5).load_state_dict(state)
    for key in ("augmentation", "augmentation_p", "freeze_d", "init", "rotation_seed"):
        del state["config"][key]
    del state["augmentation"], state["config"]["phases"][0]["optimizer"]
    tiny.trainer(REGRESSION, paired=True).load_state_dict(state)
    with pytest.raises(TrainingError, match="other 'augmentation'"):
        tiny.trainer(REGRESSION, paired=True, augmentation="fixed").load_state_dict(state)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "adversarial", "kimg": 1, "rl_start": 1}, "nearest one is 'lr_start'"),
        ({"kind": "dreaming", "kimg": 1}, "must be one of regression"),
        ({"kind": "adversarial"}, "never ends"),
    ],
)
def test_bad_phases_are_explained(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phases_from_tables([table])


def test_learning_rate_and_anchor_follow_the_progress() -> None:
    phase = Phase(kimg=1, seconds=10, lr_start=0.01, lr_end=0.0001, anchor_start=1.0, anchor_end=0.0)
    assert phase.progress(500, 2.0) == 0.5
    assert phase.progress(500, 8.0) == 0.8
    assert phase.learning_rate(0.5) == pytest.approx(0.001)
    assert phase.anchor_weight(0.25) == 0.75


def test_latents_survive_the_rotation() -> None:
    rotation = latent_rotation(8, seed=1)
    assert torch.allclose(rotation @ rotation.T, torch.eye(8), atol=1e-5)
    u, e = torch.randn(6, 5), torch.randn(6, 3)
    assert torch.allclose((latents_to_z(u, e, rotation) @ rotation.T)[:, :5], u, atol=1e-5)


def test_r1_of_a_linear_score() -> None:
    images = torch.randn(3, 2, 4, 4, requires_grad=True)
    slope = torch.randn(2, 4, 4)
    penalty = r1_penalty((images * slope).sum((1, 2, 3)), images)
    assert penalty.item() == pytest.approx(0.5 * float(slope.square().sum()), rel=1e-5)


def test_pyramid_loss_sees_shifts_at_every_scale() -> None:
    x = torch.rand(2, 3, 16, 16)
    assert pyramid_loss(x, x).item() == pytest.approx(0.01, rel=1e-3)
    assert pyramid_loss(x + 0.5, x).item() == pytest.approx(0.5, rel=1e-2)


def test_the_path_length_penalty_evens_the_paths() -> None:
    generator = tiny.stylegan2_generator()
    z = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))

    def lengths(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        wp = generator.truncation(generator.mapping(z))
        found = path_lengths(generator.synthesis(wp), wp)
        return found / found.detach().mean()

    before = lengths(5).std().detach()
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01)
    for seed in range(30):
        optimizer.zero_grad()
        (lengths(seed) - 1).square().mean().backward()
        optimizer.step()
    assert lengths(5).std().detach() < 0.8 * before
