"""Reads the seven properties of new pictures on the scale of the training scores."""

import numpy as np

from segmentation.normalization import ScoreStatistics
from segmentation.property_scores import compute_scores
from segmentation.property_table import LABEL_ALGORITHM
from segmentation.segmenter import Segmenter, paste_label_maps


class PropertyJudge:
    """Reads normalised properties: the segmenter finds and parses the face, algorithm 3 measures it."""

    def __init__(self, segmenter: Segmenter, statistics: ScoreStatistics) -> None:
        """Joins the two.

        Args:
            segmenter: with the settings that read the pictures of the statistics.
            statistics: of the training scores.
        """
        self.segmenter, self.statistics = segmenter, statistics

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Properties of pictures uint8 `[N, H, W, 3]`: (values float64, valid bool) `[N, 7]`, normalised."""
        return self.read(images)[:2]

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Properties and label maps of pictures uint8 `[N, H, W, 3]` from one pass of the parser.

        Returns:
            (values float64, valid bool) `[N, 7]`, normalised, and label maps as from `label_maps`.
        """
        values = np.full((len(images), len(self.statistics.mean)), np.nan)
        valid = np.zeros(values.shape, dtype=bool)
        maps = np.zeros(images.shape[:3], np.uint8)
        size = self.segmenter.batch_size
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            segmented = self.segmenter(list(batch))
            paste_label_maps(maps[start : start + size], segmented)
            found = {row: face for row, face in enumerate(segmented) if face is not None}
            if found:
                rows = list(found)
                label_maps = np.stack([face.label_map for face in found.values()])
                faces = np.stack([face.crop.image for face in found.values()])
                boxes = np.array([face.crop.box for face in found.values()])
                raw, good = compute_scores(label_maps, faces, LABEL_ALGORITHM, batch[rows], boxes)
                values[[start + row for row in rows]] = self.statistics.normalize(raw)
                valid[[start + row for row in rows]] = good
        return values, valid, maps

    def strangeness(self, images: np.ndarray) -> np.ndarray:
        """How unlike its training the parser finds pictures uint8 `[N, H, W, 3]`: float64 `[N]`, above 1
        where its readings are unsure; NaN without a face, or if it cannot tell.
        """
        faces = self.segmenter(list(images))
        return np.array([np.nan if face is None else face.strangeness for face in faces], np.float64)

    def label_maps(self, images: np.ndarray) -> np.ndarray:
        """Label maps in the frame of the pictures: uint8 `[N, H, W]`; see `Segmenter.label_maps`."""
        return self.segmenter.label_maps(images)
