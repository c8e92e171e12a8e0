"""Progressive training of StyleGAN v1, exactly resumable.

Everything random in step t derives from (seed, t), so that a training that was stopped and resumed gives
the same weights as one that ran through (phases that end by seconds excepted: they depend on the clock).
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.latents import latent_rotation, latents_to_z
from stylegan.losses import discriminator_loss, generator_loss, pyramid_loss, r1_penalty
from stylegan.phases import Phase, TrainingConfig
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator, active_layer_count, mix_styles

AVERAGE_RAMP = 0.1
PREVIEW_SEED_OFFSET = 1_000_003


class TrainingError(ValueError):
    """The training cannot start or go on; the message says why."""


@dataclass(frozen=True)
class TrainingImages:
    """Images [N,H,W,3] uint8 RGB at the full resolution, and, if known, their latents [N,P] float32."""

    images: np.ndarray
    latents: np.ndarray | None = None
    order: np.ndarray | None = None
    """Rows [M] of one pass through the images, rare ones repeated; None: each once."""

    def batch(self, rows: np.ndarray, resolution: int, device: torch.device) -> Tensor:
        """Images [n,3,resolution,resolution] float32 in [-1,1], shrunk by averaging."""
        # Sorted reading: kind to a memory-mapped file.
        order = np.argsort(rows)
        picked = np.empty((len(rows), *self.images.shape[1:]), dtype=np.uint8)
        picked[order] = self.images[rows[order]]
        x = torch.from_numpy(picked).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return F.avg_pool2d(x, x.shape[2] // resolution) if x.shape[2] > resolution else x


@dataclass
class Counters:
    """Where a training stands."""

    step: int = 0
    images: int = 0
    phase: int = 0
    phase_images: int = 0
    phase_seconds: float = 0.0


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether mixed precision is used: as told, or where the hardware is fast at it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


class Trainer:
    """Trains a generator and a discriminator through the phases of a plan, one `step` at a time."""

    def __init__(self, config: TrainingConfig, data: TrainingImages, device: torch.device) -> None:
        self.config = config
        self.data = data
        self.device = device
        self.counters = Counters()
        self.bf16 = wants_bf16(config.precision, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator = StyleGANGenerator(**config.generator)
            discriminator = StyleGANDiscriminator(**config.discriminator)
        self.generator = generator.to(device, memory_format=torch.channels_last).train()
        self.discriminator = discriminator.to(device, memory_format=torch.channels_last).train()
        self.generator_smooth = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.rotation = latent_rotation(generator.z_space_dim, config.seed).to(device)
        self._permutations: dict[int, np.ndarray] = {}
        self._check_data()
        self._new_optimizers()

    def _check_data(self) -> None:
        size = self.config.generator["resolution"]
        images, latents = self.data.images, self.data.latents
        if images.ndim != 4 or images.shape[1:] != (size, size, 3) or images.dtype != np.uint8:
            raise TrainingError(f"the images must be [N,{size},{size},3] uint8, but they are {images.shape}")
        paired = [
            p.kind for p in self.config.phases if p.kind == "regression" or p.anchor_start or p.anchor_end
        ]
        if latents is None and paired:
            raise TrainingError(
                "A regression phase or an anchor needs images with known latents (portraits); with a folder "
                "of pictures only adversarial and discriminator phases without anchor are possible."
            )
        if latents is not None and latents.shape[1] > self.generator.z_space_dim:
            raise TrainingError(f"the latents have {latents.shape[1]} numbers, more than z_space_dim")

    def _new_optimizers(self) -> None:
        """Fresh Adam states: the losses of two phases are not comparable, nor are their gradients."""
        options = {"lr": self.phase.lr_start, "betas": (self.phase.beta1, 0.99), "eps": 1e-8, "fused": True}
        mapping = {"params": list(self.generator.mapping.parameters()), "factor": self.phase.mapping_rate}
        self.optimizer_g = torch.optim.Adam(
            [mapping, {"params": list(self.generator.synthesis.parameters())}], **options
        )
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), **options)

    @property
    def finished(self) -> bool:
        return self.counters.phase >= len(self.config.phases)

    @property
    def phase(self) -> Phase:
        """The current phase (the last one when all are over)."""
        return self.config.phases[min(self.counters.phase, len(self.config.phases) - 1)]

    @property
    def progress(self) -> float:
        """Share of the current phase that is over."""
        return self.phase.progress(self.counters.phase_images, self.counters.phase_seconds)

    def step(self) -> dict[str, float]:
        """Train on one batch; returns the losses and scores of this step (NaN where there is none)."""
        started = time.perf_counter()
        phase, counters = self.phase, self.counters
        self._set_learning_rate(phase.learning_rate(self.progress))
        lod = self.config.lod(counters.phase, counters.phase_images)
        rows = self._rows(phase.batch)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.config.seed * 1_000_000_007 + counters.step)
            run = {
                "regression": self._regression_step,
                "discriminator": self._discriminator_step,
                "adversarial": self._adversarial_step,
            }
            metrics = run[phase.kind](phase, rows, lod)
        if phase.kind != "discriminator":
            self._update_average(phase.batch)
        for lod_buffer in self._lod_buffers():
            lod_buffer.fill_(lod)
        counters.step += 1
        counters.images += phase.batch
        counters.phase_images += phase.batch
        values = {name: float(value) for name, value in metrics.items()}
        counters.phase_seconds += time.perf_counter() - started
        self._next_phase_if_over()
        return values

    def _next_phase_if_over(self) -> None:
        if self.progress >= 1.0:
            self.counters.phase += 1
            self.counters.phase_images = 0
            self.counters.phase_seconds = 0.0
            if not self.finished:
                self._new_optimizers()

    def _lod_buffers(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.generator.synthesis.lod, self.generator_smooth.synthesis.lod, self.discriminator.lod

    def _set_learning_rate(self, value: float) -> None:
        for optimizer in (self.optimizer_g, self.optimizer_d):
            for group in optimizer.param_groups:
                group["lr"] = value * group.get("factor", 1.0)

    def _rows(self, count: int) -> np.ndarray:
        """Rows of the next batch: every image once per pass, in an order of its own for each pass."""
        order = np.arange(len(self.data.images)) if self.data.order is None else self.data.order
        size = len(order)
        positions = np.arange(self.counters.images, self.counters.images + count)
        passes = positions // size
        needed = set(passes.tolist())
        self._permutations = {
            p: self._permutations[p]
            if p in self._permutations
            else order[np.random.default_rng((self.config.seed, p)).permutation(size)]
            for p in needed
        }
        return np.array(
            [self._permutations[int(p)][int(n % size)] for p, n in zip(passes, positions, strict=True)]
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def _real_images(self, rows: np.ndarray, lod: float) -> Tensor:
        """Real images at the resolution that the lod works on."""
        resolution = self.config.generator["resolution"] >> math.floor(lod)
        images = self.data.batch(rows, resolution, self.device)
        if self.config.mirror and self.data.latents is None:
            flip = torch.rand(len(rows), device=self.device) < 0.5
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)

    def _draw_z(self, rows: np.ndarray) -> Tensor:
        """Latents of these images with fresh nuisance numbers, or random ones where none are known."""
        z_dim = self.generator.z_space_dim
        if self.data.latents is None:
            return torch.randn(len(rows), z_dim, device=self.device)
        latents = torch.from_numpy(self.data.latents[rows]).float().to(self.device)
        nuisance = torch.randn(len(rows), z_dim - latents.shape[1], device=self.device)
        return latents_to_z(latents, nuisance, self.rotation)

    def _generate(self, z: Tensor, lod: float, mixing: Tensor | None = None) -> Tensor:
        """Training-mode pictures at the resolution that the lod works on."""
        # The mapping stays in float32: it costs nothing, and small differences of z are what it is about.
        generator = self.generator
        w = generator.mapping(z)
        generator.truncation.update_average(w)
        wp = generator.truncation(w)
        if mixing is not None and bool(mixing.any()):
            other = generator.truncation(generator.mapping(torch.randn_like(z)))
            wp = mix_styles(wp, other, mixing, active_layer_count(generator.resolution, lod))
        with self._autocast():
            images = generator.synthesis(wp, lod=lod, randomize_noise=True)
        return F.avg_pool2d(images.float(), 1 << math.floor(lod)) if lod >= 1 else images.float()

    def _score(self, images: Tensor, lod: float) -> Tensor:
        factor = 1 << math.floor(lod)
        with self._autocast():
            full = F.interpolate(images, scale_factor=factor, mode="nearest") if factor > 1 else images
            return self.discriminator(full, lod=lod)

    def _regression_step(self, phase: Phase, rows: np.ndarray, lod: float) -> dict[str, Tensor]:
        targets = self._real_images(rows, lod)
        generated = self._generate(self._draw_z(rows), lod)
        loss = pyramid_loss(generated, targets, centre_weight=phase.centre_weight)
        self.optimizer_g.zero_grad()
        loss.backward()
        self.optimizer_g.step()
        return {"pyramid": loss.detach()}

    def _discriminator_step(self, phase: Phase, rows: np.ndarray, lod: float) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self._generate(self._draw_z(rows), lod)
        return self._train_discriminator(phase, self._real_images(rows, lod), fake, lod)

    def _train_discriminator(self, phase: Phase, real: Tensor, fake: Tensor, lod: float) -> dict[str, Tensor]:
        penalise = phase.r1_gamma > 0 and self.counters.step % self.config.r1_interval == 0
        self.discriminator.requires_grad_(True)
        real = real.detach().requires_grad_(penalise)
        real_scores, fake_scores = self._score(real, lod), self._score(fake, lod)
        loss = discriminator_loss(real_scores, fake_scores)
        metrics = {
            "loss_d": loss.detach(),
            "score_real": real_scores.detach().float().mean(),
            "score_fake": fake_scores.detach().float().mean(),
        }
        if penalise:
            penalty = r1_penalty(real_scores, real)
            # Applied at every r1_interval-th step only, so with r1_interval times the weight.
            loss = loss + penalty * (phase.r1_gamma * self.config.r1_interval)
            metrics["r1"] = penalty.detach()
        self.optimizer_d.zero_grad()
        loss.backward()
        self.optimizer_d.step()
        return metrics

    def _adversarial_step(self, phase: Phase, rows: np.ndarray, lod: float) -> dict[str, Tensor]:
        real, z = self._real_images(rows, lod), self._draw_z(rows)
        weight = phase.anchor_weight(self.progress)
        anchored = max(1, len(rows) // 2) if weight > 0 else 0
        mixing = torch.full((len(rows),), phase.style_mixing, device=self.device)
        mixing[:anchored] = 0.0
        # The same pictures serve both steps: the discriminator's, then the generator's.
        fake = self._generate(z, lod, mixing)
        metrics = self._train_discriminator(phase, real, fake.detach(), lod)
        self.discriminator.requires_grad_(False)
        leaf = fake.detach().requires_grad_(True)
        loss = generator_loss(self._score(leaf, lod))
        (gradient,) = torch.autograd.grad(loss, leaf)
        metrics["loss_g"] = loss.detach()
        if anchored:
            anchor = pyramid_loss(leaf[:anchored], real[:anchored], centre_weight=phase.centre_weight)
            (pull,) = torch.autograd.grad(anchor, leaf)
            # Measured at the pictures, so that neither loss drowns the other whatever their scales are.
            ratio = gradient.norm() / pull.norm().clamp_min(1e-12)
            gradient = gradient + pull * (weight * ratio)
            metrics["pyramid"] = anchor.detach()
            metrics["anchor_scale"] = weight * ratio
        self.optimizer_g.zero_grad()
        fake.backward(gradient)
        self.optimizer_g.step()
        return metrics

    @torch.no_grad()
    def _update_average(self, batch: int) -> None:
        """Move the averaged generator towards the trained one; quicker at the start of a phase.

        New layers, and a generator that learns something else now, should not be averaged with the past.
        """
        seen = self.counters.phase_images + batch
        half_life = min(self.config.average_half_life_kimg * 1000, seen * AVERAGE_RAMP)
        keep = 0.5 ** (batch / half_life)
        smooth, current = list(self.generator_smooth.parameters()), list(self.generator.parameters())
        torch._foreach_lerp_(smooth, current, 1.0 - keep)
        self.generator_smooth.truncation.w_avg.copy_(self.generator.truncation.w_avg)

    @torch.no_grad()
    def preview(self, count: int) -> tuple[Tensor, Tensor | None]:
        """Pictures [count,3,H,W] of the averaged generator for fixed latents, and the paired images."""
        generator = torch.Generator().manual_seed(self.config.seed + PREVIEW_SEED_OFFSET)
        z = torch.randn(count, self.generator.z_space_dim, generator=generator)
        paired = None
        if self.data.latents is not None:
            rows = np.arange(min(count, len(self.data.images)))
            u = torch.from_numpy(self.data.latents[rows]).float()
            z = latents_to_z(u, z[: len(rows), u.shape[1] :], self.rotation.cpu())
            paired = self.data.batch(rows, self.generator.resolution, torch.device("cpu"))
        pictures = [self.generator_smooth(part.to(self.device))["image"].cpu() for part in z.split(16)]
        return torch.cat(pictures), paired

    def metadata(self) -> dict[str, Any]:
        """What the weights file should say about itself; fit for JSON."""
        found = {
            "config": self.generator.config,
            "discriminator_config": self.discriminator.config,
            "training": {**self.config.to_dict(), **asdict(self.counters)},
        }
        if self.data.latents is not None:
            # With these, z = [latents, nuisance] Q can be undone: see `stylegan.latents`.
            found["latents"] = {"size": self.data.latents.shape[1], "rotation_seed": self.config.seed}
        return found

    def networks(self) -> Iterator[tuple[str, nn.Module]]:
        yield "generator", self.generator
        yield "discriminator", self.discriminator
        yield "generator_smooth", self.generator_smooth

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs; only tensors and plain values."""
        state = {name: network.state_dict() for name, network in self.networks()}
        state["optimizer_g"] = self.optimizer_g.state_dict()
        state["optimizer_d"] = self.optimizer_d.state_dict()
        state["counters"] = asdict(self.counters)
        state["config"] = self.config.to_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. TrainingError when the plan is another one."""
        mine = self.config.to_dict()
        for key, value in mine.items():
            if state["config"].get(key) != value:
                raise TrainingError(f"the checkpoint was made with another {key!r} than this training has")
        self.counters = Counters(**state["counters"])
        self._new_optimizers()
        for name, network in self.networks():
            network.load_state_dict(state[name], strict=True)
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])
