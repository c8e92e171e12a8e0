"""The figure of what each score measures."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.processes import exit_code


def test_a_figure_is_drawn(tmp_path: Path) -> None:
    output = tmp_path / "figure.png"
    words = ("--workspace", tmp_path, "--size", 64, "--seed", 5, "--out", output, "--quiet")
    assert exit_code("draw_score_geometry", *words) == 0
    with Image.open(output) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000  # pictures, and not empty panels
    assert output.stat().st_size < 400_000
