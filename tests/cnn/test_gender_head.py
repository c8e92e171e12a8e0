"""The layer that makes first labels of gender: fitted, written, read with the network that it belongs to."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cnn.gender_head import (
    fit_gender_head,
    is_gender_head,
    load_gender_head,
    read_genders,
    save_gender_head,
)
from cnn.identity import load_embedder
from scripts.pipeline import REPOSITORY

EMBEDDER = REPOSITORY / "data/photographs/loss_identity.safetensors"


@pytest.fixture(scope="module")
def faces() -> tuple[torch.Tensor, np.ndarray]:
    """Eight coloured grids, half of them turned upside down: two kinds that a layer can tell apart."""
    generator = torch.Generator().manual_seed(0)
    rising = torch.linspace(-1, 1, 64).view(1, 1, 64, 1).expand(8, 3, 64, 64)
    women = np.arange(8) % 2 == 0
    signs = torch.from_numpy(np.where(women, 1.0, -1.0)).float().view(8, 1, 1, 1)
    noise = 0.2 * torch.randn(8, 3, 64, 64, generator=generator)
    return (signs * rising + noise).clamp(-1, 1), women


def test_a_layer_is_fitted_and_comes_back_from_its_file(faces: tuple, tmp_path: Path) -> None:
    images, women = faces
    head = fit_gender_head(load_embedder(EMBEDDER), images, women)
    probability = read_genders(head, images)
    assert ((probability > 0.5) == women).all()
    embedder, path = tmp_path / EMBEDDER.name, tmp_path / "head.safetensors"
    shutil.copy(EMBEDDER, embedder)
    save_gender_head(path, head, embedder, {"trained_on": "grids"})
    assert is_gender_head(path) and not is_gender_head(embedder)
    np.testing.assert_allclose(read_genders(load_gender_head(path), images), probability, atol=1e-6)
    shutil.copy(REPOSITORY / "data/photographs/judge_identity.safetensors", embedder)
    with pytest.raises(ValueError, match="must lie beside it, unchanged"):
        load_gender_head(path)


def test_the_bundled_one_reads_with_the_network_of_the_losses() -> None:
    head = load_gender_head(REPOSITORY / "data/photographs/gender_head.safetensors")
    assert "Bottleneck" in "".join(type(module).__name__ for module in head.embedder.modules())
    assert 0 <= read_genders(head, torch.zeros(1, 3, 128, 128))[0] <= 1
