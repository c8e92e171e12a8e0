"""Speed of the filter's networks at the document's size, against the plain way of running them.

The plain way: pictures are decoded anew for every pass, batches of 16 in training and of 4 in inference,
float32, tensors [N, C, H, W] in memory, layers in the document's order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cnn.dataset import normalize, resize, to_tensor
from cnn.ensemble import Ensemble
from cnn.models import FilterCNN, FilterCNNConfig, gender_config, quality_config
from cnn.training import TrainingOptions, train_epoch
from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
from scripts.stages.image_files import read_image

SIZE_PX = 256
FOLDS = 5
TRAINING_BATCH, PLAIN_INFERENCE_BATCH = 16, 4
CONFIGS = (gender_config, quality_config)
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
LARGEST_DIFFERENCE = 0.02  # of a probability, of a mean loss

Way = Callable[[], np.ndarray]


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Inference (ten networks) and a training epoch (gender).

    Raises:
        RuntimeError: the two ways disagree.
    """
    is_gpu = device.type == "cuda"
    inference_count, training_count = (512, 256) if is_gpu else (8, 16) if quick else (32, 32)
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder:
        paths = _write_pictures(Path(folder), max(inference_count, training_count))
        return [
            *_measure_inference(paths[:inference_count], 64 if is_gpu else 8, device, repeats),
            _measure_training(paths[:training_count], device, repeats),
        ]


@torch.inference_mode()
def _measure_inference(
    paths: Sequence[Path], batch_size: int, device: torch.device, repeats: int
) -> list[Measurement]:
    ways: dict[str, Way] = {"plain": _plain_inference(paths, device)}
    ways |= {kind: _our_inference(paths, batch_size, kind, device) for kind in PRECISIONS}
    results = {way: judge() for way, judge in ways.items()}
    seconds = seconds_by_turns(ways, repeats)
    measurements = []
    for kind in PRECISIONS:
        name = f"filter inference, {2 * FOLDS} networks, {kind}"
        difference = float(np.abs(results[kind] - results["plain"]).max())
        check_difference(difference, LARGEST_DIFFERENCE, name)
        note = f"probabilities differ by at most {difference:.4f}; batch {batch_size} against 4"
        ours, plain = (len(paths) / seconds[way] for way in (kind, "plain"))
        measurements.append(Measurement(name, ours, plain, note))
    return measurements


def _plain_inference(paths: Sequence[Path], device: torch.device) -> Way:
    """Property after property, each with a pass over the files: probabilities [2, N]."""
    groups = [[documents_order(network) for network in _networks(config, device)] for config in CONFIGS]

    def judge() -> np.ndarray:
        found: list[list[float]] = [[] for _ in groups]
        for values, networks in zip(found, groups, strict=True):
            for start in range(0, len(paths), PLAIN_INFERENCE_BATCH):
                batch = _plain_batch(paths[start : start + PLAIN_INFERENCE_BATCH]).to(device)
                values += torch.stack([network(batch).sigmoid() for network in networks]).mean(dim=0).tolist()
        return np.array(found)

    return judge


def _our_inference(paths: Sequence[Path], batch_size: int, precision: Precision, device: torch.device) -> Way:
    """Both properties in one pass over the files: probabilities [2, N]."""
    ensembles = [Ensemble(_networks(config, device), precision=precision) for config in CONFIGS]

    def judge() -> np.ndarray:
        found = []
        for start in range(0, len(paths), batch_size):
            pictures = [resize(read_image(path), SIZE_PX) for path in paths[start : start + batch_size]]
            batch = normalize(to_tensor(np.stack(pictures)).to(device))
            found.append([ensemble(batch).tolist() for ensemble in ensembles])
        return np.concatenate(found, axis=1)

    return judge


def _measure_training(paths: Sequence[Path], device: torch.device, repeats: int) -> Measurement:
    name = "filter training epoch, gender"
    labels = np.arange(len(paths)) % 2
    ways = {"ours": _our_epoch(paths, labels, device), "plain": _plain_epoch(paths, labels, device)}
    losses = {}
    for way, epoch in ways.items():
        torch.manual_seed(0)
        losses[way] = epoch()
    difference = float(np.abs(losses["ours"] - losses["plain"]))
    check_difference(difference, LARGEST_DIFFERENCE, name)
    seconds = seconds_by_turns(ways, repeats)
    ours, plain = (len(paths) / seconds[way] for way in ("ours", "plain"))
    return Measurement(name, ours, plain, f"batch {TRAINING_BATCH}; losses differ by {difference:.4f}")


def _our_epoch(paths: Sequence[Path], labels: np.ndarray, device: torch.device) -> Way:
    network = _networks(gender_config, device)[0].train()
    images = to_tensor(np.stack([resize(read_image(path), SIZE_PX) for path in paths])).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5, fused=True)
    options = TrainingOptions(loss_limit=1.0, batch_size=TRAINING_BATCH)
    rows = np.arange(len(labels))

    def epoch() -> np.ndarray:
        order = np.random.default_rng(0)
        loss = train_epoch(network, optimizer, images, labels, rows, options, order, torch.Generator())
        return np.asarray(loss)

    return epoch


def _plain_epoch(paths: Sequence[Path], labels: np.ndarray, device: torch.device) -> Way:
    network = documents_order(_networks(gender_config, device)[0]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5)
    order = np.random.default_rng(0).permutation(len(labels))

    def epoch() -> np.ndarray:
        losses = []
        for start in range(0, len(order), TRAINING_BATCH):
            rows = order[start : start + TRAINING_BATCH]
            batch = _plain_batch([paths[row] for row in rows]).to(device)
            target = torch.as_tensor(labels[rows], dtype=torch.float32, device=device)
            loss = nn.functional.binary_cross_entropy_with_logits(network(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.asarray(np.mean(losses))

    return epoch


def _plain_batch(paths: Sequence[Path]) -> Tensor:
    """Decode pictures and convert them one by one: float32 [N, 3, H, W] in [-1, 1]."""
    pixels = (torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for path in paths)
    return torch.stack([one.permute(2, 0, 1).float().div(127.5).sub(1).contiguous() for one in pixels])


class _PlainCNN(nn.Module):
    def __init__(self, network: FilterCNN, features: nn.Sequential) -> None:
        super().__init__()
        self.rows, self.columns = network.config.crop_slices(SIZE_PX)
        self.features, self.classifier = features, network.classifier

    def forward(self, images: Tensor) -> Tensor:
        window = images[..., self.rows, self.columns].contiguous()
        return self.classifier(self.features(window)).squeeze(1)


def documents_order(network: FilterCNN) -> nn.Module:
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


def _networks(config: Callable[[int], FilterCNNConfig], device: torch.device) -> list[FilterCNN]:
    networks = []
    for seed in range(FOLDS):
        torch.manual_seed(seed)
        networks.append(FilterCNN(config(SIZE_PX)).to(device).eval())
    return networks


def _write_pictures(folder: Path, count: int) -> list[Path]:
    """JPEGs of coloured waves, whose sizes are those of photographs."""
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    paths = []
    for number, rng in enumerate(np.random.default_rng(0).spawn(count)):
        waves = [np.sin(rng.uniform(5, 60) * rows + rng.uniform(5, 60) * columns) for _ in range(3)]
        pixels = 128 + 60 * np.stack(waves, axis=-1) + rng.normal(0, 8, (SIZE_PX, SIZE_PX, 3))
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=95)
        paths.append(path)
    return paths
