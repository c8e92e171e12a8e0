"""The generators whose pictures are retouched, all asked alike: noise and conditions to pictures."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvae.augmentation import Change, variant
from cvae.conditions import ConditionScale
from cvae.model import ConditionalVAE
from scripts.pipeline import Stage, UserError
from scripts.stages import networks
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.augmenting import JPEG_OPTIONS
from scripts.stages.cvae.generating import load_vae
from scripts.stages.generated_pictures import jpeg_round_trip
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import sample_z, to_uint8


class Maker:
    """Noise [N, D] and conditions [N, C] to pictures [N, 3, H, W] in [-1, 1] of the dataset's size, with a
    gradient.

    Args:
        stage: the running script.
        version: "cvae", "v1" or "v2".
        shape: height and width of the dataset's pictures.

    Raises:
        UserError: a generator with dials, and conditions that are hand labels.
    """

    def __init__(self, stage: Stage, version: str, shape: tuple[int, int]) -> None:
        self.stage, self.shape = stage, shape
        record = dataset.condition_record(stage)
        scale = record.get("scale")
        self.scale = ConditionScale.from_dict(scale) if scale else None
        self.model: nn.Module
        if version == "cvae":
            self.model = load_vae(stage, at.GENERATORS["cvae"])
        elif self.scale is None:
            again = stage.command("22_decide_inputs", "--force")
            raise UserError(
                f"{version} is asked by scores of stage 04, and the conditions are hand labels. Retouch "
                f"--version cvae, or decide the conditions anew:\n    {again}"
            )
        else:
            self.model = networks.load_generator(stage, version)
        self.model.requires_grad_(False).eval()

    def noise(self, first: int, count: int) -> Tensor:
        """Noise [count, D] on the device, each row from its own number, beginning with `first`."""
        size = int(self.model.z_space_dim)  # type: ignore[arg-type]
        return sample_z(range(count), first, size).to(self.stage.device)

    def __call__(self, z: Tensor, conditions: Tensor) -> Tensor:
        if isinstance(self.model, ConditionalVAE):
            return self.model.decode(z, conditions).picture
        pictures = self._drawn(z, conditions)
        return F.interpolate(pictures, self.shape, mode="bicubic", antialias=True).clamp(-1, 1)

    def _drawn(self, z: Tensor, conditions: Tensor) -> Tensor:
        """Pictures of a generator with dials at its own size."""
        assert self.scale is not None
        offset, slope = z.new_tensor(self.scale.offset), z.new_tensor(self.scale.slope)
        properties = z.new_zeros(len(z), len(PROPERTY_NAMES))
        properties[:, self.scale.columns] = (conditions - offset) / slope
        drawn: Tensor = self.model(z, properties)["image"]
        return drawn

    @torch.no_grad()
    def stored(self, z: Tensor, conditions: Tensor, at_once: int = 32) -> np.ndarray:
        """Pictures uint8 [N, H, W, 3] as the dataset holds its own: resized and through JPEG alike."""
        found = []
        for first in range(0, len(z), at_once):
            self.stage.check_stop()
            part = slice(first, first + at_once)
            if isinstance(self.model, ConditionalVAE):
                found += list(to_uint8(self(z[part], conditions[part])))
            else:
                images = to_uint8(self._drawn(z[part], conditions[part]))
                found += [variant(jpeg_round_trip(image), Change(), *self.shape) for image in images]
        return np.stack([as_stored(image) for image in found])


def as_stored(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] as it comes back from a JPEG of 20."""
    return jpeg_round_trip(image, JPEG_OPTIONS)
