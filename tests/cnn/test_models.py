"""Gender and quality networks: the document's sizes, other sizes, files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnn.dataset import normalize, resize, to_tensor
from cnn.models import (
    FilterCNN,
    gender_config,
    load_filter_cnn,
    quality_config,
    save_filter_cnn,
)

CONFIGS = {"gender": gender_config, "quality": quality_config}


@pytest.mark.parametrize(("name", "count"), [("gender", 5_845_697), ("quality", 6_828_481)])
def test_parameter_counts_of_the_document(name: str, count: int) -> None:
    network = FilterCNN(CONFIGS[name]())
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    dropouts = {layer.p for layer in network.modules() if isinstance(layer, (nn.Dropout2d, nn.Dropout))}
    assert dropouts == {0.05, 0.45}


def test_pooling_first_changes_nothing() -> None:
    """The order of the document, with the same random numbers, in training as well."""
    torch.manual_seed(0)
    block = torch.randn(4, 8, 10, 10)
    activation, dropout, pool = torch.nn.LeakyReLU(0.01), torch.nn.Dropout2d(0.5), torch.nn.MaxPool2d(2)
    torch.manual_seed(1)
    documents = pool(dropout(activation(block)))
    torch.manual_seed(1)
    assert torch.equal(dropout(activation(pool(block))), documents)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [64, 96, 128, 256])
def test_one_logit_per_picture_at_every_size(name: str, size: int) -> None:
    network = FilterCNN(CONFIGS[name](size, width=1 / 32)).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2,)
    with pytest.raises(ValueError, match=rf"\[N, 3, {size}, {size}\]"):
        network(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="too small"):
        FilterCNN(quality_config(32))


def test_quality_looks_at_the_top_centre_only() -> None:
    torch.manual_seed(0)
    network = FilterCNN(quality_config(64, width=1 / 16)).eval()
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    assert network.crop(images).shape == (1, 3, 16, 32)
    elsewhere = images.clone()
    elsewhere[:, :, 16:] = 1
    elsewhere[:, :, :, :16] = 1
    elsewhere[:, :, :, 48:] = 1
    assert torch.equal(network(images), network(elsewhere))
    inside = images.clone()
    inside[:, :, 15, 47] = 1
    assert not torch.equal(network(images), network(inside))


@pytest.mark.parametrize("name", CONFIGS)
def test_larger_pictures_are_shrunk_as_the_files_are(name: str) -> None:
    """A network for 64 px sees the same in a picture of 128 px as in its file read at 64 px."""
    torch.manual_seed(0)
    network = FilterCNN(CONFIGS[name](64, width=1 / 16)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    large = normalize(to_tensor(pixels[None]))
    small = normalize(to_tensor(resize(pixels, 64)[None]))
    assert large.shape != small.shape
    torch.testing.assert_close(network.crop(large), network.crop(small), atol=0.008, rtol=0)
    torch.testing.assert_close(network(large), network(small), atol=0.02, rtol=0)


def test_saved_network_reads_back(tmp_path: Path) -> None:
    network = FilterCNN(quality_config(64, width=1 / 16)).eval()
    save_filter_cnn(tmp_path / "quality.pt", network, {"fold": 3, "seed": 7})
    loaded, extra = load_filter_cnn(tmp_path / "quality.pt")
    images = torch.rand(2, 3, 64, 64)
    assert not loaded.training
    assert extra == {"fold": 3, "seed": 7}
    assert loaded.config == network.config
    assert torch.equal(loaded(images), network(images))


def test_damaged_or_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gender.pt"
    network = FilterCNN(gender_config(64, width=1 / 32))
    other = FilterCNN(replace(network.config, hidden=256)).state_dict()
    save_filter_cnn(path, network, {})
    contents = [path.read_bytes()[:-1000], b"", b"not a network"]
    for content in (
        {"config": {"channels": (4,)}, "state_dict": {}},
        {"config": network.config.__dict__, "state_dict": other, "extra": {}},
    ):
        torch.save(content, path)
        contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="gender.pt is no gender, quality or property network"):
            load_filter_cnn(path)
