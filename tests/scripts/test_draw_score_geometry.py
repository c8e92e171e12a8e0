"""The figure of what each score measures."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pipeline.options import REPOSITORY

SCRIPT = REPOSITORY / "scripts/bundle/draw_score_geometry.py"


def test_a_figure_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "figure.png"
    command = [SCRIPT, "--workspace", tmp_path, "--size", 64, "--seed", 5, "--out", output, "--quiet"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert not exit_info.value.code
    with Image.open(output) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000  # pictures, and not empty panels
    assert output.stat().st_size < 400_000
