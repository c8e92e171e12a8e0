"""The pictures of a training: which count, in which order, and what a checkpoint remembers of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import stylegan_run, train_stylegan

# What a training on `aligned` is resumed by. Another value would refuse every checkpoint that people have.
WHAT = "9 pictures, sha256 c565926ab38eedf8"


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    """Ten JPEGs, two of them in a subfolder, and the table that calls nine of them usable."""
    folder = tmp_path / "pictures"
    (folder / "a.jpg.d").mkdir(parents=True)
    steps = np.add.outer(np.arange(24), np.arange(24))
    names = [*(f"{i}.jpg" for i in range(8)), "a.jpg.d/0.jpg", "a.jpg.d/10.jpg"]
    for i, name in enumerate(names):
        pixels = np.stack([steps * 5, steps[::-1] * 4 + i, np.full((24, 24), 20 * i)], axis=-1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name, quality=95, subsampling=0)
    rows = [f"{name},{'unsure' if i == 3 else 'ok'},{1 + (i > 5)}" for i, name in enumerate(names)]
    (folder / "aligned.csv").write_text("\n".join(["file,status,weight", *rows]) + "\n")
    return folder


def test_a_checkpoint_knows_the_same_pictures_again(aligned: Path, tmp_path: Path) -> None:
    options = train_stylegan.Options(folder=aligned)
    for _ in range(2):  # read, and from the cache
        images, what = stylegan_run.load_images(None, options, 16, tmp_path / "out", print)
        assert what == WHAT
        assert np.asarray(images.images).shape == (9, 16, 16, 3)
