"""Speed of the segmentation: the full-size network, and stage 03 with reading and writing.

The plain way takes one picture at a time, in float32, with all of the network's heads, and writes PNG files
as Pillow does by default. Both ways load the networks once.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import portraits
from scripts.pipeline import REPOSITORY, Stage, files
from scripts.pipeline.image_files import read_image
from scripts.pipeline.interrupts import StopRequest
from scripts.stages.benchmarks import Measurement
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.segmenting import stage as stage_03
from scripts.stages.workspace import BUNDLED_PARSER, KEPT_PICTURES, PARSER, segmented_path
from segmentation.facexformer import SINGLE_TASKS, FaceXFormer
from segmentation.parsing import best_precision, parse_faces, visualize
from segmentation.segmenter_settings import PRECISION_AGREEMENT

FIRST_SEED = 8_100_000
PICTURE_PX = 128
REPEATS, QUICK_REPEATS = 3, 1
STAGE_COUNT, QUICK_STAGE_COUNT, PLAIN_STAGE_COUNT = 256, 64, 32
LEAST_AGREEMENT = 0.995


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Pictures per second of Swin-B FaceXFormer (random weights) and of the embedded stage 03.

    Raises:
        RuntimeError: the two ways give more than 0.5 % of the pixels another class.
    """
    keep_freed_memory()
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
    ways: dict[str, Callable[[], np.ndarray]] = {
        str(kind): lambda kind=kind: parse_faces(model, faces, len(faces), kind).label_maps
        for kind in precisions
    }
    ways["plain"] = lambda: parse_faces(model, faces, 1, further_tasks=SINGLE_TASKS).label_maps
    results, rates, processor_ms = _compare(ways, dict.fromkeys(ways, len(faces)), repeats)
    measurements = []
    for kind in map(str, precisions):
        agreement = _check_agreement(results[kind], results["plain"])
        note = (
            f"batch of {len(faces)} against 1 with all heads; {agreement:.2%} of the pixels equal; processor "
            f"{processor_ms[kind]:.0f} against {processor_ms['plain']:.0f} ms"
        )
        name = f"FaceXFormer Swin-B, segmentation, {kind.removeprefix('torch.')}"
        measurements.append(Measurement(name, rates[kind], rates["plain"], "images/s", note))
    return measurements


class _StageBenchmark:
    """Stage 03 on portraits as stage 01 writes its candidates, with the bundled parser."""

    def __init__(self, workspace: Path, device: torch.device, count: int) -> None:
        script = importlib.import_module("scripts.03_segment_faces")
        self.options = script.Options(workspace=workspace, device=str(device), quiet=True)
        self.paths = {n: f"{KEPT_PICTURES}/{n:06d}.jpg" for n in range(count)}
        drawn = portraits.render_many(range(FIRST_SEED, FIRST_SEED + count), PICTURE_PX)
        for relative, image in zip(self.paths.values(), drawn.images, strict=True):
            files.save_image(workspace / relative, image, subsampling=0)
        files.copy_file(REPOSITORY / BUNDLED_PARSER, workspace / PARSER)
        self.stage = Stage(script.SPEC, self.options, StopRequest())
        self.pictures = [self._read(n) for n in range(count)]
        self.segmenter = stage_03.load_segmenter(self.stage, self.options)
        self.segmenter.choose_precision(self.pictures[: stage_03.PROBE_COUNT], PRECISION_AGREEMENT)

    def _read(self, img_no: int) -> np.ndarray:
        return read_image(self.stage.workspace / self.paths[img_no])

    def faces(self, count: int) -> np.ndarray:
        """Face crops uint8 [count, 224, 224, 3]."""
        return np.stack([crop.image for crop in self.segmenter.cropper(self.pictures[:count]) if crop])

    def measure(self, repeats: int) -> Measurement:
        """Pictures per second from JPEG files to PNG files."""
        counts = {"ours": len(self.paths), "plain": PLAIN_STAGE_COUNT}
        ways = {"ours": self._ours, "plain": self._plain}
        results, rates, processor_ms = _compare(ways, counts, repeats)
        agreement = _check_agreement(results["ours"][:PLAIN_STAGE_COUNT], results["plain"])
        note = (
            f"n = {counts['ours']}; {agreement:.2%} of the pixels equal; processor "
            f"{processor_ms['ours']:.1f} against {processor_ms['plain']:.1f} ms per image"
        )
        return Measurement(
            "stage 03, embedded, files to files", rates["ours"], rates["plain"], "images/s", note
        )

    def _ours(self) -> np.ndarray:
        options, stage = self.options, self.stage
        numbers = list(self.paths)
        size = options.batch_size
        batches = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        files.remove(stage.folder)
        with stage.journal(stage_03.columns(options)) as journal:
            stage_03.segment_batches(stage, options, self.segmenter, self.paths, batches, journal)
        return self._label_maps(len(numbers))

    def _plain(self) -> np.ndarray:
        for img_no in range(PLAIN_STAGE_COUNT):
            crop = self.segmenter.cropper([self._read(img_no)])[0]
            parsed = parse_faces(self.segmenter.parser, crop.image[None], further_tasks=SINGLE_TASKS)
            label_map = parsed.label_maps[0]
            pictures = (crop.image, label_map, visualize(crop.image, label_map))
            for kind, picture in zip(stage_03.KINDS, pictures, strict=True):
                self.stage.save_image(segmented_path(kind, img_no), picture)
        return self._label_maps(PLAIN_STAGE_COUNT)

    def _label_maps(self, count: int) -> np.ndarray:
        """What was written; part of neither way's work, but a few hundredths of its time."""
        paths = [self.stage.workspace / segmented_path("parsing", n) for n in range(count)]
        return np.stack([np.asarray(Image.open(path)) for path in paths])


def _compare(
    ways: dict[str, Callable[[], np.ndarray]], counts: dict[str, int], repeats: int
) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, float]]:
    """Results, and per way the medians of pictures per second and of processor milliseconds per picture.

    The ways take turns, so that other work of the machine slows them alike.
    """
    results = {name: way() for name, way in ways.items()}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began, began_processor = time.perf_counter(), time.process_time()
            way()
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - began_processor)
    rates = {name: counts[name] / statistics.median(times) for name, times in seconds.items()}
    return results, rates, {name: 1e3 * statistics.median(t) / counts[name] for name, t in processor.items()}


def _check_agreement(ours: np.ndarray, plain: np.ndarray) -> float:
    agreement = float((ours == plain).mean())
    if agreement < LEAST_AGREEMENT:
        raise RuntimeError(f"the two ways agree in {agreement:.2%} of the pixels only")
    return agreement
