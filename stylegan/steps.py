"""The steps of a training: losses, gradients and optimisers for one batch of each kind of phase."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan.augmentation import Augmentation
from stylegan.batches import TrainingImages
from stylegan.interface import Discriminator, Generator
from stylegan.latents import latents_to_z
from stylegan.losses import (
    PATH_LENGTH_DECAY,
    discriminator_loss,
    generator_loss,
    path_lengths,
    pyramid_loss,
    r1_penalty,
)
from stylegan.muon import Muon
from stylegan.parallel import Processes
from stylegan.phases import Phase, TrainingConfig
from stylegan.spikes import SpikeMeter
from stylegan.stylegan_generator import active_layer_count, mix_styles
from stylegan.transfer import trained_parameters


@dataclass(frozen=True)
class Batch:
    """What a step works on."""

    phase: Phase
    places: np.ndarray
    """Places in the batch of the rows of this process, ascending."""
    rows: np.ndarray
    """The images at these places."""
    lod: float
    """Level of detail."""
    anchor_weight: float = 0.0
    """Size of the anchor's gradient relative to the adversarial one."""
    penalise: bool = False
    """Whether this step has an R1 penalty."""
    lengthen: bool = False
    """Whether this step has a path length penalty."""

    @property
    def anchored(self) -> int:
        """How many rows of the whole batch, the first ones, are pulled towards their images."""
        return max(1, self.phase.batch // 2) if self.anchor_weight > 0 else 0


class TrainingSteps:
    """Trains two networks on a batch. Random numbers come from torch's global generator."""

    def __init__(
        self,
        config: TrainingConfig,
        data: TrainingImages,
        generator: Generator,
        discriminator: Discriminator,
        rotation: Tensor,
        bf16: bool,
    ) -> None:
        self.config = config
        self.data = data
        self.generator = generator
        self.discriminator = discriminator
        self.rotation = rotation
        self.bf16 = bf16
        self.device = rotation.device
        self.processes = Processes.of_this_run()
        self.augmentation = Augmentation(config)
        self.trained_d = trained_parameters(
            discriminator.requires_grad_(False), config.freeze_d, config.freezed
        )
        self.path_length = torch.zeros((), device=self.device)
        """Running mean of the path lengths, which they are pulled to."""
        self.new_optimizers(config.phases[0])

    def new_optimizers(self, phase: Phase) -> None:
        """Fresh Adam states: the losses of two phases are not comparable, nor are their gradients."""
        betas = (phase.beta1, 0.99)
        options: dict[str, Any] = {"lr": phase.lr_start, "betas": betas, "eps": 1e-8, "fused": True}
        groups: list[dict[str, Any]] = [
            {"params": list(self.generator.mapping.parameters()), "factor": phase.mapping_rate},
            {"params": list(self.generator.synthesis.parameters())},
        ]
        self.optimizer_g: torch.optim.Optimizer
        if phase.optimizer == "muon":
            self.optimizer_g = Muon(groups, lr=phase.lr_start)
        else:
            self.optimizer_g = torch.optim.Adam(groups, **options)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), **options)

    def set_learning_rate(self, value: float) -> None:
        """The same rate for both networks, times the factor of a group."""
        for optimizer in (self.optimizer_g, self.optimizer_d):
            for group in optimizer.param_groups:
                group["lr"] = value * group.get("factor", 1.0)

    def run(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the kind of the batch's phase; returns losses and scores, scalars without gradients."""
        steps = {
            "regression": self._regression,
            "discriminator": self._discriminator,
            "adversarial": self._adversarial,
        }
        return steps[batch.phase.kind](batch)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def _real_images(self, batch: Batch) -> Tensor:
        """Real images at the resolution that the lod works on."""
        resolution = self.generator.resolution >> math.floor(batch.lod)
        images = self.data.batch(batch.rows, resolution, self.device)
        if self.config.mirror and self.data.latents is None:
            flip = torch.rand(len(images), device=self.device) < 0.5
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)

    def _draw_z(self, batch: Batch) -> Tensor:
        """Latents of these images with fresh nuisance numbers, or random ones where none are known."""
        count, z_dim = len(batch.rows), self.generator.z_space_dim
        if self.data.latents is None:
            return torch.randn(count, z_dim, device=self.device)
        latents = torch.from_numpy(self.data.latents[batch.rows]).float().to(self.device)
        nuisance = torch.randn(count, z_dim - latents.shape[1], device=self.device)
        return latents_to_z(latents, nuisance, self.rotation)

    def _styles(self, z: Tensor, lod: float, mixing: Tensor | None = None) -> Tensor:
        """Training-mode wp [N,layers,w_dim] of z; `mixing` [N] are chances of style mixing."""
        # The mapping stays in float32: it costs nothing, and small differences of z are what it is about.
        generator = self.generator
        w = generator.mapping(z)
        generator.truncation.update_average(w)
        wp = generator.truncation(w)
        if mixing is None:
            return wp
        other = generator.truncation(generator.mapping(torch.randn_like(z)))
        return mix_styles(wp, other, mixing, active_layer_count(generator.resolution, lod))

    def _draw(self, wp: Tensor, lod: float) -> Tensor:
        """Training-mode pictures at the resolution that the lod works on."""
        with self._autocast():
            images = self.generator.synthesis(wp, randomize_noise=True, **self._growth(lod))
        return F.avg_pool2d(images.float(), 1 << math.floor(lod)) if lod >= 1 else images.float()

    def _growth(self, lod: float) -> dict[str, float]:
        """What a network that grows needs to be told."""
        return {"lod": lod} if self.config.architecture == "stylegan" else {}

    def _generate(self, z: Tensor, lod: float, mixing: Tensor | None = None) -> Tensor:
        """`_draw` of `_styles`."""
        return self._draw(self._styles(z, lod, mixing), lod)

    def _score(self, images: Tensor, lod: float) -> Tensor:
        """Scores of pictures at the resolution that the lod works on, as the discriminator sees them."""
        factor = 1 << math.floor(lod)
        images = self.augmentation(images)
        with self._autocast():
            full = F.interpolate(images, scale_factor=factor, mode="nearest") if factor > 1 else images
            return self.discriminator(full, **self._growth(lod))

    def _optimise(self, optimizer: torch.optim.Optimizer) -> None:
        """A step with gradients that are means over the processes."""
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self.processes.average_([parameter.grad for parameter in parameters if parameter.grad is not None])
        optimizer.step()

    def _regression(self, batch: Batch) -> dict[str, Tensor]:
        targets = self._real_images(batch)
        weight = batch.phase.spike_weight
        with SpikeMeter(self.generator.synthesis) if weight > 0 else nullcontext() as spikes:
            generated = self._generate(self._draw_z(batch), batch.lod)
        loss = pyramid_loss(generated, targets, centre_weight=batch.phase.centre_weight)
        metrics = {"pyramid": loss.detach()}
        if spikes is not None:
            loss = loss + weight * spikes.total
            metrics["spikes"] = spikes.total.detach()
        self.optimizer_g.zero_grad()
        loss.backward()
        self._optimise(self.optimizer_g)
        return metrics

    def _discriminator(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self._generate(self._draw_z(batch), batch.lod)
        return self._train_discriminator(batch, self._real_images(batch), fake)

    def _train_discriminator(self, batch: Batch, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        for parameter in self.trained_d:
            parameter.requires_grad_(True)
        real = real.detach().requires_grad_(batch.penalise)
        real_scores, fake_scores = self._score(real, batch.lod), self._score(fake, batch.lod)
        loss = discriminator_loss(real_scores, fake_scores)
        metrics = {
            "loss_d": loss.detach(),
            "score_real": real_scores.detach().float().mean(),
            "score_fake": fake_scores.detach().float().mean(),
            "real_sign": real_scores.detach().float().sign().mean(),
        }
        if batch.penalise:
            penalty = r1_penalty(real_scores, real)
            # Applied at every r1_interval-th step only, so with r1_interval times the weight.
            loss = loss + penalty * (batch.phase.r1_gamma * self.config.r1_interval)
            metrics["r1"] = penalty.detach()
        self.optimizer_d.zero_grad()
        loss.backward()
        self._optimise(self.optimizer_d)
        return metrics

    def _adversarial(self, batch: Batch) -> dict[str, Tensor]:
        real, z = self._real_images(batch), self._draw_z(batch)
        anchored = int((batch.places < batch.anchored).sum())
        mixing = None
        if batch.phase.style_mixing > 0:
            mixing = torch.full((len(batch.rows),), batch.phase.style_mixing, device=self.device)
            mixing[:anchored] = 0.0
        # The same pictures serve both steps: the discriminator's, then the generator's.
        fake = self._generate(z, batch.lod, mixing)
        metrics = self._train_discriminator(batch, real, fake.detach())
        self.discriminator.requires_grad_(False)
        leaf = fake.detach().requires_grad_(True)
        loss = generator_loss(self._score(leaf, batch.lod))
        (gradient,) = torch.autograd.grad(loss, leaf)
        metrics["loss_g"] = loss.detach()
        if batch.anchored:
            anchor = self._anchor(batch, leaf, real, anchored)
            (pull,) = torch.autograd.grad(anchor, leaf)
            # Measured at the pictures, so that neither loss drowns the other whatever their scales are.
            ratio = self._joint_norm(gradient) / self._joint_norm(pull).clamp_min(1e-12)
            gradient = gradient + pull * (batch.anchor_weight * ratio)
            metrics["pyramid"] = anchor.detach()
            metrics["anchor_scale"] = batch.anchor_weight * ratio
        self.optimizer_g.zero_grad()
        fake.backward(gradient)
        if batch.lengthen:
            metrics["path_length"] = self._even_paths(batch)
        self._optimise(self.optimizer_g)
        return metrics

    def _even_paths(self, batch: Batch) -> Tensor:
        """Add the gradients of the path length penalty, on half as many people; the mean length."""
        count = max(1, len(batch.rows) // 2)
        wp = self._styles(torch.randn(count, self.generator.z_space_dim, device=self.device), batch.lod)
        lengths = path_lengths(self._draw(wp, batch.lod), wp)
        mean = lengths.detach().mean()
        self.processes.average_([mean])
        self.path_length.lerp_(mean, PATH_LENGTH_DECAY)
        penalty = (lengths - self.path_length).square().mean()
        # Applied at every path_length_interval-th step only, so with that many times the weight.
        (penalty * (self.config.path_length_weight * self.config.path_length_interval)).backward()
        return mean

    def _anchor(self, batch: Batch, images: Tensor, targets: Tensor, count: int) -> Tensor:
        """Distance of the first `count` rows to their images; its mean over the processes is the batch's."""
        if not count:
            return images.sum() * 0.0
        distance = pyramid_loss(images[:count], targets[:count], centre_weight=batch.phase.centre_weight)
        return distance * (count * self.processes.count / batch.anchored)

    def _joint_norm(self, gradient: Tensor) -> Tensor:
        """Norm of a gradient whose rows are spread over the processes."""
        return self.processes.sum(gradient.square().sum()).sqrt()
