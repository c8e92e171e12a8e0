"""Speed of the segmentation: the full-size network, and stage 03 with reading and writing.

The plain way takes one picture at a time, in float32, with all of the network's heads, and writes PNG files
as Pillow does by default. Both ways load the networks once.
"""

from __future__ import annotations

import importlib
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import portraits
from scripts.pipeline import REPOSITORY, Stage, files
from scripts.pipeline.console import StopRequest
from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
from scripts.stages.image_files import read_image
from scripts.stages.segmenting import stage as stage_03
from scripts.stages.workspace import BUNDLED_PARSER, KEPT_PICTURES, PARSER, segmented_path
from segmentation.facexformer import SINGLE_TASKS, FaceXFormer
from segmentation.parsing import best_precision, parse_faces, visualize
from segmentation.segmenter_settings import PRECISION_AGREEMENT

FIRST_SEED = 8_100_000
PICTURE_PX = 128
REPEATS, QUICK_REPEATS = 3, 1
STAGE_COUNT, QUICK_STAGE_COUNT, PLAIN_STAGE_COUNT = 256, 64, 32
LARGEST_DIFFERENCE = 0.005  # share of the pixels


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Swin-B FaceXFormer (random weights), and the embedded stage 03.

    Raises:
        RuntimeError: the two ways give more than 0.5 % of the pixels another class.
    """
    repeats = QUICK_REPEATS if quick else REPEATS
    with tempfile.TemporaryDirectory() as folder:
        whole = _StageBenchmark(Path(folder), device, QUICK_STAGE_COUNT if quick else STAGE_COUNT)
        faces = whole.faces(64 if device.type == "cuda" else 4 if quick else 8)
        return [*_measure_network(faces, device, repeats), whole.measure(repeats)]


def _measure_network(faces: np.ndarray, device: torch.device, repeats: int) -> list[Measurement]:
    """Segmentation in a batch, against all heads one by one; faces uint8 [N, 224, 224, 3]."""
    torch.manual_seed(0)
    model = FaceXFormer().eval().to(device)
    precisions = sorted({torch.float32, best_precision(device)}, key=str)
    ways = {str(kind): partial(parse_faces, model, faces, len(faces), kind) for kind in precisions}
    ways["plain"] = partial(parse_faces, model, faces, 1, further_tasks=SINGLE_TASKS)
    label_maps = {way: parse().label_maps for way, parse in ways.items()}
    seconds = seconds_by_turns(ways, repeats)
    measurements = []
    for kind in map(str, precisions):
        name = f"FaceXFormer Swin-B, segmentation, {kind.removeprefix('torch.')}"
        equal = _check_equal(label_maps[kind], label_maps["plain"], name)
        note = f"batch of {len(faces)} against 1 with all heads; {equal:.2%} of the pixels equal"
        ours, plain = (len(faces) / seconds[way] for way in (kind, "plain"))
        measurements.append(Measurement(name, ours, plain, note))
    return measurements


class _StageBenchmark:
    """Stage 03 on portraits as stage 01 writes its candidates, with the bundled parser."""

    def __init__(self, workspace: Path, device: torch.device, count: int) -> None:
        script = importlib.import_module("scripts.03_segment_faces")
        self.options = script.Options(workspace=workspace, device=str(device), quiet=True)
        self.paths = {n: f"{KEPT_PICTURES}/{n:06d}.jpg" for n in range(count)}
        drawn = portraits.render_many(range(FIRST_SEED, FIRST_SEED + count), PICTURE_PX)
        for relative, image in zip(self.paths.values(), drawn.images, strict=True):
            files.write(workspace / relative, image, subsampling=0)
        files.copy_file(REPOSITORY / BUNDLED_PARSER, workspace / PARSER)
        self.stage = Stage(script.SPEC, self.options, StopRequest())
        self.pictures = [self._read(n) for n in range(count)]
        self.segmenter = stage_03.load_segmenter(self.stage, self.options)
        self.segmenter.choose_precision(self.pictures[: stage_03.PROBE_COUNT], PRECISION_AGREEMENT)

    def _read(self, img_no: int) -> np.ndarray:
        return read_image(self.stage.workspace / self.paths[img_no])

    def faces(self, count: int) -> np.ndarray:
        """Face crops uint8 [count, 224, 224, 3]."""
        crops = self.segmenter.cropper(self.pictures[:count])
        return np.stack([crop.image for crop in crops if crop is not None])

    def measure(self, repeats: int) -> Measurement:
        """From JPEG files to PNG files."""
        name = "stage 03, embedded, files to files"
        ways = {"ours": self._ours, "plain": self._plain}
        written = {}
        for way, segment in ways.items():
            segment()
            written[way] = self._label_maps(PLAIN_STAGE_COUNT)
        equal = _check_equal(written["ours"], written["plain"], name)
        seconds = seconds_by_turns(ways, repeats)
        ours, plain = len(self.paths) / seconds["ours"], PLAIN_STAGE_COUNT / seconds["plain"]
        return Measurement(name, ours, plain, f"n = {len(self.paths)}; {equal:.2%} of the pixels equal")

    def _ours(self) -> None:
        numbers, size = list(self.paths), self.options.batch_size
        batches = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        files.remove(self.stage.folder)
        with self.stage.journal(stage_03.columns(self.options)) as journal:
            stage_03.segment_batches(self.stage, self.options, self.segmenter, self.paths, batches, journal)

    def _plain(self) -> None:
        for img_no in range(PLAIN_STAGE_COUNT):
            (crop,) = (c for c in self.segmenter.cropper([self._read(img_no)]) if c is not None)
            parsed = parse_faces(self.segmenter.parser, crop.image[None], further_tasks=SINGLE_TASKS)
            label_map = parsed.label_maps[0]
            pictures = (crop.image, label_map, visualize(crop.image, label_map))
            for kind, picture in zip(stage_03.KINDS, pictures, strict=True):
                self.stage.write(segmented_path(kind, img_no), picture)

    def _label_maps(self, count: int) -> np.ndarray:
        paths = [self.stage.workspace / segmented_path("parsing", n) for n in range(count)]
        return np.stack([np.asarray(Image.open(path)) for path in paths])


def _check_equal(ours: np.ndarray, plain: np.ndarray, name: str) -> float:
    """Share of the pixels of one class."""
    equal = float((ours == plain).mean())
    check_difference(1 - equal, LARGEST_DIFFERENCE, name)
    return equal
