"""How good a face parser is: against exact label maps, and against itself on mirrored pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from sklearn.metrics import confusion_matrix

from segmentation.face_classes import CLASS_COUNT, CLASS_NAMES
from segmentation.face_crop import CROP_SIZE_PX, FaceCrop
from segmentation.facexformer import FaceXFormer
from segmentation.parser_batches import MIRRORED_CLASS
from segmentation.parsing import intersection_over_union, parse_faces
from segmentation.property_scores import compute_scores
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES

ENLARGEMENT = 2


@dataclass(frozen=True, eq=False)
class ParserFigures:
    """A parser held against exact label maps; intersections over unions (IoU) are those of the whole set.

    Attributes:
        iou: float64 `[11]`, against the fine truth; NaN for a class that occurs in neither.
        iou_at_picture_size: the same against the truth at the size of the pictures that were parsed.
        ceiling: the same of that coarser truth against the fine one: what a parser would reach that knew
            the class of each of the pictures' pixels, and nothing between them.
        confusion: float64 `[11, 11]`, rows are the fine truth, columns the answers, shares of the row.
        count: number of faces.
    """

    iou: np.ndarray
    iou_at_picture_size: np.ndarray
    ceiling: np.ndarray
    confusion: np.ndarray
    count: int

    def to_dict(self) -> dict[str, Any]:
        """The IoUs as plain numbers, means first; None for a class that occurs nowhere."""
        figures: dict[str, Any] = {"count": self.count}
        for name in ("iou", "iou_at_picture_size", "ceiling"):
            values = getattr(self, name)
            figures[f"mean_{name}"] = float(np.nanmean(values))
            plain = [None if np.isnan(value) else float(value) for value in values]
            figures[name] = dict(zip(CLASS_NAMES, plain, strict=True))
        return figures


def compare_with_truth(
    predicted: np.ndarray, fine_truth: np.ndarray, picture_truth: np.ndarray
) -> ParserFigures:
    """Hold label maps against the truth.

    Args:
        predicted: uint8 `[N, H, W]`, the parser's answer, N at least 1.
        fine_truth: the same shape, cut from label maps finer than the pictures.
        picture_truth: the same shape, cut from label maps of the pictures' own size.
    """
    counts = sum(
        confusion_matrix(truth.ravel(), answer.ravel(), labels=range(CLASS_COUNT))
        for truth, answer in zip(fine_truth, predicted, strict=True)
    )
    return ParserFigures(
        iou=intersection_over_union(predicted, fine_truth),
        iou_at_picture_size=intersection_over_union(predicted, picture_truth),
        ceiling=intersection_over_union(picture_truth, fine_truth),
        confusion=counts / np.maximum(counts.sum(axis=1, keepdims=True), 1),
        count=len(predicted),
    )


def score_agreement(
    predicted: np.ndarray, truth: np.ndarray, faces: np.ndarray, pictures: np.ndarray, boxes: np.ndarray
) -> dict[str, float | None]:
    """What the parser's mistakes do to the scores of algorithm 3.

    Args:
        predicted, truth: uint8 `[N, H, W]` label maps of the faces uint8 `[N, H, W, 3]`.
        pictures, boxes: as in `compute_scores`.

    Returns:
        property -> Pearson r of the scores on the predicted label maps with those on the true ones, over the
        faces of which both can be measured; None: fewer than three, or all are equal.
    """
    (ours, ours_valid), (theirs, theirs_valid) = (
        compute_scores(maps, faces, LABEL_ALGORITHM, pictures, boxes) for maps in (predicted, truth)
    )
    known = ours_valid & theirs_valid
    found: dict[str, float | None] = {}
    for column, name in enumerate(PROPERTY_NAMES):
        x, y = ours[known[:, column], column], theirs[known[:, column], column]
        varies = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
        found[name] = float(np.corrcoef(x, y)[0, 1]) if varies else None
    return found


def parse_mirrored(
    parser: FaceXFormer, images: Sequence[np.ndarray], crops: Sequence[FaceCrop]
) -> np.ndarray:
    """Parse pictures after enlarging and mirroring them, which an ideal parser would not notice.

    Args:
        parser: a FaceXFormer in eval mode.
        images: N pictures, uint8 `[H, W, 3]` RGB.
        crops: where their faces are; the same regions are cut out.

    Returns:
        label maps uint8 `[N, 224, 224]`, mirrored back: comparable with those of `crops` themselves.
    """
    faces = [enlarged_mirror_crop(image, crop.box) for image, crop in zip(images, crops, strict=True)]
    mirrored = parse_faces(parser, np.stack(faces)).label_maps
    return mirror_label_maps(mirrored)


def enlarged_mirror_crop(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """A face uint8 `[224, 224, 3]`, cut from the picture twice as large (bicubic) and mirrored.

    Args:
        image: uint8 `[H, W, 3]` RGB.
        box: left, top, right, bottom of the face in pixels of `image`, before mirroring.
    """
    height, width = image.shape[:2]
    size = (width * ENLARGEMENT, height * ENLARGEMENT)
    large = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    large = large.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    x0, y0, x1, y1 = box
    crop = large.resize(
        (CROP_SIZE_PX, CROP_SIZE_PX),
        Image.Resampling.BICUBIC,
        box=(
            *(ENLARGEMENT * (width - x1), ENLARGEMENT * y0),
            *(ENLARGEMENT * (width - x0), ENLARGEMENT * y1),
        ),
    )
    return np.array(crop)


def mirror_label_maps(label_maps: np.ndarray) -> np.ndarray:
    """Label maps uint8 `[..., H, W]` of the mirrored pictures: left and right classes change places."""
    return MIRRORED_CLASS[label_maps[..., ::-1]]
