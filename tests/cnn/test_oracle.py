"""The oracle: outputs, files, training that resumes exactly, losses, KID."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnn.oracle import IDENTITY_SIZE, Oracle, OracleConfig, load_oracle, read_pictures, save_oracle
from cnn.oracle_metrics import kernel_inception_distance
from cnn.oracle_training import (
    OracleTrainer,
    OracleTrainingOptions,
    PairedPortraits,
    degrade,
    evaluate_oracle,
)
from tests.process_groups import RecordingSGD, assert_same_gradients, in_processes

NAMES = ("eyes", "hair_color", "hair_length", "mouth", "pose", "background_mean", "background_std")
CONFIG = OracleConfig(NAMES, image_size=32, stem_channels=4, stage_channels=(8, 8, 8), pooled_channels=4)
OPTIONS = OracleTrainingOptions(steps=6, people_per_batch=8, warmup_steps=2)
CPU = torch.device("cpu")


@pytest.fixture(params=["residual", "strided"])
def oracle(request: pytest.FixtureRequest) -> Oracle:
    torch.manual_seed(0)
    return Oracle(replace(CONFIG, trunk=request.param))


@pytest.fixture(scope="module")
def people() -> PairedPortraits:
    rng = np.random.default_rng(0)
    truth = rng.random((20, 2, 9), dtype=np.float32)
    truth[:, :, :2] = rng.integers(0, 2, (20, 1, 2))
    images = rng.integers(0, 256, (20, 2, 32, 32, 3), dtype=np.uint8)
    return PairedPortraits(images, truth, pose_index=6)


def test_outputs_and_sizes(oracle: Oracle) -> None:
    for size in (32, 64, 50):
        found = oracle.eval()(torch.rand(3, 3, size, size) * 2 - 1)
        assert {name: tuple(value.shape) for name, value in found.items()} == {
            "gender": (3,),
            "quality": (3,),
            "properties": (3, 7),
            "identity": (3, IDENTITY_SIZE),
            "features": (3, 256),
        }
        torch.testing.assert_close(found["identity"].norm(dim=1), torch.ones(3))


def test_saved_oracle_reads_back_whatever_the_batch(
    oracle: Oracle, people: PairedPortraits, tmp_path: Path
) -> None:
    OracleTrainer(oracle, people, OPTIONS, CPU)
    truth = people.truth[:, :, 2:].reshape(-1, 7)
    np.testing.assert_allclose(oracle.property_mean, truth.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(oracle.property_sd, truth.std(axis=0), rtol=1e-5)
    path = tmp_path / "oracle.safetensors"
    save_oracle(path, oracle, {"seed": "0"})
    loaded = load_oracle(path)
    assert loaded.config == oracle.config
    assert not loaded.training
    assert all(value.dtype == torch.float32 for value in loaded.parameters())
    before, after, apart = (
        read_pictures(network, people.images[:, 0], batch_size=size)
        for network, size in ((oracle, 100), (loaded, 100), (loaded, 3))
    )
    torch.testing.assert_close(before["properties"], after["properties"], atol=2e-2, rtol=2e-2)
    for name in after:
        torch.testing.assert_close(after[name], apart[name], atol=1e-5, rtol=1e-5)


def test_the_strided_trunk_has_a_smooth_gradient_everywhere() -> None:
    """It sits in losses: every pixel gets a gradient, and a small step changes that only a little."""
    torch.manual_seed(0)
    network = Oracle(replace(CONFIG, trunk="strided")).eval()
    images = torch.rand(4, 3, 32, 32) * 2 - 1

    def gradient(at: torch.Tensor) -> torch.Tensor:
        at = at.clone().requires_grad_(True)
        reading = network(at)
        (found,) = torch.autograd.grad(reading["identity"][:, 0].sum() + reading["gender"].sum(), at)
        return found

    here, near = gradient(images), gradient(images + 1e-3 * torch.randn_like(images))
    assert (here.abs().amax(dim=1) > 0).all()
    assert (near - here).norm() < 0.02 * here.norm()


def test_damaged_or_foreign_files_are_refused(oracle: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "oracle.safetensors"
    save_oracle(path, oracle, {})
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:40], b"", b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="oracle.safetensors cannot be read as an oracle"):
            load_oracle(path)
    with pytest.raises(ValueError, match="missing.safetensors"):
        load_oracle(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("trunk", ["residual", "strided"])
def test_two_processes_train_as_one_does(trunk: str, people: PairedPortraits, tmp_path: Path) -> None:
    """Batch statistics and the comparison of identities reach over both; five people divide unevenly."""

    def job() -> dict[str, Any]:
        torch.manual_seed(0)
        options = replace(OPTIONS, people_per_batch=5, precision="float32")
        trainer = OracleTrainer(Oracle(replace(CONFIG, trunk=trunk)), people, options, CPU)
        optimizer = trainer.optimizer = RecordingSGD(trainer.optimizer.param_groups)
        rows = [trainer.step() for _ in range(2)]
        return {"gradients": optimizer.seen, "rows": rows, "oracle": trainer.oracle.state_dict()}

    one, (first, second) = job(), in_processes(2, tmp_path, job)
    assert_same_gradients(first["gradients"], one["gradients"])
    for key, expected in one["oracle"].items():
        torch.testing.assert_close(first["oracle"][key], expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(first["oracle"][key], second["oracle"][key])
    for row, expected in zip(first["rows"], one["rows"], strict=True):
        assert row == pytest.approx(expected, rel=1e-4)


def test_resumed_training_equals_an_uninterrupted_one(people: PairedPortraits, tmp_path: Path) -> None:
    def trainer() -> OracleTrainer:
        torch.manual_seed(0)
        return OracleTrainer(Oracle(CONFIG), people, OPTIONS, CPU)

    whole, first, second = trainer(), trainer(), trainer()
    for _ in range(6):
        whole.step()
    for _ in range(3):
        first.step()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    torch.rand(5)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(3):
        second.step()
    for name, value in whole.oracle.state_dict().items():
        assert torch.equal(value, second.oracle.state_dict()[name]), name
    with pytest.raises(ValueError, match="20 people are fewer than one batch of 64"):
        OracleTrainer(Oracle(CONFIG), people, OracleTrainingOptions(), CPU)


def test_training_learns_what_the_pictures_show() -> None:
    """Brightness stands for every property: a few steps must find it."""
    rng = np.random.default_rng(1)
    level = rng.random((64, 2, 1), dtype=np.float32)
    labels = (level[:, :1] > 0.5).repeat(2, axis=1).repeat(2, axis=2)
    truth = np.concatenate([labels, level.repeat(7, axis=2)], axis=2)
    images = (level[..., None, None] * 200 + rng.integers(0, 40, (64, 2, 32, 32, 3))).astype(np.uint8)
    people = PairedPortraits(images, truth.astype(np.float32), pose_index=6)
    torch.manual_seed(0)
    options = OracleTrainingOptions(steps=25, people_per_batch=32, warmup_steps=4, learning_rate=5e-3)
    trainer = OracleTrainer(Oracle(CONFIG), people, options, CPU)
    losses = [trainer.step()["properties"] for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    figures = evaluate_oracle(trainer.oracle, people)
    assert figures["property_r"]["background_mean"] > 0.8


def test_degraded_pictures_keep_their_colours() -> None:
    images = np.full((64, 32, 32, 3), (180, 120, 60), np.uint8)
    found = (degrade(images, np.random.default_rng(0)).mean(dim=(2, 3)) + 1) * 127.5
    np.testing.assert_allclose(found.mean(dim=0), (180, 120, 60), atol=3)
    assert found.std(dim=0).max() < 10


def test_kernel_inception_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(count, 8, generator=generator).double() for count in (3, 2))
    k = [[float((a @ b / 8 + 1) ** 3) for b in torch.cat([x, y])] for a in torch.cat([x, y])]
    within_x = (k[0][1] + k[0][2] + k[1][2]) / 3
    cross = sum(k[i][j] for i in range(3) for j in (3, 4)) / 6
    assert kernel_inception_distance(x, y) == pytest.approx(within_x + k[3][4] - 2 * cross)
    with pytest.raises(ValueError, match="two samples"):
        kernel_inception_distance(x[:1], y)
