"""What a GPU must do as a CPU does. Skipped without one; README says whether it was ever run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import portraits
from scripts.pipeline.places import REPOSITORY
from scripts.stages.stored_rows import near, store_rows
from segmentation.face_crop import FaceCropper
from stylegan.checkpoint import save_checkpoint
from stylegan.rows import ChosenRows
from stylegan.stylegan2_generator import StyleGAN2Generator
from stylegan.stylegan_generator import StyleGANGenerator
from tests.stylegan import test_golden
from tests.stylegan import tiny as tiny_base
from tests.stylegan_modified import tiny
from tests.stylegan_modified.test_training import KINDS, TRAINERS, numbers, take, weights

GPU = torch.device("cuda")
SCRIPT = REPOSITORY / "scripts" / "01_generate_candidates.py"
TRAINED = [name for name in KINDS if "document" not in name]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch sees")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny networks are built on the GPU."""
    monkeypatch.setattr(tiny, "DEVICE", GPU)


@pytest.mark.parametrize(
    ("name", "network"),
    [("generator_256", StyleGANGenerator), ("stylegan2_generator_256", StyleGAN2Generator)],
)
@torch.no_grad()
def test_generators_equal_the_reference(name: str, network: type) -> None:
    stored, config, call = test_golden._load(name)
    generator = test_golden.fill_with_known_weights(network(**config), str(stored["salt"])).to(GPU)
    image = generator(test_golden._noise(stored, generator.z_space_dim).to(GPU), **call)["image"].cpu()
    test_golden._assert_close(test_golden._center(image, stored["center"].shape[-1]), stored["center"])


@pytest.mark.parametrize("name", TRAINED)
def test_the_first_step_is_that_of_a_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for device in (torch.device("cpu"), GPU):
        monkeypatch.setattr(tiny, "DEVICE", device)
        trainer = TRAINERS[name]()
        assert trainer.device.type == device.type
        trainer.precision = "float32"
        rows.append(numbers(trainer.step()))
    assert rows[1] == pytest.approx(rows[0], rel=0.02, abs=1e-3)


@pytest.fixture(params=[False, True], ids=["as it is", "deterministic"])
def deterministic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """As without and with ``--deterministic``."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(request.param, warn_only=True)
    yield request.param
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", TRAINED)
def test_a_resumed_training_equals_one_that_ran_through(
    name: str, deterministic: bool, on_gpu: None, tmp_path: Path
) -> None:
    """Up to rounding, unless it is asked to be exact: a GPU adds in an order of its own."""
    through, first, second = (TRAINERS[name]() for _ in range(3))
    take(through, 6)
    take(first, 3)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    take(second, 3)
    expected = weights(through)
    for key, value in weights(second).items():
        if deterministic:
            assert torch.equal(value, expected[key]), key
        assert torch.allclose(value, expected[key], rtol=0.02, atol=1e-3), key


def test_mixed_precision_trains_200_steps_without_a_bad_value(on_gpu: None) -> None:
    trainer = TRAINERS["v2 dials"]()
    trainer.precision = "bf16"
    for row in take(trainer, 200):
        assert all(np.isfinite(list(row.values())))


def test_stylegan_takes_steps_and_goes_on() -> None:
    trainer, other = (tiny_base.trainer(device=GPU) for _ in range(2))
    for _ in range(3):
        assert np.isfinite(trainer.step()["loss_g"])
    other.load_state_dict(trainer.state_dict())
    assert trainer.step()["loss_g"] == pytest.approx(other.step()["loss_g"], rel=0.02)


def test_stored_rows_arrive_on_the_gpu(tmp_path: Path) -> None:
    parts = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)
    rows = store_rows(tmp_path, [parts], GPU)
    found = rows[torch.tensor([4, 0], device=GPU)]
    assert found.device.type == GPU.type and np.array_equal(found.cpu().numpy(), parts[[4, 0]])
    there = near(store_rows(tmp_path, [parts]), GPU)
    assert there.device.type == GPU.type
    chosen = ChosenRows(there, torch.tensor([3, 4]))[torch.tensor([1])]
    assert np.array_equal(chosen.cpu().numpy(), parts[[4]])


def test_the_detector_finds_the_same_faces() -> None:
    images = [*portraits.render_many([3, 4, 5], 128).images, np.zeros((128, 128, 3), np.uint8)]
    on_cpu, found = FaceCropper()(images), FaceCropper(GPU)(images)
    assert on_cpu[3] is found[3] is None
    for one, other in zip(on_cpu[:3], found[:3], strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=0.5)


def test_candidates_of_two_devices_agree(run_here, tmp_path: Path) -> None:
    generator = tiny_base.generator().state_dict()
    found = []
    for device in ("cpu", GPU.type):
        workspace = tmp_path / device
        save_checkpoint(
            workspace / "stylegan/stylegan_model.pth",
            generator=generator,
            discriminator=tiny_base.discriminator().state_dict(),
            generator_smooth=generator,
        )
        run_here(SCRIPT, "--workspace", workspace, "--count", 4, "--device", device)
        paths = sorted((workspace / "stylegan/synthesize_results").glob("*.jpg"))
        found.append(np.stack([np.asarray(Image.open(path)).astype(int) for path in paths]))
    assert found[0].shape == found[1].shape and np.abs(found[0] - found[1]).max() <= 4
