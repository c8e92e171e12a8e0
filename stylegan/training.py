"""Training of StyleGAN v1 (progressive) and StyleGAN2, resumable: on a CPU exactly, on a GPU up to rounding.

Everything random in step t derives from (seed, t), so that a training that was stopped and resumed gives
the same weights as one that ran through (phases that end by seconds excepted: they depend on the clock),
and one of several processes the same as one of a single process, up to rounding (see `stylegan.parallel`).
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stylegan.batches import ShuffledPasses, TrainingImages
from stylegan.checkpoint import Checkpoint, CheckpointError
from stylegan.interface import Discriminator, Generator
from stylegan.known_networks import DISCRIMINATORS, GENERATORS
from stylegan.latents import latent_rotation, latents_to_z
from stylegan.layers import GrowingNetwork
from stylegan.parallel import Processes
from stylegan.phases import Phase, TrainingConfig
from stylegan.steps import Batch, TrainingSteps
from stylegan.transfer import transfer_weights

AVERAGE_RAMP = 0.1
PREVIEW_SEED_OFFSET = 1_000_003


class TrainingError(ValueError):
    """The training cannot start or go on; the message says why."""


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
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def build_networks(config: TrainingConfig) -> tuple[Generator, Discriminator]:
    """Generator and discriminator of a plan, with the random weights of its seed.

    Raises:
        TrainingError: the plan's arguments describe no network.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator = GENERATORS[config.architecture](**config.generator)
            return generator, DISCRIMINATORS[config.architecture](**config.discriminator)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"the networks cannot be built: {error}") from error


class StyleGANTrainer:
    """Trains a generator and a discriminator through the phases of a plan, one `step` at a time.

    Args:
        config: the plan.
        data: what to train on; with several processes, the same in each.
        device: where to compute; with several GPUs, that of this process.
        init: weights to start from; None: random ones.
    Raises:
        TrainingError: there is no such network, or images, weights or processes do not fit the plan.
    """

    def __init__(
        self,
        config: TrainingConfig,
        data: TrainingImages,
        device: torch.device,
        init: Checkpoint | None = None,
    ) -> None:
        self.config = config
        self.data = data
        self.device = device
        self.processes = Processes.of_this_run()
        self.counters = Counters()
        generator, discriminator = build_networks(config)
        self.generator = generator.to(device).to(memory_format=torch.channels_last).train()
        self.discriminator = discriminator.to(device).to(memory_format=torch.channels_last).train()
        self.generator_smooth = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.rotation_seed = config.seed if config.rotation_seed is None else config.rotation_seed
        self.rotation = latent_rotation(generator.z_space_dim, self.rotation_seed).to(device)
        self.bf16 = wants_bf16(config.precision, device)
        self.steps = TrainingSteps(config, data, generator, discriminator, self.rotation, self.bf16)
        self._passes = ShuffledPasses(data, config.seed)
        self._check_data()
        self._check_batches()
        if init is not None:
            self._start_from(init)

    def _check_data(self) -> None:
        size = self.config.generator["resolution"]
        images, latents = self.data.images, self.data.latents
        if images.ndim != 4 or images.shape[1:] != (size, size, 3) or images.dtype != np.uint8:
            raise TrainingError(f"the images must be [N,{size},{size},3] uint8, but they are {images.shape}")
        if latents is None and self.config.paired:
            raise TrainingError(
                "A regression phase or an anchor needs images with known latents (portraits); with a folder "
                "of pictures only adversarial and discriminator phases without anchor are possible."
            )
        if latents is not None and latents.shape[1] > self.generator.z_space_dim:
            raise TrainingError(f"the latents have {latents.shape[1]} numbers, more than z_space_dim")

    def _check_batches(self) -> None:
        for phase in self.config.phases:
            try:
                self._share(phase)
            except ValueError as error:
                raise TrainingError(str(error)) from error

    def _share(self, phase: Phase) -> np.ndarray:
        """Places in the batch of the rows that this process works on."""
        return self.processes.share(phase.batch, self.discriminator.minibatch_std.group_size)

    def _start_from(self, init: Checkpoint) -> None:
        try:
            transfer_weights(init, self.generator, self.discriminator, self.generator_smooth)
        except CheckpointError as error:
            raise TrainingError(str(error)) from error
        self._set_lod(self.config.lod(0, 0))

    @property
    def lod(self) -> float:
        """Level of detail of the last step; 0 where the networks do not grow."""
        synthesis = self.generator.synthesis
        return synthesis.stored_lod if isinstance(synthesis, GrowingNetwork) else 0.0

    @property
    def steps_done(self) -> int:
        return self.counters.step

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
        batch = self._next_batch()
        self.steps.set_learning_rate(phase.learning_rate(self.progress))
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            self.processes.joint_random_numbers(torch.from_numpy(batch.places), phase.batch),
        ):
            # Older than `stylegan.seeds`, and kept: checkpoints of this training go on with these numbers.
            torch.manual_seed(self.config.seed * 1_000_000_007 + counters.step)
            metrics = self.steps.run(batch)
        self.processes.average_([self.generator.truncation.w_avg])
        if phase.kind != "discriminator":
            self._update_average(phase.batch)
        self._set_lod(batch.lod)
        counters.step += 1
        counters.images += phase.batch
        counters.phase_images += phase.batch
        values = self._joint_values(metrics, started)
        if "real_sign" in values:
            values["augment_p"] = self.steps.augmentation.p
            self.steps.augmentation.update(values["real_sign"], phase.batch)
        self._next_phase_if_over()
        return values

    def _next_batch(self) -> Batch:
        phase, counters = self.phase, self.counters
        places = self._share(phase)
        return Batch(
            phase=phase,
            places=places,
            rows=self._passes.rows(counters.images, phase.batch)[places],
            lod=self.config.lod(counters.phase, counters.phase_images),
            anchor_weight=phase.anchor_weight(self.progress),
            penalise=phase.r1_gamma > 0 and counters.step % self.config.r1_interval == 0,
            lengthen=self.config.path_length_weight > 0
            and counters.step % self.config.path_length_interval == 0,
        )

    def _joint_values(self, metrics: dict[str, Tensor], started: float) -> dict[str, float]:
        """Metrics as means over the processes; also counts the seconds of the step, by one clock for all."""
        # Reading the values waits for the device, so that the whole step is timed.
        values = torch.stack([value.detach().float() for value in metrics.values()]).tolist()
        joint = torch.tensor([*values, time.perf_counter() - started], device=self.device)
        self.processes.average_([joint])
        *means, seconds = joint.tolist()
        self.counters.phase_seconds += seconds
        return dict(zip(metrics, means, strict=True))

    def _next_phase_if_over(self) -> None:
        if self.progress >= 1.0:
            self.counters.phase += 1
            self.counters.phase_images = 0
            self.counters.phase_seconds = 0.0
            if not self.finished:
                self.steps.new_optimizers(self.phase)

    def _set_lod(self, lod: float) -> None:
        for network in (self.generator.synthesis, self.generator_smooth.synthesis, self.discriminator):
            if isinstance(network, GrowingNetwork):
                network.set_lod(lod)

    @torch.no_grad()
    def _update_average(self, batch: int) -> None:
        """Move the averaged generator towards the trained one; quicker at the start of a phase.

        New layers, and a generator that learns something else now, should not be averaged with the past.
        """
        seen = self.counters.phase_images + batch
        half_life = min(self.config.average_half_life_kimg * 1000, seen * AVERAGE_RAMP)
        keep = 0.5 ** (batch / half_life)
        smooth: list[Tensor] = list(self.generator_smooth.parameters())
        current: list[Tensor] = list(self.generator.parameters())
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
            found["latents"] = {"size": self.data.latents.shape[1], "rotation_seed": self.rotation_seed}
        return found

    def networks(self) -> Iterator[tuple[str, nn.Module]]:
        yield "generator", self.generator
        yield "discriminator", self.discriminator
        yield "generator_smooth", self.generator_smooth

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs; only tensors and plain values."""
        state: dict[str, Any] = {name: network.state_dict() for name, network in self.networks()}
        state["optimizer_g"] = self.steps.optimizer_g.state_dict()
        state["optimizer_d"] = self.steps.optimizer_d.state_dict()
        state["augmentation"] = self.steps.augmentation.state_dict()
        state["path_length"] = self.steps.path_length
        state["counters"] = asdict(self.counters)
        state["config"] = self.config.to_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. TrainingError when the plan is another one."""
        key = self.config.first_difference(state["config"])
        if key is not None:
            raise TrainingError(f"the checkpoint was made with other {key!r} than this training has")
        self.counters = Counters(**state["counters"])
        self.steps.new_optimizers(self.phase)
        for name, network in self.networks():
            network.load_state_dict(state[name], strict=True)
        self.steps.optimizer_g.load_state_dict(state["optimizer_g"])
        self.steps.optimizer_d.load_state_dict(state["optimizer_d"])
        if "augmentation" in state:
            self.steps.augmentation.load_state_dict(state["augmentation"])
        if "path_length" in state:
            self.steps.path_length.copy_(state["path_length"])
