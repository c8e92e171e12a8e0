"""Property scores: seven numbers per face from its label map and picture.

`compute_scores` is the entry point. Algorithm 1 is the document's (section 2-1), algorithm 2 the refined one
that the document's authors used later, algorithm 3 (`property_scores_v3`) measures in units of the face and
is the one that makes good training labels. Scores are raw; `normalization` brings them to mean 0 and standard
deviation 1.
"""

from collections.abc import Callable

import numpy as np

from segmentation import mask_measures as measures
from segmentation.face_classes import CLASS_COUNT, FaceClass
from segmentation.mask_measures import class_mask
from segmentation.property_scores_v3 import measure_v3
from segmentation.property_table import PROPERTY_NAMES

REFERENCE_SIZE = 224  # windows and pixel thresholds below are for label maps of this size
_EYE_COLUMNS = (0, 168), (56, 224)  # where algorithms 1 and 2 look for the left and the right eye
_CHUNK = 64  # images measured at once: enough that NumPy's calls cost little, few enough for the cache

Measurement = tuple[np.ndarray, np.ndarray]  # values float64 [N], valid bool [N]


def _window(label_map: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """View of rows[0] <= row < rows[1] and the same for columns, given for the reference size."""
    height, width = label_map.shape[1:]
    top, bottom = (round(row * height / REFERENCE_SIZE) for row in rows)
    left, right = (round(column * width / REFERENCE_SIZE) for column in columns)
    return label_map[:, top:bottom, left:right]


def _background(label_map: np.ndarray, image_rgb: np.ndarray) -> tuple[Measurement, Measurement]:
    """Mean and population std over the middle 90 % of the background's brightness in the upper half."""
    half = label_map.shape[1] // 2
    histograms = measures.brightness_histograms(
        class_mask(label_map[:, :half], FaceClass.BACKGROUND), image_rgb[:, :half]
    )
    count = histograms.sum(axis=1)
    kept = measures.trim_shares(histograms, 0.05, 0.95)
    kept = np.where((count == 1)[:, None], histograms, kept)
    mean, std = measures.histogram_moments(kept)
    valid = count > 0
    return (np.where(valid, mean, 192.0), valid), (np.where(valid, std, 0.0), valid.copy())


def _eyes_v1(label_map: np.ndarray) -> Measurement:
    left_window, right_window = (_window(label_map, (56, 140), columns) for columns in _EYE_COLUMNS)
    left, left_present = measures.extent_height(class_mask(left_window, FaceClass.LEFT_EYE))
    right, right_present = measures.extent_height(class_mask(right_window, FaceClass.RIGHT_EYE))
    return (left + right) / 2, left_present & right_present


def _hair_color_v1(label_map: np.ndarray, image_rgb: np.ndarray) -> Measurement:
    median = measures.histogram_median(
        measures.brightness_histograms(class_mask(label_map, FaceClass.HAIR), image_rgb)
    )
    return median, ~np.isnan(median)


def _hair_length_v1(label_map: np.ndarray) -> Measurement:
    hair = class_mask(label_map, FaceClass.HAIR)
    _, last, present = measures.extents(measures.row_counts(hair) > 0)
    # Hair that leaves the image is taken to go on below in proportion to the width at which it leaves.
    below = np.where(present, hair[:, -1].sum(axis=1) / 2, 0)
    return np.where(present, last + below, np.nan), present


def _mouth_v1(label_map: np.ndarray) -> Measurement:
    lips, lips_present = measures.extent_height(
        class_mask(label_map, FaceClass.UPPER_LIP) | class_mask(label_map, FaceClass.LOWER_LIP)
    )
    inner, _ = measures.extent_height(class_mask(label_map, FaceClass.INNER_MOUTH))
    return (lips + inner).astype(np.float64), lips_present


def _pose_v1(label_map: np.ndarray) -> Measurement:
    pose = -measures.correlation(class_mask(label_map, FaceClass.NOSE))
    return pose, ~np.isnan(pose)


def _measure_v1(label_map: np.ndarray, image_rgb: np.ndarray) -> list[Measurement]:
    return [
        _eyes_v1(label_map),
        _hair_color_v1(label_map, image_rgb),
        _hair_length_v1(label_map),
        _mouth_v1(label_map),
        _pose_v1(label_map),
        *_background(label_map, image_rgb),
    ]


def _eye_windows_v2(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    left_window, right_window = (_window(label_map, (56, 168), columns) for columns in _EYE_COLUMNS)
    return class_mask(left_window, FaceClass.LEFT_EYE), class_mask(right_window, FaceClass.RIGHT_EYE)


def _eyes_v2(label_map: np.ndarray) -> Measurement:
    heights, present = [], np.zeros(len(label_map), bool)
    for eye in _eye_windows_v2(label_map):
        eye = eye[measures.window(eye)]
        first, last, _ = measures.extents(eye.transpose(0, 2, 1))
        # The farthest pair's slope undoes the height that a tilted head adds.
        heights.append((last - first).max(axis=1) * measures.longest_chord_cosine(eye))
        present |= eye.any(axis=(1, 2))
    return np.maximum(*heights), present


def _pose_v2(label_map: np.ndarray) -> Measurement:
    left, right = (measures.region(eye) for eye in _eye_windows_v2(label_map))
    right_x = right.x + round(56 * label_map.shape[2] / REFERENCE_SIZE)  # the right window's first column
    valid = (left.area > 0) & (right.area > 0) & (left.x != right_x)
    run = np.where(valid, right_x - left.x, 1.0)
    return np.where(valid, (right.y - left.y) / run, 0.0), valid


def _hair_color_v2(label_map: np.ndarray, image_rgb: np.ndarray) -> Measurement:
    """Mean over the middle 80 % of the hair's brightness; that leaves nothing of a single pixel."""
    histograms = measures.brightness_histograms(class_mask(label_map, FaceClass.HAIR), image_rgb)
    mean, _ = measures.histogram_moments(measures.trim_shares(histograms, 0.1, 0.9))
    valid = ~np.isnan(mean)
    return np.where(valid, mean, 127.5), valid


def _hair_length_v2(label_map: np.ndarray) -> Measurement:
    width = label_map.shape[2]
    scale = width / REFERENCE_SIZE
    hair = class_mask(label_map, FaceClass.HAIR)
    per_row = measures.row_counts(hair)
    first_row = round(56 * label_map.shape[1] / REFERENCE_SIZE)
    rows = (per_row[:, first_row:] >= 20 * scale).sum(axis=1)
    bottom = hair[:, -1]
    left, right = bottom[:, : width // 2].sum(axis=1), bottom[:, width // 2 :].sum(axis=1)
    below = (np.maximum(left - 10 * scale, 0) + np.maximum(right - 10 * scale, 0)) / 2
    length = rows + np.where(per_row[:, -1] >= 20 * scale, below, 0.0)
    return length, np.any(per_row, axis=1)


def _mouth_v2(label_map: np.ndarray) -> Measurement:
    mouth = class_mask(label_map, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP)
    inner_mouth = class_mask(label_map, FaceClass.INNER_MOUTH)
    inner, whole = (measures.row_counts(mask).sum(axis=1) for mask in (inner_mouth, mouth))
    return inner / np.maximum(whole, 1), whole > 0


def _measure_v2(label_map: np.ndarray, image_rgb: np.ndarray) -> list[Measurement]:
    return [
        _eyes_v2(label_map),
        _hair_color_v2(label_map, image_rgb),
        _hair_length_v2(label_map),
        _mouth_v2(label_map),
        _pose_v2(label_map),
        *_background(label_map, image_rgb),
    ]


_PIXEL_ALGORITHMS: dict[int, Callable[[np.ndarray, np.ndarray], list[Measurement]]] = {
    1: _measure_v1,
    2: _measure_v2,
}
ALGORITHMS: tuple[int, ...] = (1, 2, 3)


def compute_scores(
    label_map: np.ndarray,
    image_rgb: np.ndarray,
    algorithm: int,
    pictures: np.ndarray | None = None,
    boxes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the seven properties of each face.

    Args:
        label_map: uint8 [N, H, W], class ids 0 to 10 (`FaceClass`).
        image_rgb: uint8 [N, H, W, 3], the face crops that the label maps belong to.
        algorithm: 1, 2 or 3.
        pictures: uint8 [N, PH, PW, 3], the whole pictures that the crops were cut from. Only algorithm 3
            looks at them, and needs them: it measures the background beyond the crop too. A crop without its
            picture can stand for it: `pictures=image_rgb` and the box (0, 0, W, H); its background is then on
            another scale.
        boxes: float [N, 4], left, top, right and bottom of the crops in pixels of `pictures`.

    Returns:
        (values, valid): float64 [N, 7] and bool [N, 7] in the order of `PROPERTY_NAMES`. Lengths of
        algorithms 1 and 2 are pixels of the label map, those of algorithm 3 are shares of the face's lengths;
        brightness is 0 to 255. `valid` is False where a region that the property needs is missing; the value
        is then the algorithm's constant, or NaN where it has none.

    Raises:
        ValueError: wrong dtype or shape, unknown class ids, an empty box, unknown algorithm, or no pictures
            and boxes for algorithm 3.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm must be one of {', '.join(map(str, ALGORITHMS))}, not {algorithm!r}.")
    check_label_map(label_map)
    _check_images("image_rgb", image_rgb, label_map.shape)
    if algorithm != 3:
        pictures = boxes = None  # not looked at
    elif pictures is None or boxes is None:
        raise ValueError(
            "Algorithm 3 measures the background over the whole picture, so it needs pictures and boxes "
            "(where in its picture each face crop lies). For crops alone give pictures=image_rgb and "
            "boxes (0, 0, W, H)."
        )
    else:
        _check_images("pictures", pictures, (len(label_map), *pictures.shape[1:3]))
        boxes = _checked_boxes(boxes, len(label_map))
    values = np.empty((len(label_map), len(PROPERTY_NAMES)), np.float64)
    valid = np.empty(values.shape, bool)
    for start in range(0, len(label_map), _CHUNK):
        part = slice(start, start + _CHUNK)
        if pictures is not None and boxes is not None:
            measured = measure_v3(label_map[part], image_rgb[part], pictures[part], boxes[part])
        else:
            measured = _PIXEL_ALGORITHMS[algorithm](label_map[part], image_rgb[part])
        values[part] = np.stack([value for value, _ in measured], axis=1)
        valid[part] = np.stack([present for _, present in measured], axis=1)
    return values, valid


def check_label_map(label_map: np.ndarray) -> None:
    """Raise ValueError unless `label_map` is uint8 [N, H, W] with class ids 0 to 10."""
    if label_map.ndim != 3 or label_map.dtype != np.uint8:
        raise ValueError(
            f"label_map must be uint8 [N, H, W] with one class id per pixel, but is {label_map.dtype} "
            f"{list(label_map.shape)}; a coloured visualization is not a label map."
        )
    if label_map.size and label_map.max() >= CLASS_COUNT:
        unknown = np.unique(label_map[label_map >= CLASS_COUNT])
        shown = ", ".join(str(value) for value in unknown[:5])
        raise ValueError(
            f"label_map has the class id(s) {shown}{' ...' if len(unknown) > 5 else ''}, but only 0 to "
            f"{CLASS_COUNT - 1} are known; a grey picture or a visualization is not a label map."
        )


def _check_images(name: str, images: np.ndarray, shape: tuple[int, ...]) -> None:
    if images.dtype != np.uint8 or images.shape != (*shape, 3):
        raise ValueError(
            f"{name} must be uint8 {[*shape, 3]} to match label_map, but is {images.dtype} "
            f"{list(images.shape)}."
        )


def _checked_boxes(boxes: np.ndarray, count: int) -> np.ndarray:
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape != (count, 4):
        raise ValueError(
            f"boxes must be [{count}, 4] (left, top, right, bottom), but are {list(boxes.shape)}."
        )
    extent = boxes[:, 2:] - boxes[:, :2]
    empty = np.flatnonzero(~(extent > 0).all(axis=1))
    if len(empty):
        raise ValueError(
            f"box {empty[0]} is {boxes[empty[0]].tolist()}, which holds no pixel of its picture."
        )
    return boxes
