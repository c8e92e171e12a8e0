"""KID of a training generator against its data, and the weights that had the best one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cnn.oracle import read_pictures
from cnn.oracle_metrics import kernel_inception_distance
from scripts.pipeline import REPOSITORY, Tool, files
from scripts.pipeline.files import TextFileError, read_json
from scripts.stages.base_generator.options import Options
from scripts.stages.generated_pictures import open_oracle
from scripts.stages.workspace import BUNDLED_ORACLE
from stylegan.batches import TrainingImages
from stylegan.checkpoint import save_checkpoint
from stylegan.sampling import sample_z, synthesize, to_uint8
from stylegan.seeds import TRAINING_KID
from stylegan.training import StyleGANTrainer

BEST_WEIGHTS = "stylegan_model_best_kid.safetensors"
BEST_RECORD = "best_kid.json"
SAMPLE_SEED = TRAINING_KID.start
DETECTOR_SIZE_PX = 48

Features = Callable[[np.ndarray], Tensor]
"""uint8 pictures [N,H,W,3] -> features [N,D] on the CPU."""


class KidMeter:
    """Measures KID between samples of a fixed seed and pictures of the data.

    Args:
        tool, options: of the script.
        trainer: whose averaged generator is measured.
        folder: where the best weights are kept.
    """

    def __init__(self, tool: Tool, options: Options, trainer: StyleGANTrainer, folder: Path) -> None:
        self.tool, self.trainer, self.folder = tool, trainer, folder
        name = options.kid_features
        if name == "auto":
            name = "oracle" if options.portraits else "detector"
        chosen = fixed_pictures(trainer.data, options.kid_count)
        self.features = (
            oracle_features(tool) if name == "oracle" else detector_features(trainer.device, [chosen])
        )
        self.data_features = self.features(chosen)
        self.setting: dict[str, Any] = {"features": name, "samples": options.kid_count, "data": len(chosen)}
        self.best = self._read_best()

    def _read_best(self) -> float | None:
        path = self.folder / BEST_RECORD
        if not path.exists():
            return None
        mend = f"Remove it, and the next weights count as the best:\n    rm {shlex.quote(str(path))}"
        with self.tool.foreseen(TextFileError, mend=mend):
            record = read_json(path)
        return record.get("kid") if {key: record.get(key) for key in self.setting} == self.setting else None

    def forget(self) -> None:
        """A training that starts over has no best weights yet."""
        (self.folder / BEST_RECORD).unlink(missing_ok=True)
        (self.folder / BEST_WEIGHTS).unlink(missing_ok=True)
        self.best = None

    def of_the_data(self) -> float:
        """KID between two random halves of the data: what no generator can be expected to fall below."""
        order = np.random.default_rng(SAMPLE_SEED).permutation(len(self.data_features))
        first, second = np.array_split(order, 2)
        return kernel_inception_distance(self.data_features[first], self.data_features[second])

    def measure(self) -> float:
        """KID of the averaged generator now; keeps its weights if it is the best so far."""
        generator = self.trainer.generator_smooth
        z = sample_z(range(self.setting["samples"]), SAMPLE_SEED, generator.z_space_dim)
        samples = [self.features(to_uint8(part["image"])) for part in synthesize(generator, z)]
        kid = kernel_inception_distance(torch.cat(samples), self.data_features)
        if self.best is None or kid < self.best:
            self._keep(kid)
        self.tool.log(
            f"KID {kid:.4f} ({self.setting['samples']} samples against {self.setting['data']} "
            f"pictures, {self.setting['features']} features), best so far {self.best:.4f}"
        )
        return kid

    def _keep(self, kid: float) -> None:
        self.best = kid
        record = {"kid": kid, "kimg": self.trainer.counters.images / 1000, **self.setting}
        networks = {name: network.state_dict() for name, network in self.trainer.networks()}
        metadata = {**self.trainer.metadata(), "best_kid": record}
        save_checkpoint(self.folder / BEST_WEIGHTS, **networks, metadata=metadata)
        files.write(self.folder / BEST_RECORD, record)


def fixed_pictures(data: TrainingImages, count: int) -> np.ndarray:
    """Up to `count` of the training images, the same ones every time, uint8 [n,H,W,3]."""
    total = len(data.images)
    rows = np.random.default_rng(SAMPLE_SEED).choice(total, min(count, total), replace=False)
    return data.images[np.sort(rows)]


def oracle_features(tool: Tool) -> Features:
    """Features of the bundled oracle, which knows portraits."""
    oracle = open_oracle(tool, REPOSITORY / BUNDLED_ORACLE)
    return lambda images: read_pictures(oracle, images)["features"]


def detector_features(device: torch.device, reference: Iterable[np.ndarray]) -> Features:
    """Features [N,1024] of a network that knows photographs: the last one of the MTCNN face detector.

    Its third convolution, averaged to 4x4 places: that sees shape and texture, where its output sees little
    but the place of eyes and mouth. The weights come with facenet-pytorch, so nothing has to be fetched.

    Args:
        reference: batches of uint8 pictures [n,H,W,3] whose features get a mean square of one, the scale for
            which the kernel of KID was made.
    """
    onet = ONet()
    names = ("conv1", "prelu1", "pool1", "conv2", "prelu2", "pool2", "conv3", "prelu3")
    layers = (onet.get_submodule(name) for name in names)
    network = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten()).to(device).eval()
    size = (DETECTOR_SIZE_PX, DETECTOR_SIZE_PX)

    @torch.inference_mode()
    def features(images: np.ndarray) -> Tensor:
        found = []
        for part in torch.from_numpy(np.array(images)).split(100):
            x = (part.to(device).permute(0, 3, 1, 2).float() - 127.5) / 128
            x = interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
            found.append(network(x).cpu())
        return torch.cat(found)

    scale = torch.cat([features(images) for images in reference]).square().mean().rsqrt()
    return lambda images: features(images) * scale
