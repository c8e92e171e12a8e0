"""Sketches as people give them: either polarity, paper, any size; and what is no sketch."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scripts.stages.image_files import read_image
from sketch.given_sketches import SketchError, prepared
from sketch.lines import draw, strokes_of_face
from tests.segmentation.drawn_faces import draw_face

LINES = draw(strokes_of_face(draw_face()[0], (0.1, 0.05, 0.9, 0.85)), 512)


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def agreement(found: np.ndarray, lines: np.ndarray = LINES) -> float:
    expected = cv2.resize(lines, found.shape, interpolation=cv2.INTER_AREA)
    return float(np.corrcoef(found.ravel(), expected.ravel())[0, 1])


def test_either_polarity_gives_the_same_lines() -> None:
    light, dark = prepared(rgb(LINES), 128), prepared(rgb(255 - LINES), 128)
    assert agreement(light.lines) > 0.9 and agreement(dark.lines) > 0.9
    assert light.notes == [] and "dark lines on a light ground" in dark.notes[0]
    assert np.abs(light.lines.astype(int) - dark.lines).mean() < 2


def test_photographed_paper_with_a_shadow_and_noise() -> None:
    rng = np.random.default_rng(0)
    shadow = np.linspace(235, 150, 512)[None] * np.linspace(1, 0.85, 512)[:, None]
    paper = shadow[:, :, None] * (1.0, 0.97, 0.9) - 0.45 * LINES[:, :, None] + rng.normal(0, 4, (512, 512, 1))
    found = prepared(np.clip(paper, 0, 255).astype(np.uint8), 128)
    assert agreement(found.lines) > 0.75


def test_thin_lines_of_a_huge_sheet_stay_visible() -> None:
    huge = draw(strokes_of_face(draw_face()[0], (0.1, 0.05, 0.9, 0.85)), 4000, width=1 / 1000)
    found = prepared(rgb(255 - huge), 128)
    assert np.percentile(found.lines[found.lines > 25], 80) > 200
    assert agreement(found.lines) > 0.75


def test_a_wide_sheet_is_centred_and_a_small_drawing_enlarged() -> None:
    wide = np.full((512, 1024, 3), 255, np.uint8)
    wide[:, 256:768] = rgb(255 - LINES)
    notes = " ".join(prepared(wide, 128).notes)
    assert "1024 x 512 px were set on a square" in notes and "enlarged" in notes


def test_transparent_png(tmp_path: Path) -> None:
    drawn = np.zeros((512, 512, 4), np.uint8)
    drawn[:, :, 3] = LINES  # black ink on nothing
    Image.fromarray(drawn).save(tmp_path / "a.png")
    assert agreement(prepared(read_image(tmp_path / "a.png"), 128).lines) > 0.9


def photograph() -> np.ndarray:
    """A picture full of tones."""
    rng = np.random.default_rng(1)
    tones = cv2.resize(
        rng.uniform(0, 255, (24, 24, 3)).astype(np.float32), (512, 512), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(tones + rng.normal(0, 6, tones.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((64, 64, 3), 255, np.uint8), "no lines"),
        (np.zeros((64, 64, 3), np.uint8), "no lines"),
        (np.full((64, 64, 3), (200, 180, 90), np.uint8), "no lines"),
        (rgb(np.random.default_rng(0).choice([0, 255], (512, 512)).astype(np.uint8)), "ink"),
        (photograph(), "photograph"),
    ],
    ids=["white", "black", "coloured", "full of ink", "photograph"],
)
def test_what_is_no_sketch_is_named(picture: np.ndarray, message: str) -> None:
    with pytest.raises(SketchError, match=message):
        prepared(picture, 128)


def test_a_dot_is_no_sketch() -> None:
    dot = np.zeros((512, 512, 3), np.uint8)
    dot[250:270, 250:270] = 255
    with pytest.raises(SketchError, match="hardly a line"):
        prepared(dot, 128)
