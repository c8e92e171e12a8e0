"""Classifiers of given against generated pictures, of three architectures, and how they learn.

One guides the retouching, another one, which no step sees, agrees or refuses, and the third one judges. They
see nothing but the picture: both sides went through the same resizing and the same JPEG, or they would learn
the codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from cnn.models import FilterCNN, gender_config
from cnn.oracle import OracleConfig, residual_trunk, strided_trunk
from cvae.recipes import ROLES, RealnessRecipe, Role
from stylegan.parallel import Scalar
from stylegan.sampling import from_uint8
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.fine_tuning import FineTuner, TrainingPictures, cosine, set_learning_rate

FORMAT = "realness"
SIZE_PX = 64
HELD_OUT_SHARE = 0.3


class Realness(nn.Module):
    """Logit of being a given picture.

    Args:
        role: decides the architecture: the guide's has a smooth gradient (strided convolutions with group
            norm), the second one is residual with batch norm, the judge is the filter's network.
        width: multiplier of the channels.
    """

    def __init__(self, role: Role, width: float = 0.5) -> None:
        super().__init__()
        self.role, self.width = role, width
        channels = tuple(max(8, 8 * round(width * c / 8)) for c in (32, 64, 128, 256))
        config = OracleConfig((), image_size=SIZE_PX, stem_channels=channels[0] // 2, stage_channels=channels)
        side = SIZE_PX // 2 ** len(channels)
        if role == "guide":
            flat = config.pooled_channels * 2 * side
            self.network: nn.Module = nn.Sequential(
                strided_trunk(config), nn.Dropout(0.3), nn.Linear(flat, 1)
            )
        elif role == "second":
            flat = config.pooled_channels * side**2
            self.network = nn.Sequential(residual_trunk(config), nn.Dropout(0.3), nn.Linear(flat, 1))
        else:
            self.network = FilterCNN(gender_config(SIZE_PX, width / 2))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N], positive for given, of pictures [N, 3, H, W] of any size in [-1, 1]."""
        if images.shape[-2:] != (SIZE_PX, SIZE_PX):
            size = (SIZE_PX, SIZE_PX)
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return self.network(images).flatten()

    def checkpoint(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Weights and layout, and figures, as tensors and plain values."""
        layout = {"format": FORMAT, "role": self.role, "width": self.width}
        return {**layout, "about": dict(about), "weights": self.state_dict()}

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any], role: Role) -> Realness:
        """The frozen network of a checkpoint in eval mode; `ValueError` if it is none or another role's."""
        if content.get("format") != FORMAT or content.get("role") != role:
            raise ValueError(f"this file holds no classifier of realness for the role {role}")
        try:
            model = cls(role, content["width"])
            model.load_state_dict(content["weights"], strict=True)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"the file of the classifier is damaged: {error}") from error
        return model.eval().requires_grad_(False)


def split(sources: np.ndarray, role: Role, seed: int) -> np.ndarray:
    """Which pictures a role's network must not learn from, bool [N], by their sources int [N] alone.

    Each role holds out others.
    """
    place = ROLES.index(role)
    drawn = [
        np.random.default_rng(derived_seed(Purpose.REALNESS_SPLIT, seed, place, n)).random() for n in sources
    ]
    return np.array(drawn) < HELD_OUT_SHARE


class RealnessTrainer(FineTuner):
    """Trains one classifier on as many given as generated pictures.

    Args:
        model: the network.
        data: pictures; their one property is 1 for given and 0 for generated.
        options: see `RealnessRecipe`.
    """

    purpose = Purpose.REALNESS_STEP
    options: RealnessRecipe
    precision = "float32"

    def __init__(self, model: Realness, data: TrainingPictures, options: RealnessRecipe) -> None:
        self.model, self.data, self.options = model.train(), data, options
        self.device = next(model.parameters()).device
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=0.01)
        labels = data.properties[:, 0]
        self.sides = [torch.nonzero(labels == side).flatten() for side in (0, 1)]

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": self.optimizer}

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        set_learning_rate(self.optimizer, cosine(t, self.options.steps))
        half = max(1, self.options.batch_size // 2)
        rows = torch.cat([side[torch.randint(len(side), (half,), generator=rng)] for side in self.sides])
        share = self.processes.part(len(rows))
        images, labels = self.data.batch(rows[share.rows], self.device)
        which = torch.rand(len(rows), generator=rng)[share.rows].to(self.device) < 0.5
        images = torch.where(which[:, None, None, None], images.flip(3), images)
        loss = F.binary_cross_entropy_with_logits(self.model(images), labels[:, 0])
        self.descend(self.optimizer, share.weight * loss)
        return self.processes.sum_values({"loss": share.weight * loss.detach()}, self.device)


@torch.inference_mode()
def logits(model: Realness, images: np.ndarray, at_once: int = 64) -> np.ndarray:
    """Logits float64 [N] of pictures uint8 [N, H, W, 3]."""
    device = next(model.parameters()).device
    parts = (from_uint8(images[n : n + at_once]).to(device) for n in range(0, len(images), at_once))
    return torch.cat([model(part).double().cpu() for part in parts]).numpy()


def auc(given: np.ndarray, generated: np.ndarray) -> float:
    """How surely logits tell given [N] from generated pictures [M]: 1 never errs, .5 is chance."""
    labels = np.concatenate([np.ones(len(given)), np.zeros(len(generated))])
    return float(roc_auc_score(labels, np.concatenate([given, generated])))
