"""Trains a small face parser on drawn portraits, whose label maps are exact, or on photographs with masks."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.face_classes import CLASS_NAMES
from segmentation.facexformer import FaceXFormer
from segmentation.facexformer_config import FaceXFormerConfig
from segmentation.familiarity import Familiarity, describe
from segmentation.parser_batches import ParserBatches
from segmentation.parsing import normalize_images
from stylegan.parallel import ALONE, Processes

SMALL_CONFIG = FaceXFormerConfig(
    patch_size=8,
    embed_dim=32,
    depths=(2, 2, 4, 1),
    head_counts=(1, 2, 4, 8),
    mlp_ratio=2.0,
    decoder_width=96,
    decoder_head_count=4,
    decoder_mlp_width=192,
)
"""FaceXFormer with 1.8 million parameters, for a CPU."""

USUAL_AT_ONCE = 8  # crops


@dataclass(frozen=True)
class ParserTrainingOptions:
    """How to train."""

    steps: int = 3000
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    weigh_classes: bool = True
    """Give rare classes more weight at first; needless for a network that is trained already."""
    precision: str = "bf16"
    """Of the forward passes: "bf16" or "float32"."""


def class_weights(label_maps: np.ndarray) -> Tensor:
    """Cross-entropy weights float32 `[11]`: 1 / root of a class's share, with mean 1 over the pixels."""
    share = np.bincount(label_maps.ravel(), minlength=len(CLASS_NAMES)) / label_maps.size
    weights = 1 / np.sqrt(share.clip(1e-4))
    return torch.from_numpy(weights / (weights * share).sum()).float()


def parsing_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, processes: Processes = ALONE, counts: bool = True
) -> Tensor:
    """Weighted cross-entropy plus soft Dice loss, averaged over the classes.

    Args:
        logits: `[N, 11, H, W]`.
        labels: int64 `[N, H, W]`.
        weights: float `[11]`, of the cross-entropy.
        processes: those that share the batch; both terms are ratios of sums over all of it.
        counts: False in a process that was left without rows of its own.

    Returns:
        a scalar, the same for all processes.
    """
    log_probability = logits.float().log_softmax(dim=1)
    cross_entropy = F.nll_loss(log_probability, labels, weight=weights, reduction="sum")
    probability = log_probability.exp()
    one_hot = F.one_hot(labels, len(CLASS_NAMES)).permute(0, 3, 1, 2).to(probability.dtype)
    shared = (probability * one_hot).sum(dim=(0, 2, 3))
    pixels = one_hot.sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + pixels
    own = torch.stack([cross_entropy.expand_as(shared), pixels, shared, total]) * float(counts)
    cross_entropy, pixels, shared, total = processes.joint_sum(own)
    return cross_entropy[0] / (weights @ pixels) + (1 - (2 * shared + 1) / (total + 1)).mean()


class ParserTrainer:
    """Network, optimiser and position of a training run; everything random derives from (seed, step).

    Several processes share the crops of a batch; each makes all of them, because their random numbers come
    from one stream.
    """

    def __init__(self, model: FaceXFormer, batches: ParserBatches, options: ParserTrainingOptions) -> None:
        self.model, self.batches, self.options = model, batches, options
        self.device = next(model.parameters()).device
        self.processes = Processes.of_this_run()
        self.weights = class_weights(batches.label_maps).to(self.device)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98), fused=True)
        self.steps_done = 0

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 1 % of the peak."""
        options = self.options
        if step < options.warmup_steps:
            return options.learning_rate * (step + 1) / options.warmup_steps
        progress = (step - options.warmup_steps) / max(options.steps - options.warmup_steps, 1)
        return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))

    def class_weights(self, step: int) -> Tensor:
        """Cross-entropy weights: those of `class_weights` at first, all 1 from 60 % of the run on.

        Rare classes need the weights to be found at all, but would stay too wide with them.
        """
        if not self.options.weigh_classes:
            return torch.ones_like(self.weights)
        progress = step / self.options.steps
        return self.weights ** min(max((0.6 - progress) / 0.35, 0.0), 1.0)

    @property
    def finished(self) -> bool:
        return self.steps_done >= self.options.steps

    def step(self) -> dict[str, float]:
        """One optimiser step; returns its loss and its learning rate."""
        self.model.train()
        learning_rate = self.learning_rate(self.steps_done)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        share = self.processes.part(self.batches.batch_size)
        crops, labels = (part[share.rows].to(self.device) for part in self.batches.batch(self.steps_done))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            logits = self.model(normalize_images(crops), tasks=("segmentation",))["segmentation"]
        # Every second pixel of each direction is enough to learn from, at a quarter of the cost; which, takes
        # turns.
        row, column = self.steps_done % 2, self.steps_done // 2 % 2
        part = (..., slice(row, None, 2), slice(column, None, 2))
        weights = self.class_weights(self.steps_done)
        loss = parsing_loss(logits[part], labels[part], weights, self.processes, share.weight > 0)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.sum_gradients(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps_done += 1
        return {"loss": loss.item(), "learning_rate": learning_rate}

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to equal an uninterrupted one, on a CPU exactly."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state_dict`."""
        self.model.load_state_dict(state["model"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps_done = int(state["step"])


@torch.no_grad()
def learn_what_is_usual(model: FaceXFormer, crops: np.ndarray, seed: int = 0) -> None:
    """Give a trained parser its `Familiarity`.

    Args:
        crops: uint8 `[M, 224, 224, 3]` of training pictures as a detector cuts them, neither degraded nor
            warped: what is usual among augmented ones would be usual among almost all faces.
        seed: of the division into those for the fit (three quarters) and those for the limit.
    """
    device = next(model.parameters()).device
    order = torch.randperm(len(crops), generator=torch.Generator().manual_seed(seed))
    parts = torch.from_numpy(crops)[order].split(USUAL_AT_ONCE)
    stages = (model.stage_features(normalize_images(part.to(device))) for part in parts)
    described = torch.cat([describe(stage) for stage in stages])
    familiarity = Familiarity(described.shape[1]).to(device)
    count = 3 * len(described) // 4
    familiarity.fit(described[:count], described[count:])
    model.familiarity = familiarity
