"""Speed of the property scores (algorithm 3) of many images at once, against one image at a time."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from data import portraits
from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
from segmentation.face_classes import FaceClass
from segmentation.property_scores import compute_scores

ALGORITHM = 3
FIRST_SEED = 3_200_000
PICTURE_PX, FACE_PX = 128, 224
FACES, QUICK_FACES = 64, 16
REPEATS, QUICK_REPEATS = 7, 3
LARGEST_DIFFERENCE = 1e-9  # relative to the score


class Faces(NamedTuple):
    """What the scores are computed from, arrays over images."""

    label_maps: np.ndarray
    crops: np.ndarray
    pictures: np.ndarray
    boxes: np.ndarray


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """One process; the scores use the CPU on every device.

    Raises:
        RuntimeError: the two ways give other scores.
    """
    name = f"property scores, algorithm {ALGORITHM}"
    faces = draw_faces(QUICK_FACES if quick else FACES)
    single = [Faces(*(array[n : n + 1] for array in faces)) for n in range(len(faces.crops))]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: scores_of(faces),
        "plain": lambda: np.concatenate([scores_of(face) for face in single]),
    }
    ours, plain = (way() for way in ways.values())
    check_difference(float(np.max(np.abs(ours - plain) / (np.abs(plain) + 1))), LARGEST_DIFFERENCE, name)
    # Processor time, to which the machine's other work does not count.
    seconds = seconds_by_turns(ways, QUICK_REPEATS if quick else REPEATS, time.process_time)
    ms = {way: 1e3 * elapsed / len(single) for way, elapsed in seconds.items()}
    note = f"{ms['ours']:.2f} ms per image, one at a time {ms['plain']:.2f} ms"
    return [Measurement(name, 1e3 / ms["ours"], 1e3 / ms["plain"], note)]


def scores_of(faces: Faces) -> np.ndarray:
    """Scores [N, 7]."""
    return compute_scores(faces.label_maps, faces.crops, ALGORITHM, faces.pictures, faces.boxes)[0]


def draw_faces(count: int) -> Faces:
    """Portraits with their own label maps, cut out around the face like the segmentation stage's."""
    drawn = portraits.render_many(range(FIRST_SEED, FIRST_SEED + count), PICTURE_PX)
    label_maps, crops, boxes = [], [], []
    for picture, label_map in zip(drawn.images, drawn.label_maps, strict=True):
        rows, columns = np.nonzero((label_map > 0) & (label_map < FaceClass.HAIR))
        left, top = max(columns.min() - 18.0, 0.0), max(rows.min() - 20.0, 0.0)
        box = (left, top, min(columns.max() + 19.0, PICTURE_PX), min(rows.max() + 19.0, PICTURE_PX))
        size = (FACE_PX, FACE_PX)
        crops.append(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, box)))
        label_maps.append(np.asarray(Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST, box)))
        boxes.append(box)
    return Faces(np.stack(label_maps), np.stack(crops), drawn.images, np.array(boxes))
