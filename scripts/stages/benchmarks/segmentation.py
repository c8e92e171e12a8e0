"""Speed of the parsers: batches of faces, against one face at a time in float32 with all of the heads."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from data import portraits
from scripts.pipeline import REPOSITORY
from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
from scripts.stages.workspace import BUNDLED_PARSER
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import FaceXFormer, load_facexformer
from segmentation.facexformer_config import SINGLE_TASKS
from segmentation.parsing import best_precision, parse_faces

FIRST_SEED = 8_100_000
PICTURE_PX = 128
REPEATS, QUICK_REPEATS = 3, 1
LARGEST_DIFFERENCE = 0.005  # share of the pixels


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Swin-B FaceXFormer with random weights, and the bundled parser.

    Raises:
        RuntimeError: the two ways give more than 0.5 % of the pixels another class.
    """
    few = 64 if device.type == "cuda" else 4 if quick else 8
    pictures = portraits.render_many(range(FIRST_SEED, FIRST_SEED + 8 * few), PICTURE_PX).images
    faces = np.stack([crop.image for crop in FaceCropper(device)(list(pictures)) if crop])
    torch.manual_seed(0)
    large, bundled = FaceXFormer().eval(), load_facexformer(REPOSITORY / BUNDLED_PARSER)
    repeats = QUICK_REPEATS if quick else REPEATS
    return [
        *_measure("FaceXFormer Swin-B", large.to(device), faces[:few], repeats),
        *_measure("bundled parser", bundled.to(device), faces, repeats),
    ]


def _measure(title: str, model: FaceXFormer, faces: np.ndarray, repeats: int) -> list[Measurement]:
    """Segmentation of faces uint8 [N, 224, 224, 3]."""
    device = next(model.parameters()).device
    precisions = sorted({torch.float32, best_precision(device)}, key=str)
    ways = {str(kind): partial(parse_faces, model, faces, len(faces), kind) for kind in precisions}
    ways["plain"] = partial(parse_faces, model, faces, 1, further_tasks=SINGLE_TASKS)
    label_maps = {way: parse().label_maps for way, parse in ways.items()}
    seconds = seconds_by_turns(ways, repeats)
    measurements = []
    for kind in map(str, precisions):
        name = f"{title}, segmentation, {kind.removeprefix('torch.')}"
        difference = float((label_maps[kind] != label_maps["plain"]).mean())
        check_difference(difference, LARGEST_DIFFERENCE, name)
        note = f"batch of {len(faces)} against 1 with all heads; {difference:.2%} of the pixels differ"
        ours, plain = (len(faces) / seconds[way] for way in (kind, "plain"))
        measurements.append(Measurement(name, ours, plain, note))
    return measurements
