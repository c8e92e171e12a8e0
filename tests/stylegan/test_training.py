"""The trainer: exact resume, phases, losses and refusals."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stylegan.latents import latent_rotation, latents_to_z
from stylegan.losses import pyramid_loss, r1_penalty
from stylegan.phases import Phase, TrainingConfig, phases_from_tables
from stylegan.training import StyleGANTrainer, TrainingError, TrainingImages
from tests.stylegan import tiny

CPU = torch.device("cpu")
REGRESSION = Phase("regression", resolution=8, kimg=0.016, batch=4, lr_start=0.01, lr_end=0.001)
DISCRIMINATOR = Phase("discriminator", resolution=16, kimg=0.008, batch=4)
ADVERSARIAL = Phase(
    "adversarial", resolution=16, kimg=0.04, batch=4, fade_kimg=0.02, style_mixing=0.5, anchor_start=1.0
)


def _trainer(*phases: Phase, paired: bool = True, **changes: Any) -> StyleGANTrainer:
    config = TrainingConfig(
        phases=phases,
        generator=tiny.GENERATOR,
        discriminator=tiny.DISCRIMINATOR,
        **{"precision": "float32", "r1_interval": 2, **changes},
    )
    return StyleGANTrainer(config, TrainingImages(tiny.images(), tiny.latents() if paired else None), CPU)


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


@pytest.mark.parametrize("phase", [REGRESSION, DISCRIMINATOR, ADVERSARIAL], ids=lambda p: p.kind)
def test_three_and_three_steps_equal_six(phase: Phase) -> None:
    through, first, second = (_trainer(replace(phase, kimg=1.0)) for _ in range(3))
    for _ in range(6):
        through.step()
    for _ in range(3):
        first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    torch.manual_seed(99)
    for _ in range(3):
        second.step()
    _assert_equal(second.state_dict(), through.state_dict())


def test_phases_follow_each_other_and_a_resume_may_fall_anywhere() -> None:
    phases = (REGRESSION, DISCRIMINATOR, ADVERSARIAL)
    through, resumed = _trainer(*phases), _trainer(*phases)
    kinds, lods = [], []
    while not through.finished:
        kinds.append(through.phase.kind)
        through.step()
        lods.append(float(through.generator.synthesis.lod))
        fresh = _trainer(*phases)
        fresh.load_state_dict(copy.deepcopy(resumed.state_dict()))
        fresh.step()
        resumed = fresh
    assert kinds == ["regression"] * 4 + ["discriminator"] * 2 + ["adversarial"] * 10
    # The fade starts where the phase before it stood, which was at full resolution already.
    assert lods == [1.0] * 4 + [0.0] * 12
    _assert_equal(resumed.state_dict(), through.state_dict())


def test_a_higher_resolution_is_faded_in() -> None:
    coarse = Phase("adversarial", resolution=8, kimg=0.004, batch=4)
    trainer = _trainer(coarse, ADVERSARIAL, paired=True)
    lods = []
    while not trainer.finished:
        trainer.step()
        lods.append(round(float(trainer.generator.synthesis.lod), 3))
    assert lods == [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_regression_learns_the_pairs() -> None:
    rates = {"lr_start": 0.02, "lr_end": 0.02, "mapping_rate": 30.0, "beta1": 0.9}
    trainer = _trainer(Phase("regression", resolution=16, kimg=10, batch=20, **rates))
    losses = [trainer.step()["pyramid"] for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    generated, paired = trainer.preview(8)
    shuffled = paired.roll(1, dims=0)
    assert pyramid_loss(generated, paired, 2) < pyramid_loss(generated, shuffled, 2)


def test_what_each_phase_trains() -> None:
    for phase, trained in ((REGRESSION, "generator"), (DISCRIMINATOR, "discriminator")):
        trainer = _trainer(phase)
        before = {n: copy.deepcopy(dict(m.named_parameters())) for n, m in trainer.networks()}
        trainer.step()
        for name in ("generator", "discriminator"):
            after = dict(trainer.__dict__[name].named_parameters())
            changed = any(not torch.equal(before[name][key], after[key]) for key in after)
            assert changed == (name == trained)


def test_the_average_follows_the_generator() -> None:
    trainer = _trainer(REGRESSION, average_half_life_kimg=0.001)
    for _ in range(3):
        trainer.step()
    name = "synthesis.layer1.weight"
    current, smooth = (n.state_dict()[name] for n in (trainer.generator, trainer.generator_smooth))
    start = _trainer(REGRESSION).generator.state_dict()[name]
    assert 0 < (smooth - start).norm() < (current - start).norm()
    assert not trainer.generator_smooth.training
    assert torch.equal(trainer.generator_smooth.truncation.w_avg, trainer.generator.truncation.w_avg)


def test_every_image_is_used_once_per_pass() -> None:
    trainer = _trainer(ADVERSARIAL)
    rows = []
    for _ in range(10):
        rows.append(trainer._passes.rows(trainer.counters.images, 4))
        trainer.counters.images += 4
    first, second = np.concatenate(rows[:5]), np.concatenate(rows[5:])
    assert sorted(first) == sorted(second) == list(range(20))
    assert not np.array_equal(first, second)


def test_a_step_leaves_the_callers_random_numbers_alone() -> None:
    trainer = _trainer(ADVERSARIAL)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trainer.step()
    assert torch.equal(torch.rand(2), expected)


def test_mixed_precision_trains_alike_but_for_rounding() -> None:
    plain, mixed = (_trainer(ADVERSARIAL, precision=precision).step() for precision in ("float32", "bf16"))
    for name in ("loss_d", "loss_g", "r1", "pyramid"):
        assert mixed[name] == pytest.approx(plain[name], rel=0.1), name
        assert mixed[name] != plain[name], name


def test_half_of_the_pictures_of_a_folder_are_mirrored_if_asked_for() -> None:
    plain = Phase("adversarial", resolution=16, kimg=1, batch=20)
    shown = {}
    for mirror in (False, True):
        trainer = _trainer(plain, paired=False, mirror=mirror)
        batch = trainer._next_batch()
        pictures = trainer.data.batch(batch.rows, 16, CPU)
        found = trainer.steps._real_images(batch)
        as_they_are, turned = ((found == each).flatten(1).all(1) for each in (pictures, pictures.flip(3)))
        assert (as_they_are ^ turned).all()
        shown[mirror] = int(turned.sum())
    assert shown[False] == 0 and 0 < shown[True] < 20


def test_a_folder_of_pictures_allows_no_pairs() -> None:
    for phase in (REGRESSION, ADVERSARIAL):
        with pytest.raises(TrainingError, match="needs images with known latents"):
            _trainer(phase, paired=False)


def test_another_plan_is_not_resumed() -> None:
    state = _trainer(REGRESSION).state_dict()
    with pytest.raises(TrainingError, match="other 'seed'"):
        _trainer(REGRESSION, seed=5).load_state_dict(state)


def test_a_checkpoint_from_before_an_option_existed_is_resumed() -> None:
    trainer = _trainer(REGRESSION)
    state = trainer.state_dict()
    for key in ("augmentation", "augmentation_p", "freeze_d", "init", "rotation_seed"):
        del state["config"][key]
    del state["augmentation"], state["config"]["phases"][0]["optimizer"]
    trainer.load_state_dict(state)
    with pytest.raises(TrainingError, match="other 'augmentation'"):
        _trainer(REGRESSION, augmentation="fixed", augmentation_p=0.2).load_state_dict(state)


def test_images_of_another_size_are_refused() -> None:
    config = TrainingConfig((ADVERSARIAL,), tiny.GENERATOR, tiny.DISCRIMINATOR)
    with pytest.raises(TrainingError, match="must be"):
        StyleGANTrainer(config, TrainingImages(tiny.images(size=32), tiny.latents()), CPU)


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
