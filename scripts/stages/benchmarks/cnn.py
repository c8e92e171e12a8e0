"""Speed of the filter's networks at the document's size, against the plain way of running them.

The plain way: pictures are decoded anew for every pass, batches of 16 in training and of 4 in inference,
float32, tensors [N, C, H, W] in memory, layers in the document's order, the C library's own memory settings.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from cnn.dataset import normalize, resize, to_tensor
from cnn.ensemble import Ensemble
from cnn.models import FilterCNN, gender_config, quality_config
from cnn.training import TrainingOptions, train_epoch
from scripts.pipeline.image_files import read_image
from scripts.stages.benchmarks import Measurement
from scripts.stages.fast_memory import keep_freed_memory

SIZE_PX = 256
FOLDS = 5
TRAINING_BATCH, PLAIN_INFERENCE_BATCH = 16, 4
CONFIGS = (gender_config, quality_config)
LARGEST_DIFFERENCE = 0.02  # of a probability, of a mean loss
Way = Literal["plain", "float32", "bfloat16"]


@dataclass(frozen=True)
class Job:
    """What a worker is to do: pictures in files, on a device, in a certain way."""

    paths: tuple[Path, ...]
    device: str
    way: Way
    batch_size: int
    threads: int


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Pictures per second of inference (ten networks) and of a training epoch (gender), ours and plain.

    Raises:
        RuntimeError: the two ways disagree.
    """
    is_gpu = device.type == "cuda"
    inference_count, training_count = (512, 256) if is_gpu else (8, 16) if quick else (32, 32)
    repeats = 1 if quick else 3
    batch_sizes = {"plain": PLAIN_INFERENCE_BATCH, "float32": 64 if is_gpu else 8}
    batch_sizes["bfloat16"] = batch_sizes["float32"]
    with tempfile.TemporaryDirectory() as folder, _Workers(device) as workers:
        paths = _write_pictures(Path(folder), max(inference_count, training_count))
        rates, results = workers.compare(infer, paths[:inference_count], batch_sizes, repeats)
        measurements = []
        for way in ("float32", "bfloat16"):
            difference = _difference(results, way, LARGEST_DIFFERENCE)
            note = f"probabilities differ by at most {difference:.4f}; batch {batch_sizes[way]} against 4"
            name = f"filter inference, {2 * FOLDS} networks, {way}"
            measurements.append(Measurement(name, rates[way], rates["plain"], "images/s", note))
        batch_sizes = dict.fromkeys(("plain", "float32"), TRAINING_BATCH)
        rates, results = workers.compare(train, paths[:training_count], batch_sizes, repeats)
        note = f"batch 16; losses differ by {_difference(results, 'float32', LARGEST_DIFFERENCE):.4f}"
        name = "filter training epoch, gender"
        measurements.append(Measurement(name, rates["float32"], rates["plain"], "images/s", note))
    return measurements


class _Workers:
    """One process for the plain way and one for ours, each with its own settings of memory."""

    def __init__(self, device: torch.device) -> None:
        context = multiprocessing.get_context("spawn")
        self.device = str(device)
        self.plain = ProcessPoolExecutor(1, context)
        self.ours = ProcessPoolExecutor(1, context, keep_freed_memory)

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.plain.shutdown()
        self.ours.shutdown()

    def compare(
        self,
        work: Callable[[Job], tuple[np.ndarray, float]],
        paths: tuple[Path, ...],
        batch_sizes: dict[Way, int],
        repeats: int,
    ) -> tuple[dict[Way, float], dict[Way, np.ndarray]]:
        """Do the work in each way by turns: pictures per second (median) and the last result."""
        seconds: dict[Way, list[float]] = {way: [] for way in batch_sizes}
        results: dict[Way, np.ndarray] = {}
        for _ in range(repeats):
            for way, batch_size in batch_sizes.items():
                job = Job(paths, self.device, way, batch_size, torch.get_num_threads())
                pool = self.plain if way == "plain" else self.ours
                results[way], elapsed = pool.submit(work, job).result()
                seconds[way].append(elapsed)
        return {way: len(paths) / statistics.median(times) for way, times in seconds.items()}, results


def infer(job: Job) -> tuple[np.ndarray, float]:
    """Probabilities [2, N] of both properties, mean of five networks each; and the seconds it took."""
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    groups = [_networks(config, device) for config in CONFIGS]
    if job.way == "plain":
        groups = [[_documents_order(network) for network in group] for group in groups]
        judge = _plain_inference
    else:
        groups = [Ensemble(group, precision=job.way) for group in groups]
        judge = _our_inference
    with torch.inference_mode():
        judge(groups, job.paths[: job.batch_size], job.batch_size, device)  # warms up
        started_at = _now(device)
        result = judge(groups, job.paths, job.batch_size, device)
    return np.asarray(result), _now(device) - started_at


def _plain_inference(
    groups: list[list[nn.Module]], paths: tuple[Path, ...], batch_size: int, device: torch.device
) -> list[list[float]]:
    """Property after property, each with a pass over the files."""
    found: list[list[float]] = [[] for _ in groups]
    for values, networks in zip(found, groups, strict=True):
        for start in range(0, len(paths), batch_size):
            batch = _plain_batch(paths[start : start + batch_size]).to(device)
            outputs = [torch.sigmoid(network(batch)) for network in networks]
            values += torch.stack(outputs).mean(dim=0).tolist()
    return found


def _our_inference(
    groups: list[Ensemble], paths: tuple[Path, ...], batch_size: int, device: torch.device
) -> list[list[float]]:
    """Both properties in one pass over the files."""
    found: list[list[float]] = [[] for _ in groups]
    for start in range(0, len(paths), batch_size):
        pictures = [resize(read_image(path), SIZE_PX) for path in paths[start : start + batch_size]]
        batch = normalize(to_tensor(np.stack(pictures)).to(device))
        for values, ensemble in zip(found, groups, strict=True):
            values += ensemble(batch).tolist()
    return found


def train(job: Job) -> tuple[np.ndarray, float]:
    """Mean loss of the second of two epochs of a gender network, and the seconds of that epoch."""
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    labels = np.arange(len(job.paths)) % 2
    network = _networks(gender_config, device)[0].train()
    order = np.random.default_rng(0).permutation(len(labels))
    if job.way == "plain":
        epoch = _plain_epoch(_documents_order(network).train(), job, labels, order, device)
    else:
        images = to_tensor(np.stack([resize(read_image(path), SIZE_PX) for path in job.paths])).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5, fused=True)
        options = TrainingOptions(loss_limit=1.0, batch_size=job.batch_size)

        def epoch() -> float:
            rng = np.random.default_rng(0)
            return train_epoch(
                network, optimizer, images, labels, np.arange(len(labels)), options, rng, torch.Generator()
            )

    torch.manual_seed(0)
    epoch()
    started_at = _now(device)
    loss = epoch()
    return np.asarray(loss), _now(device) - started_at


def _plain_epoch(
    network: nn.Module, job: Job, labels: np.ndarray, order: np.ndarray, device: torch.device
) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5)

    def epoch() -> float:
        losses = []
        for start in range(0, len(order), job.batch_size):
            rows = order[start : start + job.batch_size]
            batch = _plain_batch(tuple(job.paths[row] for row in rows)).to(device)
            target = torch.as_tensor(labels[rows], dtype=torch.float32, device=device)
            loss = nn.functional.binary_cross_entropy_with_logits(network(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    return epoch


def _plain_batch(paths: tuple[Path, ...]) -> torch.Tensor:
    """Decode pictures and convert them one by one: float32 [N, 3, H, W] in [-1, 1]."""
    tensors = []
    for path in paths:
        with Image.open(path) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB")))
        tensors.append(pixels.permute(2, 0, 1).float().div(127.5).sub(1).contiguous())
    return torch.stack(tensors)


class _PlainCNN(nn.Module):
    def __init__(self, network: FilterCNN, features: nn.Sequential) -> None:
        super().__init__()
        self.rows, self.columns = network.config.crop_slices(SIZE_PX)
        self.features, self.classifier = features, network.classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        window = images[..., self.rows, self.columns].contiguous()
        return self.classifier(self.features(window)).squeeze(1)


def _documents_order(network: FilterCNN) -> nn.Module:
    """The same weights as convolution, LeakyReLU, dropout, pooling, laid out as torch does by itself."""
    layers: list[nn.Module] = []
    waiting: list[nn.Module] = []  # a pooling, until activation and dropout have come
    for layer in network.features:
        if isinstance(layer, nn.MaxPool2d):
            waiting = [layer]
            continue
        layers.append(layer)
        if isinstance(layer, nn.Dropout2d):
            layers, waiting = layers + waiting, []
    return _PlainCNN(network, nn.Sequential(*layers)).to(memory_format=torch.contiguous_format)


def _networks(config: Callable[[int], object], device: torch.device) -> list[FilterCNN]:
    networks = []
    for seed in range(FOLDS):
        torch.manual_seed(seed)
        networks.append(FilterCNN(config(SIZE_PX)).to(device).eval())
    return networks


def _write_pictures(folder: Path, count: int) -> tuple[Path, ...]:
    """JPEGs of coloured waves, whose sizes are those of photographs."""
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    paths = []
    for number, rng in enumerate(np.random.default_rng(0).spawn(count)):
        waves = [np.sin(rng.uniform(5, 60) * rows + rng.uniform(5, 60) * columns) for _ in range(3)]
        pixels = 128 + 60 * np.stack(waves, axis=-1) + rng.normal(0, 8, (SIZE_PX, SIZE_PX, 3))
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=95)
        paths.append(path)
    return tuple(paths)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _difference(results: dict[Way, np.ndarray], way: Way, limit: float) -> float:
    """Largest difference of a way's result from the plain one's."""
    difference = float(np.abs(results[way] - results["plain"]).max())
    if not difference <= limit:
        raise RuntimeError(f"{way} and plain differ by {difference:g}, more than {limit:g}")
    return difference
