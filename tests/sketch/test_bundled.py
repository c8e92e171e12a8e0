"""The network that comes with the repository, on three sketches that a script drew with the page's pen."""

from pathlib import Path

import numpy as np
import pytest

from scripts.pipeline import REPOSITORY
from scripts.stages.image_files import read_image
from scripts.stages.workspace import BUNDLED_SKETCH_NETWORK
from segmentation.face_crop import FaceCropper
from sketch.given_sketches import prepared
from sketch.portrait_network import PortraitNetwork, load_network
from sketch.unet import parameter_count

DRAWN = [Path(__file__).with_name("drawn") / f"{name}.png" for name in ("aside", "bob", "laughing")]
COLORS = {
    "hair": (60, 36, 24),
    "skin": (214, 166, 140),
    "clothes": (40, 70, 120),
    "background_left": (90, 140, 110),
    "background_right": (110, 90, 140),
}


@pytest.fixture(scope="module")
def network() -> PortraitNetwork:
    return load_network(REPOSITORY / BUNDLED_SKETCH_NETWORK)


@pytest.fixture(scope="module")
def cropper() -> FaceCropper:
    return FaceCropper()


def test_its_size(network: PortraitNetwork) -> None:
    assert (REPOSITORY / BUNDLED_SKETCH_NETWORK).stat().st_size <= 6_000_000
    assert parameter_count(network) <= 3_000_000
    assert network.config.size == 128 and network.config.has_colors


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_drawn_sketch_becomes_a_face_in_the_colours_that_were_given(
    network: PortraitNetwork, cropper: FaceCropper, path: Path
) -> None:
    lines = prepared(read_image(path), 128).lines
    portraits, _ = network.variants(lines, [0, 1], COLORS)
    assert all(cropper(list(portraits)))
    for side, columns in (("background_left", slice(4, 20)), ("background_right", slice(-20, -4))):
        corner = portraits[:, 4:20, columns].astype(float).mean(axis=(0, 1, 2))
        assert np.abs(corner - COLORS[side]).max() < 40
    other, _ = network.variants(lines, [0], {**COLORS, "background_left": (180, 60, 60)})
    assert other[0, 4:20, 4:20, 0].mean() > portraits[0, 4:20, 4:20, 0].mean() + 40
    assert not np.array_equal(portraits[0], portraits[1])
