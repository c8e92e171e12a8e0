"""Finds the face in a picture and cuts out the square that the parser reads.

Detector: MTCNN (see `mtcnn`). The crop follows FaceXFormer's own preparation: largest box, widened by a
quarter of its size on each side, clipped to the picture, 224x224 bicubic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from segmentation.memory import ShrinkingBatches
from segmentation.mtcnn import load_mtcnn
from segmentation.segmenter_settings import SegmenterSettings

CROP_SIZE_PX = 224


@dataclass(frozen=True)
class FaceCrop:
    """One face, cut out and resized."""

    box: tuple[float, float, float, float]
    """Cut-out region in pixels of the picture: left, top, right, bottom, after widening and clipping."""
    probability: float
    """The detector's confidence, 0 to 1."""
    face_count: int
    """Faces found in the picture; the largest one is the one cut out."""
    image: np.ndarray
    """uint8 `[224, 224, 3]` RGB."""


class FaceCropper:
    """Detects faces in batches and crops the largest of each picture."""

    def __init__(
        self,
        device: torch.device | str = "cpu",
        detection_size_px: int = SegmenterSettings.detection_size,
        min_face_fraction: float = SegmenterSettings.min_face,
        margin: float = SegmenterSettings.margin,
        batch_size: int = 64,
        on_shrink: Callable[[int], None] = lambda size: None,
        weights: Path | None = None,
    ) -> None:
        """Loads the detector.

        Args:
            device: where the detector runs.
            detection_size_px, min_face_fraction, margin: see `SegmenterSettings`.
            batch_size: pictures detected together; halved when memory runs out.
            on_shrink: called with the new batch size after each halving.
            weights: folder with the detector's weights; None: the package's (see `load_mtcnn`).

        Raises:
            MTCNNWeightsError: a file of the folder is damaged.
        """
        self.detection_size_px = detection_size_px
        self.margin = margin
        self._batches = ShrinkingBatches(batch_size, on_shrink)
        smallest_px = max(min_face_fraction * detection_size_px, 12.0)
        self._detector = load_mtcnn(device, weights, select_largest=True, min_face_size=smallest_px)

    def __call__(self, images: Sequence[np.ndarray]) -> list[FaceCrop | None]:
        """Crops the largest face of each picture.

        Args:
            images: uint8 `[H, W, 3]` RGB; sizes may differ (equal ones are detected together).

        Returns:
            one entry per picture, None where no face was found.

        Raises:
            ValueError: a picture of another shape or type.
            NotEnoughMemoryError: a single picture does not fit into memory.
        """
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(f"pictures must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        scaled = [self._resize_for_detection(image) for image in images]
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(scaled):
            groups.setdefault(picture.shape, []).append(index)
        crops: list[FaceCrop | None] = [None] * len(scaled)
        for indices in groups.values():
            faces = self._batches.map(lambda part: self._detect([scaled[index] for index in part]), indices)
            for index, (found, confidence) in zip(indices, chain.from_iterable(faces), strict=True):
                if found is not None:
                    factor = images[index].shape[0] / scaled[index].shape[0]
                    largest = np.asarray(found[0], dtype=np.float64) * factor
                    crops[index] = self._crop(images[index], largest, float(confidence[0]), len(found))
        return crops

    def _detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray | None, np.ndarray]]:
        """Boxes, the largest first (None: no face), and their probabilities, per picture of one size."""
        boxes, probabilities = self._detector.detect(np.stack(pictures))
        return list(zip(boxes, probabilities, strict=True))

    def _resize_for_detection(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        scale = self.detection_size_px / min(height, width)
        if scale == 1.0:
            return image
        method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=method)

    def _crop(self, image: np.ndarray, face_box: np.ndarray, probability: float, face_count: int) -> FaceCrop:
        height, width = image.shape[:2]
        box = widen_box(face_box, self.margin, width, height)
        square = Image.fromarray(image).resize(
            (CROP_SIZE_PX, CROP_SIZE_PX), Image.Resampling.BICUBIC, box=box
        )
        return FaceCrop(box, probability, face_count, np.array(square))


def widen_box(
    box: Sequence[float] | np.ndarray, margin: float, width: int, height: int
) -> tuple[float, float, float, float]:
    """Widens a box (left, top, right, bottom) by `margin` times its size on each side.

    The result is clipped to a picture of width x height pixels.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    return max(x0 - dx, 0.0), max(y0 - dy, 0.0), min(x1 + dx, float(width)), min(y1 + dy, float(height))
