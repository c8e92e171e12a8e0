"""Training of the oracle on portraits whose truth is known.

Every person is photographed twice: same identity, other expression, pose, hair length, light and
background.  All pictures teach gender, quality and properties; the pairs teach the identity embedding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from cnn.jpeg import jpeg_copy
from cnn.oracle import Oracle, read_pictures
from cnn.verification import verify
from stylegan.parallel import Processes

GENDER, QUALITY, FIRST_PROPERTY = 0, 1, 2


@dataclass(frozen=True)
class OracleTrainingOptions:
    """Recipe of the oracle.

    Attributes:
        steps: optimiser steps; the learning rate rises over `warmup_steps` and falls to zero as a cosine.
        people_per_batch: people per step, two pictures each.
        temperature: of the contrastive loss over identities.
        identity_weight: weight of that loss.
        precision: of the forward passes, "bf16" or "float32".
    """

    steps: int = 2000
    people_per_batch: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.02
    temperature: float = 0.1
    identity_weight: float = 0.5
    seed: int = 0
    precision: str = "bf16"


@dataclass(frozen=True)
class PairedPortraits:
    """Two pictures of each of N people.

    Attributes:
        images: uint8 [N, 2, H, W, 3].
        truth: float32 [N, 2, 2 + P]: gender, quality, properties in their own units.
        pose_index: column of `truth` that changes its sign in the mirror.
    """

    images: np.ndarray
    truth: np.ndarray
    pose_index: int


class OracleTrainer:
    """Trains an oracle step by step; everything random at step t derives from (seed, t).

    Several processes share the people of a batch; each makes the whole batch, whose random numbers come from
    one stream.

    Raises:
        ValueError: there are fewer people than a batch has, or fewer in a batch than processes.
    """

    def __init__(
        self, oracle: Oracle, portraits: PairedPortraits, options: OracleTrainingOptions, device: torch.device
    ) -> None:
        if len(portraits.images) < options.people_per_batch:
            raise ValueError(
                f"{len(portraits.images)} people are fewer than one batch of {options.people_per_batch}"
            )
        self.processes = Processes.of_this_run()
        if self.processes.count > options.people_per_batch:
            raise ValueError(
                f"{self.processes.count} processes are more than {options.people_per_batch} people"
            )
        properties = portraits.truth[:, :, FIRST_PROPERTY:].reshape(-1, len(oracle.config.property_names))
        oracle.property_mean.copy_(torch.from_numpy(properties.mean(axis=0)))
        oracle.property_sd.copy_(torch.from_numpy(properties.std(axis=0)))
        self.oracle = oracle.to(device).to(memory_format=torch.channels_last)
        self.portraits = portraits
        self.options = options
        self.device = device
        self.steps_done = 0
        self.optimizer = torch.optim.AdamW(
            oracle.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )

    @property
    def finished(self) -> bool:
        return self.steps_done >= self.options.steps

    def step(self) -> dict[str, float]:
        """One optimiser step; returns its losses."""
        images, truth = self._batch()
        share = self.processes.part(len(images), stride=self.options.people_per_batch)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.oracle.train()
        own = images[share.rows].contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            reading = self.oracle(own.to(self.device))
        # The identities of a batch are compared with each other, so every process needs all of them.
        whole = {name: self.processes.whole_batch(value.float(), share) for name, value in reading.items()}
        losses = self._losses(whole, truth)
        loss = losses["gender"] + losses["quality"] + losses["properties"]
        loss = loss + self.options.identity_weight * losses["identity"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.sum_gradients(self.optimizer)
        self.optimizer.step()
        self.steps_done += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        networks = {"oracle": self.oracle.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**networks, "step": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`; on a CPU the rest is that of an uninterrupted training."""
        self.oracle.load_state_dict(state["oracle"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps_done = state["step"]

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Degraded pictures [2B, 3, H, W], first and second pictures in halves, and their truth."""
        size, people = self.options.people_per_batch, len(self.portraits.images)
        epoch, position = divmod(self.steps_done, people // size)
        order = np.random.default_rng([self.options.seed, 1, epoch]).permutation(people)
        rows = order[position * size : (position + 1) * size]
        rng = np.random.default_rng([self.options.seed, 2, self.steps_done])
        images = np.concatenate([self.portraits.images[rows, 0], self.portraits.images[rows, 1]])
        truth = np.concatenate([self.portraits.truth[rows, 0], self.portraits.truth[rows, 1]])
        mirrored = np.tile(rng.random(size) < 0.5, 2)
        images[mirrored] = images[mirrored, :, ::-1]
        truth[mirrored, self.portraits.pose_index] *= -1
        return degrade(images, rng), torch.from_numpy(truth).to(self.device)

    def _learning_rate(self) -> float:
        options = self.options
        warm = min(1.0, (self.steps_done + 1) / max(1, options.warmup_steps))
        return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * self.steps_done / options.steps))

    def _losses(self, reading: dict[str, Tensor], truth: Tensor) -> dict[str, Tensor]:
        mean, deviation = self.oracle.property_mean, self.oracle.property_sd
        bce = functional.binary_cross_entropy_with_logits
        return {
            "gender": bce(reading["gender"], truth[:, GENDER]),
            "quality": bce(reading["quality"], truth[:, QUALITY]),
            "properties": functional.mse_loss(
                reading["properties"], (truth[:, FIRST_PROPERTY:] - mean) / deviation
            ),
            "identity": contrastive_loss(reading["identity"], self.options.temperature),
        }


def contrastive_loss(identity: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al., SimCLR, 2020) of unit vectors [2B, D]; rows i and i + B are one person."""
    count = len(identity)
    similarity = identity @ identity.T / temperature
    similarity = similarity.masked_fill(torch.eye(count, dtype=torch.bool, device=identity.device), -1e9)
    partner = torch.arange(count, device=identity.device).roll(count // 2)
    return functional.cross_entropy(similarity, partner)


def degrade(images: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Make clean portraits as imperfect as generated pictures: uint8 [N, H, W, 3] -> [N, 3, H, W] in [-1, 1].

    Small shifts, scales and smooth warps, blur or sharpening, JPEG, noise; brightness and colour change
    by a few hundredths only, because hair and background colour are to be read.
    """
    images = np.stack([_compressed(image, rng) for image in images])
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    count, _, height, width = x.shape

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    affine = torch.eye(2, 3).repeat(count, 1, 1)
    affine[:, :, :2] *= 1 + 0.015 * normal(count, 1, 1)
    affine[:, :, 2] = 0.02 * normal(count, 2)
    grid = functional.affine_grid(affine, list(x.shape), align_corners=False)
    warp = functional.interpolate(0.008 * normal(count, 2, 6, 6), (height, width), mode="bicubic")
    x = functional.grid_sample(
        x, grid + warp.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False
    )
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = x + torch.from_numpy(rng.uniform(-0.4, 0.8, (count, 1, 1, 1)).astype(np.float32)) * (blurred - x)
    x = x * (1 + 0.02 * normal(count, 3, 1, 1)) + 0.02 * normal(count, 1, 1, 1)
    x = x + 0.02 * normal(count, 1, 1, 1).abs() * normal(count, 3, height, width)
    return x.clamp(-1, 1)


def _compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the pictures go through a JPEG of quality 60 to 98."""
    quality = int(rng.integers(60, 99))
    if rng.random() < 0.5:
        return image
    return jpeg_copy(image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def evaluate_oracle(oracle: Oracle, portraits: PairedPortraits) -> dict[str, Any]:
    """Figures on portraits that it has not seen: AUROCs, Pearson r of each property, identity AUC."""
    first, second = (read_pictures(oracle, portraits.images[:, i]) for i in range(2))
    truth = portraits.truth[:, 0]
    properties = first["properties"].numpy()
    names: Sequence[str] = oracle.config.property_names
    correlations = {
        name: float(np.corrcoef(properties[:, index], truth[:, FIRST_PROPERTY + index])[0, 1])
        for index, name in enumerate(names)
    }
    return {
        "gender_auroc": float(roc_auc_score(truth[:, GENDER], first["gender"].numpy())),
        "quality_auroc": float(roc_auc_score(truth[:, QUALITY], first["quality"].numpy())),
        "property_r": correlations,
        "identity_auc": verify(first["identity"], second["identity"]).auc,
    }
