"""What draw_score_geometry does: one panel per property, drawn over the face that it measures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle

from data import portraits
from scripts.pipeline import Tool, UserError, files
from segmentation.face_classes import FaceClass
from segmentation.face_crop import FaceCrop, FaceCropper
from segmentation.parser_batches import crop_label_map
from segmentation.property_scores import compute_scores
from segmentation.property_scores_v3 import Face, background_mask, find_face, hair_end, lit_hair
from segmentation.property_table import PROPERTY_NAMES

ACCENT, SECOND, UNIT = "#ffe14d", "#39d0ff", "#ffffff"
TINT = (255, 40, 90)


class Example(NamedTuple):
    """A face with everything that its scores are computed from; arrays without the axis of images."""

    picture: np.ndarray
    crop: FaceCrop
    label_map: np.ndarray
    face: Face
    scores: np.ndarray


def run(tool: Tool, options: Any) -> None:
    """Measure one portrait and draw how."""
    files.write(options.out, draw(read_example(tool, options)), dpi=100)
    tool.finish({}, [str(options.out)])
    tool.log(f"written to {options.out}, {options.out.stat().st_size / 1e3:.0f} kB")


def read_example(tool: Tool, options: Any) -> Example:
    """Draw the portrait, cut out its face as stage 03 does, and measure it."""

    drawn = portraits.render_many([options.seed], options.size)
    crop = FaceCropper(tool.device)(list(drawn.images))[0]
    if crop is None:
        raise UserError(
            f"no face is found in portrait {options.seed}, so there is nothing to measure. Take another: "
            f"{tool.command('draw_score_geometry', '--seed', str(options.seed + 1))}"
        )
    label_map = crop_label_map(drawn.label_maps[0], np.array(crop.box) / options.size)
    scores, _ = compute_scores(label_map[None], crop.image[None], 3, drawn.images, np.array([crop.box]))
    return Example(drawn.images[0], crop, label_map, find_face(label_map[None]), scores[0])


def tinted(image: np.ndarray, mask: np.ndarray, opacity: float = 0.55) -> np.ndarray:
    """The image [H, W, 3] with a colour over the mask [H, W] and the rest paler: uint8."""
    mixed = image * 0.75 + 255 * 0.25
    mixed[mask] = (1 - opacity) * image[mask] + opacity * np.array(TINT)
    return mixed.astype(np.uint8)


def span(panel: Axes, start: tuple[float, float], end: tuple[float, float], color: str, text: str) -> None:
    """An arrow with two heads and a text beside its middle."""
    style = {"arrowstyle": "<->", "color": color, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
    panel.annotate("", xy=end, xytext=start, arrowprops=style)
    box = {"facecolor": "black", "alpha": 0.55, "pad": 1.5, "edgecolor": "none"}
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    panel.text(*middle, text, color=color, fontsize=8, ha="center", va="center", bbox=box)


def face_width(panel: Axes, face: Face, row: float) -> None:
    """The unit of lengths, at a row of the label map."""
    x, half = face.whole.x[0], face.width[0] / 2
    span(panel, (x - half, row), (x + half, row), UNIT, "face width")


def draw_eyes(panel: Axes, example: Example) -> None:
    """Ellipses of the eyes' areas with the width that both share."""

    eyes = (example.face.left_eye, example.face.right_eye)
    mask = np.isin(example.label_map, (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE))
    panel.imshow(tinted(example.crop.image, mask))
    width = np.mean([4 * np.sqrt(eye.variance_x[0]) for eye in eyes])
    for eye in eyes:
        x, y, height = eye.x[0], eye.y[0], eye.area[0] / (np.pi / 4 * width)
        panel.add_patch(Ellipse((x, y), width, height, fill=False, color=ACCENT, lw=1.6))
        span(panel, (x - width / 2, y + 26), (x + width / 2, y + 26), SECOND, "width")
        panel.plot([x, x], [y - height / 2, y + height / 2], color=ACCENT, lw=1.6)


def draw_hair_color(panel: Axes, example: Example) -> None:
    """The hair whose brightness counts, above the row beside the mouth."""
    hair = example.label_map == int(FaceClass.HAIR)
    panel.imshow(tinted(example.crop.image, lit_hair(example.face, hair[None])[0]))
    panel.axhline(example.face.whole.y[0] + 0.2 * example.face.height[0], color=SECOND, lw=1.4, ls="--")


def draw_hair_length(panel: Axes, example: Example) -> None:
    """From the row of the eyes to the end of the hair."""
    face = example.face
    hair = example.label_map == int(FaceClass.HAIR)
    end = min(hair_end(face, hair[None])[0], len(hair) - 1)
    panel.imshow(tinted(example.crop.image, hair, 0.35))
    panel.axhline(face.eye_y[0], color=SECOND, lw=1.4, ls="--")
    panel.axhline(end, color=SECOND, lw=1.4, ls="--")
    span(panel, (200, face.eye_y[0]), (200, end), ACCENT, "length")
    face_width(panel, face, face.whole.y[0])


def draw_mouth(panel: Axes, example: Example) -> None:
    """The opening between the lips, and the width that its area is divided by."""

    mouth = example.face.mouth
    panel.imshow(tinted(example.crop.image, example.label_map == int(FaceClass.INNER_MOUTH)))
    half = 2 * np.sqrt(mouth.variance_x[0])
    row = mouth.y[0] + 2 * np.sqrt(mouth.variance_y[0]) + 8
    span(panel, (mouth.x[0] - half, row), (mouth.x[0] + half, row), SECOND, "width")
    x, y = example.face.whole.x[0], example.face.whole.y[0]
    half_height = example.face.height[0] / 2
    span(
        panel,
        (x - 0.4 * half_height, y - half_height),
        (x - 0.4 * half_height, y + half_height),
        UNIT,
        "face height",
    )
    face_width(panel, example.face, y - 0.5 * half_height)


def draw_pose(panel: Axes, example: Example) -> None:
    """From the middle of the face to the middle of the nose."""

    face = example.face
    inside = np.isin(example.label_map, range(FaceClass.SKIN, FaceClass.HAIR))
    shown = tinted(example.crop.image, inside, 0.2)
    panel.imshow(tinted(shown, example.label_map == int(FaceClass.NOSE)))
    panel.axvline(face.whole.x[0], color=SECOND, lw=1.4, ls="--")
    panel.axvline(face.nose.x[0], color=ACCENT, lw=1.4, ls="--")
    span(panel, (face.whole.x[0], 16), (face.nose.x[0], 16), ACCENT, "")
    face_width(panel, face, face.whole.y[0] + 0.42 * face.height[0])


def draw_background(panel: Axes, example: Example) -> None:
    """The pixels of the whole picture that count, and the face crop in it."""

    left, top, right, bottom = box = example.crop.box
    shape = example.picture.shape[:2]
    mask = background_mask(example.label_map[None], example.face, np.array([box]), shape)[0]
    panel.imshow(tinted(example.picture, mask, 0.4))
    panel.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color=SECOND, lw=1.4))


def draw(example: Example) -> Figure:
    """One panel per property (the two of the background share one), with the scores in the titles."""

    drawers = (draw_eyes, draw_hair_color, draw_hair_length, draw_mouth, draw_pose, draw_background)
    scores = dict(zip(PROPERTY_NAMES, example.scores, strict=True))
    titles = [f"{name}  {scores[name]:+.3f}" for name in ("eyes", "hair_length", "mouth", "pose")]
    titles.insert(1, f"hair_color  {scores['hair_color']:.0f} of 255")
    titles.append(
        f"background: mean {scores['background_mean']:.0f}, std {scores['background_std']:.0f} of 255"
    )
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    for panel, drawer, title in zip(figure.subplots(2, 3).flat, drawers, titles, strict=True):
        drawer(panel, example)
        panel.set_axis_off()
        panel.set_title(title, fontsize=10)
    return figure
