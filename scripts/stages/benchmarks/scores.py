"""Speed of the property scores, against plain versions that measure one image at a time.

The plain versions of algorithms 1 and 2 loop over pixels, as one writes them down from the document; that of
algorithm 3 is NumPy on whole masks of one image.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from data import portraits
from scripts.stages.benchmarks import Measurement
from segmentation.property_scores import compute_scores

FIRST_SEED = 3_200_000
PICTURE_PX, FACE_PX = 128, 224
FACES, QUICK_FACES = 64, 16
PLAIN_FACES = 4  # of these; more would take a minute
REPEATS, QUICK_REPEATS = 7, 3
LEFT_EYE, RIGHT_EYE, NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP, HAIR = 4, 5, 6, 7, 8, 9, 10

Pixel = tuple[int, int]  # row, column


class Faces(NamedTuple):
    """What the scores are computed from, arrays over images."""

    label_maps: np.ndarray
    crops: np.ndarray
    pictures: np.ndarray
    boxes: np.ndarray


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Images per second of each algorithm, one process; the scores use the CPU on every device.

    Raises:
        RuntimeError: a plain version gives other scores.
    """
    faces = draw_faces(QUICK_FACES if quick else FACES)
    few = Faces(*(array[:PLAIN_FACES] for array in faces))
    measurements = []
    for algorithm, plain in PLAIN.items():

        def ours(some: Faces, algorithm: int = algorithm) -> np.ndarray:
            label_maps, crops, pictures, boxes = some
            return compute_scores(label_maps, crops, algorithm, pictures, boxes)[0]

        def one_by_one(some: Faces, plain: Callable[..., list[float]] = plain) -> np.ndarray:
            return np.array([plain(*image) for image in zip(*some, strict=True)])

        if not np.allclose(ours(few), one_by_one(few), rtol=1e-9, atol=1e-9):
            raise RuntimeError(f"score algorithm {algorithm} and its plain version give different scores")
        ours_s, plain_s = [], []
        for _ in range(QUICK_REPEATS if quick else REPEATS):
            ours_s.append(seconds(ours, faces) / len(faces.crops))
            plain_s.append(seconds(one_by_one, few) / len(few.crops))
        best, usual = statistics.median(ours_s), statistics.median(plain_s)
        note = f"{best * 1e3:.2f} ms per image, plain {usual * 1e3:.1f} ms"
        measurements.append(
            Measurement(f"property scores, algorithm {algorithm}", 1 / best, 1 / usual, "images/s", note)
        )
    return measurements


def seconds(function: Callable[[Faces], np.ndarray], faces: Faces) -> float:
    """Processor time of a call, to which the machine's other work does not count.

    Garbage is not collected meanwhile: the lists of the plain versions would make Python look through all
    that the process holds.
    """
    gc.disable()
    try:
        started_at = time.process_time()
        function(faces)
        return time.process_time() - started_at
    finally:
        gc.enable()


def draw_faces(count: int) -> Faces:
    """Portraits with their own label maps, cut out around the face like the segmentation stage's."""

    drawn = portraits.render_many(range(FIRST_SEED, FIRST_SEED + count), PICTURE_PX)
    label_maps, crops, boxes = [], [], []
    for picture, label_map in zip(drawn.images, drawn.label_maps, strict=True):
        rows, columns = np.nonzero((label_map > 0) & (label_map < HAIR))
        left, top = max(columns.min() - 18.0, 0.0), max(rows.min() - 20.0, 0.0)
        box = (left, top, min(columns.max() + 19.0, PICTURE_PX), min(rows.max() + 19.0, PICTURE_PX))
        size = (FACE_PX, FACE_PX)
        crops.append(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, box)))
        label_maps.append(np.asarray(Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST, box)))
        boxes.append(box)
    return Faces(np.stack(label_maps), np.stack(crops), drawn.images, np.array(boxes))


def pixels_by_class(label_map: np.ndarray) -> list[list[Pixel]]:
    """Rows and columns of each class's pixels."""
    found: list[list[Pixel]] = [[] for _ in range(HAIR + 1)]
    for row, line in enumerate(label_map.tolist()):
        for column, value in enumerate(line):
            found[value].append((row, column))
    return found


def height(pixels: list[Pixel]) -> int:
    """Last minus first row."""
    return max(row for row, _ in pixels) - min(row for row, _ in pixels) if pixels else 0


def brightness(pixels: list[Pixel], image: list[list[list[int]]]) -> list[float]:
    """Sorted means of R, G and B."""
    return sorted(sum(image[row][column]) / 3 for row, column in pixels)


def plain_background(pixels: list[Pixel], image: list[list[list[int]]]) -> tuple[float, float]:
    """Mean and standard deviation of the middle 90 % in the upper half."""
    values = brightness([pixel for pixel in pixels if pixel[0] < FACE_PX // 2], image)
    if len(values) > 1:
        values = values[int(0.05 * len(values)) : int(0.95 * len(values))]
    return (statistics.fmean(values), statistics.pstdev(values)) if values else (192.0, 0.0)


def plain_v1(label_map: np.ndarray, crop: np.ndarray, *_: np.ndarray) -> list[float]:
    """Algorithm 1, from the document."""
    classes, image = pixels_by_class(label_map), crop.tolist()
    left = [(row, column) for row, column in classes[LEFT_EYE] if 56 <= row < 140 and column < 168]
    right = [(row, column) for row, column in classes[RIGHT_EYE] if 56 <= row < 140 and column >= 56]
    hair_length = max(row for row, _ in classes[HAIR])
    if hair_length == FACE_PX - 1:
        hair_length += sum(row == FACE_PX - 1 for row, _ in classes[HAIR]) / 2
    lips = classes[UPPER_LIP] + classes[LOWER_LIP]
    pose = -statistics.correlation(*zip(*classes[NOSE], strict=True))
    return [
        (height(left) + height(right)) / 2,
        statistics.median(brightness(classes[HAIR], image)),
        hair_length,
        height(lips) + height(classes[INNER_MOUTH]),
        pose,
        *plain_background(classes[0], image),
    ]


def farthest_cosine(pixels: list[Pixel]) -> float:
    """|dx| / distance of the farthest pair."""
    best, cosine = 0, 1.0
    for index, (row, column) in enumerate(pixels):
        for other_row, other_column in pixels[index + 1 :]:
            run = abs(column - other_column)
            squared = run**2 + (row - other_row) ** 2
            if squared > best or (squared == best and run / math.sqrt(squared) > cosine):
                best, cosine = squared, run / math.sqrt(squared)
    return cosine


def plain_v2(label_map: np.ndarray, crop: np.ndarray, *_: np.ndarray) -> list[float]:
    """Algorithm 2."""
    classes, image = pixels_by_class(label_map), crop.tolist()
    left = [(row, column) for row, column in classes[LEFT_EYE] if 56 <= row < 168 and column < 168]
    right = [(row, column) for row, column in classes[RIGHT_EYE] if 56 <= row < 168 and column >= 56]
    eyes = []
    for eye in (left, right):
        columns = {column for _, column in eye}
        tallest = max(height([pixel for pixel in eye if pixel[1] == column]) for column in columns)
        eyes.append(tallest * farthest_cosine(eye))
    (left_y, left_x), (right_y, right_x) = (
        map(statistics.fmean, zip(*eye, strict=True)) for eye in (left, right)
    )
    hair = brightness(classes[HAIR], image)
    per_row = [0] * FACE_PX
    for row, _ in classes[HAIR]:
        per_row[row] += 1
    hair_length = float(sum(count >= 20 for count in per_row[56:]))
    if per_row[-1] >= 20:
        left_half = sum(row == FACE_PX - 1 and column < FACE_PX // 2 for row, column in classes[HAIR])
        hair_length += max(left_half - 10, 0) / 2 + max(per_row[-1] - left_half - 10, 0) / 2
    mouth = sum(len(classes[value]) for value in (UPPER_LIP, INNER_MOUTH, LOWER_LIP))
    return [
        max(eyes),
        statistics.fmean(hair[int(0.1 * len(hair)) : int(0.9 * len(hair))]),
        hair_length,
        len(classes[INNER_MOUTH]) / mouth,
        (right_y - left_y) / (right_x - left_x),
        *plain_background(classes[0], image),
    ]


class Part(NamedTuple):
    """Size, middle and twice-two-deviations extent of a region, pixels."""

    area: int
    x: float
    y: float
    width: float
    height: float


def part_of(mask: np.ndarray, reach: tuple[float, float] | None = None) -> tuple[Part, np.ndarray]:
    """The region within reach (x, y) of the median of its pixels, and its mask."""
    ys, xs = np.nonzero(mask)
    if reach is not None:
        middle = (len(xs) + 1) // 2 - 1
        keep = np.abs(xs - np.sort(xs)[middle]) <= reach[0]
        keep &= np.abs(ys - np.sort(ys)[middle]) <= reach[1]
        ys, xs = ys[keep], xs[keep]
        mask = np.zeros_like(mask)
        mask[ys, xs] = True
    spread_x, spread_y = (4 * math.sqrt(axis.var() + 1 / 12) for axis in (xs, ys))
    return Part(len(xs), xs.mean(), ys.mean(), spread_x, spread_y), mask


def trimmed(values: np.ndarray, share: float) -> np.ndarray:
    """The values without the lowest and highest share."""
    return np.sort(values)[int(share * len(values)) : int((1 - share) * len(values))]


def plain_v3(label_map: np.ndarray, crop: np.ndarray, picture: np.ndarray, box: np.ndarray) -> list[float]:
    """Algorithm 3, where every region is there."""
    face, _ = part_of((label_map >= 1) & (label_map <= LOWER_LIP))

    def near(mask: np.ndarray, reach: float) -> tuple[Part, np.ndarray]:
        return part_of(mask, (reach * face.width, reach * face.height))

    eyes = [near(label_map == value, 0.25)[0] for value in (LEFT_EYE, RIGHT_EYE)]
    mouth, mouth_mask = near((label_map >= UPPER_LIP) & (label_map <= LOWER_LIP), 0.35)
    nose, _ = near(label_map == NOSE, 0.35)
    eye_width = max((eyes[0].width + eyes[1].width) / 2, 0.2 * face.width)
    eye_y = sum(eye.y + eye.height / 4 for eye in eyes) / 2
    hair = label_map == HAIR
    per_row = hair.sum(axis=1)
    above_mouth = (np.arange(FACE_PX) < face.y + 0.2 * face.height)[:, None]
    hair_brightness = crop[hair & above_mouth].mean(axis=1)
    last = np.flatnonzero(per_row >= 0.06 * face.width)[-1]
    return [
        sum(eye.area for eye in eyes) / 2 / (np.pi / 4 * eye_width) / eye_width,
        trimmed(hair_brightness, 0.1).mean(),
        (last + 0.15 * per_row[-4:].mean() - eye_y) / face.width,
        (mouth_mask & (label_map == INNER_MOUTH)).sum() / mouth.width / math.sqrt(face.width * face.height),
        (nose.x - face.x) / face.width,
        *plain_background_v3(label_map, picture, box, face, eye_y),
    ]


def plain_background_v3(
    label_map: np.ndarray, picture: np.ndarray, box: np.ndarray, face: Part, eye_y: float
) -> tuple[float, float]:
    """Mean and standard deviation of the background of the whole picture."""
    left, top, right, bottom = box
    scale_x, scale_y = (right - left) / FACE_PX, (bottom - top) / FACE_PX
    x, y = (np.arange(PICTURE_PX) + 0.5 for _ in range(2))
    columns = np.clip((x - left) / scale_x, 0, FACE_PX - 1).astype(int)
    rows = np.clip((y - top) / scale_y, 0, FACE_PX - 1).astype(int)
    background = label_map[np.ix_(rows, columns)] == 0
    away = cv2.erode(background.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    aside = np.abs(x - (left + face.x * scale_x)) / (face.width * scale_x)
    chin = top + face.y * scale_y + face.height * scale_y * (0.5 + 0.4 * np.maximum(aside - 0.5, 0))
    beside_eyes = y > top + eye_y * scale_y - 0.1 * face.height * scale_y
    away &= (y[:, None] < chin) & ~((aside < 0.5) & beside_eyes[:, None])
    kept = trimmed(picture[away].mean(axis=1), 0.01)
    return kept.mean(), kept.std()


PLAIN: dict[int, Callable[..., list[float]]] = {1: plain_v1, 2: plain_v2, 3: plain_v3}
