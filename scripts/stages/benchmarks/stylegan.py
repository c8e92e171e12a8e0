"""Speed of StyleGAN v1 training steps, against the same steps written plainly.

Ours: mixed precision where the hardware is fast at it, channels last, fused layers. Plain: float32,
contiguous, layer by layer (`plain_stylegan`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
from scripts.stages.benchmarks.plain_stylegan import write_plainly
from stylegan.batches import TrainingImages
from stylegan.phases import Phase, TrainingConfig
from stylegan.training import StyleGANTrainer

SMALL = {"fmaps_base": 2048, "fmaps_max": 128}
SMALL_LATENTS = {"z_space_dim": 64, "w_space_dim": 128, "mapping_layers": 4, "mapping_fmaps": 128}
LATENT_SIZE = 20
LARGEST_DIFFERENCE = 1e-3  # of pixels and scores in float32, relative to their spread
SEED = 0


@dataclass(frozen=True)
class Case:
    """A kind of step at a resolution; full has the published widths, else those of the bundled generator."""

    kind: str
    resolution: int
    batch: int
    repeats: int
    full: bool = False

    @property
    def name(self) -> str:
        return f"StyleGAN {self.resolution} px{' full' if self.full else ''}, {self.kind} step"

    def config(self, precision: str) -> TrainingConfig:
        phase = Phase(kind=self.kind, resolution=self.resolution, kimg=1000, batch=self.batch)
        widths: dict[str, Any] = {"resolution": self.resolution} | ({} if self.full else SMALL)
        generator = widths | ({} if self.full else SMALL_LATENTS)
        return TrainingConfig((phase,), generator, widths, seed=SEED, precision=precision)


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """One training step: 64 and 128 px of the bundled generator, and the full 256 px.

    Raises:
        RuntimeError: ours and plain make different pictures or scores from the same weights.
    """
    cases = [
        Case("regression", 64, 32, repeats=5),
        Case("adversarial", 64, 16, repeats=5),
        Case("regression", 128, 32, repeats=3),
        Case("adversarial", 128, 16, repeats=3),
        Case("adversarial", 256, 16 if device.type == "cuda" else 2, repeats=1, full=True),
    ]
    return [_measure(case, device) for case in (cases[:2] if quick else cases)]


def _measure(case: Case, device: torch.device) -> Measurement:
    rng = np.random.default_rng(SEED)
    shape = (2 * case.batch, case.resolution, case.resolution, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    data = TrainingImages(images, rng.normal(size=(len(images), LATENT_SIZE)).astype(np.float32))
    ours = StyleGANTrainer(case.config("auto"), data, device)
    plain = StyleGANTrainer(case.config("float32"), data, device)
    write_plainly(plain.generator)
    write_plainly(plain.discriminator)
    difference = largest_difference(ours, plain)
    check_difference(difference, LARGEST_DIFFERENCE, case.name)
    for trainer in (ours, plain):
        trainer.step()  # includes what only the first step does
    seconds = seconds_by_turns({"ours": ours.step, "plain": plain.step}, case.repeats)
    precision = "bf16" if ours.bf16 else "float32"
    note = f"batch {case.batch}, {precision} against float32; same weights differ by {difference:.0e}"
    return Measurement(case.name, case.batch / seconds["ours"], case.batch / seconds["plain"], note)


@torch.no_grad()
def largest_difference(ours: StyleGANTrainer, plain: StyleGANTrainer) -> float:
    """Largest difference of pixels and scores in float32, relative to the spread of the plain ones."""
    z = torch.randn(4, ours.generator.z_space_dim, generator=torch.Generator().manual_seed(SEED))
    pictures = [trainer.generator(z.to(trainer.device))["image"] for trainer in (ours, plain)]
    scores = [trainer.discriminator(pictures[1]) for trainer in (ours, plain)]
    return max(float((a - b).abs().max() / b.std()) for a, b in (pictures, scores))
