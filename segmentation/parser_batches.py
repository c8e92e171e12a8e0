"""Training batches of a face parser.

The parser will see pictures of a small GAN: 64 or 128 px, cropped by the face detector and enlarged to
224 px. So pictures are reduced, blurred, stained, compressed and tinted, and cropped where the detector
would crop them, with jitter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from cnn.jpeg import jpeg_copy
from segmentation.face_classes import CLASS_NAMES
from segmentation.face_crop import CROP_SIZE_PX

MIRRORED_CLASS = np.array([0, 1, 3, 2, 5, 4, 6, 7, 8, 9, 10], dtype=np.uint8)
"""Class of a pixel after the picture is flipped: left and right are sides of the picture."""

FACE_CLASSES = np.array([0 < index < 10 for index in range(len(CLASS_NAMES))])

# The detector's box (before widening) against the bounding box of the face's classes, measured on 300
# portraits: mean offset and standard deviation of left, top, right, bottom, as shares of the bounding box.
BOX_OFFSET = np.array([0.003, -0.045, 0.008, 0.022])
BOX_SPREAD = np.array([0.044, 0.091, 0.041, 0.035])
BOX_MARGIN = 0.25

REDUCED_SIZES_PX = (64, 96, 128, 128, 128)  # of portraits, which stand for pictures of a small generator
PHOTOGRAPH_SIZES_PX = (96, 128, 128, 192, 256)
CHROMA_SAMPLINGS = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)


def face_boxes(label_maps: np.ndarray) -> np.ndarray:
    """Where the detector would see the faces.

    Args:
        label_maps: uint8 `[N, H, W]`, each with a face.

    Returns:
        float64 `[N, 4]`: left, top, right, bottom as shares of the picture, before widening.
    """
    _, height, width = label_maps.shape
    is_face = FACE_CLASSES[label_maps]
    columns, rows = is_face.any(axis=1), is_face.any(axis=2)
    x0, x1 = columns.argmax(axis=1), width - columns[:, ::-1].argmax(axis=1)
    y0, y1 = rows.argmax(axis=1), height - rows[:, ::-1].argmax(axis=1)
    box = np.stack([x0 / width, y0 / height, x1 / width, y1 / height], axis=1)
    return box + BOX_OFFSET * _sizes(box)


def _sizes(box: np.ndarray) -> np.ndarray:
    """Width, height, width, height of boxes `[..., 4]`: the unit of each of their coordinates."""
    size = box[..., 2:] - box[..., :2]
    return np.concatenate([size, size], axis=-1)


class ParserBatches:
    """Augmented training batches; the batch of step t depends on the seed and t alone."""

    def __init__(
        self,
        images: np.ndarray,
        label_maps: np.ndarray,
        batch_size: int,
        seed: int,
        boxes: np.ndarray | None = None,
        sizes_px: Sequence[int] = REDUCED_SIZES_PX,
    ) -> None:
        """Keeps the pictures.

        Args:
            images: uint8 `[N, S, S, 3]` RGB.
            label_maps: uint8 `[N, S, S]`, classes of `CLASS_NAMES`.
            batch_size: crops per batch.
            seed: of everything random.
            boxes: float64 `[N, 4]`, where a detector saw the faces, as `face_boxes` has it; None: that.
            sizes_px: sides to which pictures are reduced, each as often as it stands there.
        """
        self.images, self.label_maps = images, label_maps
        self.boxes = face_boxes(label_maps) if boxes is None else boxes
        self.batch_size, self.seed, self.sizes_px = batch_size, seed, sizes_px

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops uint8 `[B, 224, 224, 3]` and label maps int64 `[B, 224, 224]`."""
        rng = np.random.default_rng((self.seed, step))
        pairs = [self._crop(index, rng) for index in rng.integers(len(self.images), size=self.batch_size)]
        crops, labels = (np.stack(part) for part in zip(*pairs, strict=True))
        return torch.from_numpy(crops), torch.from_numpy(labels.astype(np.int64))

    def _crop(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        picture = degrade(self.images[index], rng, self.sizes_px)
        label_map = self.label_maps[index]
        is_flipped = rng.random() < 0.5
        columns, rows = self._sampling_positions(self.boxes[index], is_flipped, rng)
        size = picture.shape[0]
        crop = cv2.remap(
            picture, columns * size - 0.5, rows * size - 0.5, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        size = label_map.shape[0]
        labels = cv2.remap(
            label_map,
            columns * size - 0.5,
            rows * size - 0.5,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return crop, MIRRORED_CLASS[labels] if is_flipped else labels

    @staticmethod
    def _sampling_positions(
        box: np.ndarray, is_flipped: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where in the picture (shares) a crop's pixels come from: jittered box, tilt, soft warp."""
        jittered = box + rng.normal(size=4) * (1.25 * BOX_SPREAD + 0.01) * _sizes(box)
        widened = jittered + BOX_MARGIN * _sizes(jittered) * (-1, -1, 1, 1)
        x0, y0, x1, y1 = widened.clip(0, 1)
        steps = (np.arange(CROP_SIZE_PX) + 0.5) / CROP_SIZE_PX
        columns, rows = np.meshgrid(x0 + steps * (x1 - x0), y0 + steps * (y1 - y0))

        tilt = math.radians(rng.normal() * 4)
        center_x, center_y = (x0 + x1) / 2, (y0 + y1) / 2
        dx, dy = columns - center_x, rows - center_y
        columns = center_x + dx * math.cos(tilt) - dy * math.sin(tilt)
        rows = center_y + dx * math.sin(tilt) + dy * math.cos(tilt)

        strength = rng.uniform(0, 0.012)
        warp = cv2.resize(rng.normal(size=(6, 6, 2)) * strength, columns.shape, interpolation=cv2.INTER_CUBIC)
        columns, rows = columns + warp[..., 0], rows + warp[..., 1]
        if is_flipped:
            columns, rows = columns[:, ::-1], rows[:, ::-1]
        return np.ascontiguousarray(columns, dtype=np.float32), np.ascontiguousarray(rows, dtype=np.float32)


def crop_label_map(label_map: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The label map of a face crop.

    Args:
        label_map: uint8 `[H, W]` of the whole picture.
        box: left, top, right, bottom of the crop as shares of the picture.

    Returns:
        uint8 `[224, 224]`, nearest neighbour.
    """
    height, width = label_map.shape
    steps = (np.arange(CROP_SIZE_PX) + 0.5) / CROP_SIZE_PX
    columns = ((box[0] + steps * (box[2] - box[0])) * width).astype(np.int64).clip(0, width - 1)
    rows = ((box[1] + steps * (box[3] - box[1])) * height).astype(np.int64).clip(0, height - 1)
    return label_map[rows[:, None], columns]


def degrade(image: np.ndarray, rng: np.random.Generator, sizes_px: Sequence[int]) -> np.ndarray:
    """Makes a clean picture look like a small generated one.

    Args:
        image: uint8 `[S, S, 3]` RGB.
        rng: source of the random choices.
        sizes_px: sides to choose from.

    Returns:
        uint8 `[R, R, 3]`, R one of these sides, or S if that is less: reduced, perhaps blurred, stained,
        noisy, with changed colours, compressed as JPEG.
    """
    size = min(int(rng.choice(sizes_px)), image.shape[0])
    picture: np.ndarray = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.2, 0.9) * size / 64)
    picture = change_colors(picture, rng)
    if rng.random() < 0.5:
        picture = stain(picture, rng)
    if rng.random() < 0.5:
        picture = picture + rng.normal(size=picture.shape) * rng.uniform(0, 6)
    picture = picture.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality, sampling = int(rng.integers(80, 98)), int(rng.choice(CHROMA_SAMPLINGS))
        settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
        picture = jpeg_copy(picture[..., ::-1], settings)[..., ::-1]
    return np.ascontiguousarray(picture)


def change_colors(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other contrast, brightness, tint and hue of a picture float32 `[S, S, 3]` in 0..255."""
    gain = np.exp(rng.normal(size=3) * 0.06 + rng.normal() * 0.1)
    mixing = np.eye(3) + rng.normal(size=(3, 3)) * 0.03
    contrast = math.exp(rng.normal() * 0.1)
    return ((picture - 128) * contrast + 128) @ mixing.T * gain + rng.normal() * 8


def stain(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft blotches and pixels pulled aside, as a generator makes them; float32 `[S, S, 3]` in 0..255."""
    size = picture.shape[0]
    cells = int(rng.integers(4, 17))
    blotches = cv2.resize(rng.normal(size=(cells, cells, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    pulled = cv2.resize(rng.normal(size=(16, 16, 2)), (size, size), interpolation=cv2.INTER_CUBIC)
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    shift = pulled * rng.uniform(0, 0.006) * size
    columns, rows = (columns + shift[..., 0]).astype(np.float32), (rows + shift[..., 1]).astype(np.float32)
    picture = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picture + blotches * rng.uniform(0, 8)
