"""From pictures to faces with label maps: the cropper and the parser as one.

Whoever reads pictures reads them with this class and with the settings with which the training pictures were
read; with others the readings would be on another scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from segmentation.face_crop import FaceCrop, FaceCropper
from segmentation.facexformer import FaceXFormer
from segmentation.parsing import ParsedFaces, best_precision, parse_faces
from segmentation.segmenter_settings import SegmenterSettings


class Segmented(NamedTuple):
    """A face with its label map."""

    crop: FaceCrop
    label_map: np.ndarray
    """uint8 `[224, 224]`, class ids of the crop's pixels."""
    mean_probability: float
    """Probability of the chosen classes, averaged over the pixels."""
    strangeness: float
    """Above 1, unlike what the parser learned from; NaN: it cannot tell."""
    outputs: dict[str, np.ndarray]
    """float32 `[size]` per further task."""


class Segmenter:
    """Finds the face of each picture and assigns a class to each of its pixels."""

    def __init__(
        self,
        parser: FaceXFormer,
        settings: SegmenterSettings | None = None,
        mtcnn: Path | None = None,
        batch_size: int = 64,
        further_tasks: Sequence[str] = (),
        on_shrink: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Loads the detector.

        Args:
            parser: in eval mode; its device is that of both networks.
            settings: None: the defaults.
            mtcnn: folder with weights of the detector (see `load_mtcnn`).
            batch_size: pictures detected and parsed together; halved when memory runs out.
            further_tasks: names from `facexformer.TASKS` that the parser also answers.
            on_shrink: called with the new batch size after each halving.

        Raises:
            MTCNNWeightsError: a file of the detector is damaged.
        """
        self.parser, self.further_tasks = parser, tuple(further_tasks)
        self.settings = settings or SegmenterSettings()
        self.batch_size, self._on_shrink = batch_size, on_shrink
        self.cropper = FaceCropper(
            next(parser.parameters()).device,
            self.settings.detection_size,
            self.settings.min_face,
            self.settings.margin,
            batch_size,
            self._shrink,
            mtcnn,
        )

    def _shrink(self, size: int) -> None:
        self.batch_size = min(self.batch_size, size)
        self._on_shrink(size)

    def choose_precision(self, pictures: Sequence[np.ndarray], least_agreement: float) -> float | None:
        """Takes bfloat16 where the device is made for it and it classifies the pixels of these pictures as
        float32 does; else float32.

        Args:
            pictures: uint8 `[H, W, 3]` RGB.
            least_agreement: share of equal pixels that bfloat16 must reach.

        Returns:
            the share of equal pixels; None where bfloat16 was not tried.
        """
        precisions = [torch.float32, best_precision(next(self.parser.parameters()).device)]
        if precisions[0] == precisions[1]:
            self._use(torch.float32)
            return None
        label_maps = []
        for precision in precisions:
            self._use(precision)
            label_maps.append([face.label_map for face in self(pictures) if face is not None])
        same = [(exact == rough).mean() for exact, rough in zip(*label_maps, strict=True)]
        agreement = float(np.mean(same)) if same else 0.0
        if agreement < least_agreement:
            self._use(torch.float32)
        return agreement

    def _use(self, precision: torch.dtype) -> None:
        self.settings = replace(self.settings, precision=str(precision).removeprefix("torch."))

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[Segmented | None]:
        """Crops and parses pictures uint8 `[H, W, 3]` RGB; None where there is no face.

        Raises:
            NotEnoughMemoryError: a single picture does not fit into memory.
        """
        crops = self.cropper(pictures)
        found = [crop for crop in crops if crop is not None]
        if not found:
            return [None] * len(crops)
        parsed = self.parse(np.stack([crop.image for crop in found]))
        faces = iter(
            Segmented(
                crop,
                parsed.label_maps[row],
                float(parsed.probabilities[row]),
                float(parsed.strangeness[row]),
                {task: values[row] for task, values in parsed.outputs.items()},
            )
            for row, crop in enumerate(found)
        )
        return [None if crop is None else next(faces) for crop in crops]

    def parse(self, face_images: np.ndarray) -> ParsedFaces:
        """What the parser says about face crops uint8 `[N, 224, 224, 3]` RGB; see `parse_faces`."""
        precision = getattr(torch, self.settings.precision)
        return parse_faces(
            self.parser, face_images, self.batch_size, precision, self.further_tasks, self._shrink
        )

    def label_maps(self, pictures: np.ndarray) -> np.ndarray:
        """Label maps in the frame of pictures uint8 `[N, H, W, 3]`: uint8 `[N, H, W]`; background outside the
        face crop.
        """
        maps = np.zeros(pictures.shape[:3], np.uint8)
        for start in range(0, len(pictures), self.batch_size):
            part = slice(start, start + self.batch_size)
            paste_label_maps(maps[part], self(list(pictures[part])))
        return maps


def paste_label_maps(maps: np.ndarray, faces: Sequence[Segmented | None]) -> None:
    """Writes the label maps of N faces into uint8 `[N, H, W]`, where their crops lie in their pictures."""
    for picture_map, face in zip(maps, faces, strict=True):
        if face is not None:
            left, top, right, bottom = (round(value) for value in face.crop.box)
            size = (right - left, bottom - top)
            picture_map[top:bottom, left:right] = cv2.resize(
                face.label_map, size, interpolation=cv2.INTER_NEAREST
            )
