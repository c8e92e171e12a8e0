"""The training of U-Net and patch discriminator, by our recipe or the document's.

Ours: hinge loss (Lim and Ye, "Geometric GAN", 2017), feature matching (Wang et al., CVPR 2018), L1 and a
perceptual distance, z from an encoder of the true portrait with a part of the batch drawn with z of N(0, 1)
instead (Zhu et al., "Toward Multimodal Image-to-Image Translation", NeurIPS 2017). The document's: least
squares (Mao et al., 2017) and L1 (Isola et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketch.colors import COLOR_NAMES, PALETTE_SIZE
from sketch.pairs import SketchPairs
from sketch.patch_discriminator import PatchDiscriminator
from sketch.portrait_network import PortraitConfig, PortraitEncoder, PortraitNetwork
from sketch.recipes import SketchRecipe
from sketch.unet import UNetConfig, initialise, matched_width
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    FineTuner,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.losses import kl_divergence
from stylegan_modified.perceptual import ConvolutionFeatures, PictureDistance

LATENT_REGRESSION_WEIGHT = 0.5


def portrait_config(recipe: SketchRecipe, size: int) -> PortraitConfig:
    """Sizes of the network that a recipe trains on pictures of `size` pixels.

    Raises:
        ValueError: so many levels do not fit the pictures.
    """
    if size % (1 << recipe.depth):
        raise ValueError(
            f"--depth {recipe.depth} needs pictures whose side is a multiple of {1 << recipe.depth}"
        )
    is_ours = recipe.recipe == "ours"
    has_colors = is_ours and recipe.colors
    latent_size = recipe.latent_size if is_ours else 0
    unet = UNetConfig(
        in_channels=1 if is_ours else 3,
        width=recipe.width,
        most_channels=recipe.most_channels,
        depth=recipe.depth,
        residual_convolutions=3 if recipe.network == "residual" else 0,
        residual_norm=is_ours,
        dropout=recipe.dropout,
        end=recipe.end if is_ours else "resize",
        condition_size=3 * len(COLOR_NAMES) * has_colors + latent_size,
        out_channels=3 + len(COLOR_NAMES) * has_colors,
    )
    if recipe.match_parameters:
        unet = matched_width(unet, replace(unet, residual_convolutions=0))
    return PortraitConfig(unet, size, has_colors, latent_size)


def build_discriminator(recipe: SketchRecipe) -> PatchDiscriminator:
    """The discriminator of a recipe; only the document's has residual blocks when its generator has them."""
    if recipe.recipe == "ours":
        return PatchDiscriminator(1, recipe.discriminator_width)
    return PatchDiscriminator(3, recipe.discriminator_width, int(recipe.network == "residual"))


class SketchTrainer(FineTuner):
    """Trains a portrait network, one step of D and one of G at a time.

    Args:
        pairs: what it learns from.
        recipe: of the training.
        device: of the networks.
        identity: frozen network of people for the perceptual distance, never a judge's; None: without it.
    """

    purpose = Purpose.SKETCH_STEP
    options: SketchRecipe

    def __init__(
        self,
        pairs: SketchPairs,
        recipe: SketchRecipe,
        device: torch.device,
        identity: nn.Module | None = None,
    ) -> None:
        self.pairs, self.options, self.device = pairs, recipe, device
        config = portrait_config(recipe, pairs.size)
        self.is_ours = recipe.recipe == "ours"
        self.is_hinge = self.is_ours and recipe.adversarial_loss == "hinge"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(Purpose.SKETCH_WEIGHTS, recipe.seed))
            self.network = PortraitNetwork(config, min(PALETTE_SIZE, len(pairs)))
            self.discriminator = build_discriminator(recipe)
            self.encoder = PortraitEncoder(config.latent_size) if config.latent_size else None
            initialise(self.network.unet)
            initialise(self.discriminator)
        chosen = np.random.default_rng(recipe.seed).permutation(len(pairs))[: len(self.network.palette)]
        palette = torch.from_numpy(np.round(pairs.colors[np.sort(chosen)]).astype(np.uint8))
        self.network.palette.copy_(palette)
        for module in filter(None, (self.network, self.discriminator, self.encoder)):
            module.to(device).to(memory_format=torch.channels_last)
        if device.type == "cpu" and not self.is_ours:
            self.precision = "float32"
        self.average = (
            ExponentialAverage(self.network, recipe.average_half_life).to(device) if self.is_ours else None
        )
        learning = [self.network, self.encoder] if self.encoder is not None else [self.network]
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(
                [p for module in modules for p in module.parameters()],
                lr=lr,
                betas=recipe.betas,
                fused=True,
            )
            for modules, lr in (
                (learning, recipe.generator_lr),
                ([self.discriminator], recipe.discriminator_lr),
            )
        )
        features = [ConvolutionFeatures(identity)] if identity is not None and self.is_ours else []
        self.perceptual = PictureDistance(features, pixel_weight=0).to(device) if features else None

    def modules(self) -> Mapping[str, nn.Module]:
        """Networks that learn, and the average."""
        found: dict[str, nn.Module] = {"network": self.network, "discriminator": self.discriminator}
        if self.encoder is not None:
            found["encoder"] = self.encoder
        if self.average is not None:
            found["average"] = self.average
        return found

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Of G with the encoder, and of D."""
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}

    def averaged(self) -> PortraitNetwork:
        """The network of the averaged weights, in eval mode; the document's recipe has the last ones."""
        network = PortraitNetwork(self.network.config, len(self.network.palette))
        state = self.network.state_dict() if self.average is None else self.average.state_for(self.network)
        network.load_state_dict(state)
        return network.to(self.device).eval()

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, float | Tensor]:
        """One step of D and one of G on a random batch."""
        recipe = self.options
        numbers = np.random.default_rng(int(torch.randint(1 << 62, (1,), generator=rng)))
        rows = numbers.integers(len(self.pairs), size=recipe.batch_size)
        lines, portraits, colors = (
            part.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            if part.ndim == 4
            else part.to(self.device)
            for part in self.pairs.batch(rows.tolist(), numbers, recipe)
        )
        self.network.train()
        if self.average is not None:
            for optimizer in self.optimizers().values():
                set_learning_rate(optimizer, cosine(t, recipe.steps, recipe.floor))
            values = self._our_step(lines, portraits, colors, rng, has_judge=t >= recipe.pixel_steps)
            self.average.update(self.network)
            return values
        return self._document_step(lines.expand(-1, 3, -1, -1), portraits)

    def _our_step(
        self, lines: Tensor, portraits: Tensor, colors: Tensor, rng: torch.Generator, has_judge: bool
    ) -> dict[str, float | Tensor]:
        recipe, count = self.options, len(lines)
        prior_count = round(recipe.prior_share * count) if has_judge and self.encoder is not None else 0
        known = slice(prior_count, None)
        with mixed_precision(self.device, self.precision):
            z = torch.randn(count, self.network.config.latent_size, generator=rng).to(self.device)
            kl, drawn = z.new_zeros(()), z
            if self.encoder is not None:
                mean, log_variance = self.encoder(portraits)
                kl = kl_divergence(mean[known], log_variance[known])
                encoded = mean + torch.exp(0.5 * log_variance) * z
                drawn = torch.cat([z[:prior_count], encoded[known]])
            made = self.network(lines, colors, drawn)
        values: dict[str, Tensor] = {}
        total = recipe.latent_weight * kl
        if has_judge:
            real = self._teach_judge(lines, portraits, made.detach(), values)
            total = total + self._judged(lines, made, real, known, values)
        with mixed_precision(self.device, self.precision):
            close, asked = made[known].float(), portraits[known]
            values["pixel"] = F.l1_loss(close, asked)
            total = total + recipe.pixel_weight * values["pixel"]
            if self.perceptual is not None:
                values["perceptual"] = self.perceptual(close, self.perceptual.prepare(asked)).mean()
                total = total + recipe.perceptual_weight * values["perceptual"]
            if self.encoder is not None:
                values["kl"] = kl
                if prior_count:
                    read, _ = self.encoder(made[:prior_count])
                    values["latent"] = F.l1_loss(read, z[:prior_count])
                    total = total + LATENT_REGRESSION_WEIGHT * values["latent"]
        self.descend(self.generator_optimizer, total)
        self.discriminator.requires_grad_(True)
        return {name: value.detach() for name, value in values.items()}

    def _teach_judge(
        self, lines: Tensor, portraits: Tensor, made: Tensor, values: dict[str, Tensor]
    ) -> list[Tensor]:
        """A step of D; returns what its levels said of the true portraits."""
        with mixed_precision(self.device, self.precision):
            real = self.discriminator.features(portraits, lines)
            values["discriminator"] = 0.5 * self._judge_loss(real[-1], self.discriminator(made, lines))
        self.descend(self.discriminator_optimizer, values["discriminator"])
        return [part.detach() for part in real]

    def _judged(
        self, lines: Tensor, made: Tensor, real: list[Tensor], known: slice, values: dict[str, Tensor]
    ) -> Tensor:
        """Adversarial loss of G, and its distance from the true portraits in the levels of D."""
        self.discriminator.requires_grad_(False)
        with mixed_precision(self.device, self.precision):
            seen = self.discriminator.features(made, lines)
            values["adversarial"] = self._fooling_loss(seen[-1])
            apart = [
                (ours - theirs).abs().mean(dim=(1, 2, 3), dtype=torch.float32)[known].mean()
                for ours, theirs in zip(seen, real, strict=True)
            ]
            values["feature"] = torch.stack(apart).mean()
        return values["adversarial"] + self.options.feature_weight * values["feature"]

    def _document_step(self, lines: Tensor, portraits: Tensor) -> dict[str, float | Tensor]:
        """G first, then D, as the document's program does."""
        with mixed_precision(self.device, self.precision):
            made = self.network.unet(lines)
            self.discriminator.requires_grad_(False)
            adversarial = self._fooling_loss(self.discriminator(made, lines))
            pixel = F.l1_loss(made.float(), portraits)
        self.descend(self.generator_optimizer, adversarial + self.options.pixel_weight * pixel)
        self.discriminator.requires_grad_(True)
        with mixed_precision(self.device, self.precision):
            real = self.discriminator(portraits, lines)
            loss = 0.5 * self._judge_loss(real, self.discriminator(made.detach(), lines))
        self.descend(self.discriminator_optimizer, loss)
        values = {"discriminator": loss, "adversarial": adversarial, "pixel": pixel}
        return {name: value.detach() for name, value in values.items()}

    def _judge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Of D, twice: scores of true portraits are to be 1, of drawn ones -1 (hinge) or 0."""
        real, fake = real.float(), fake.float()
        if self.is_hinge:
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        return (real - 1).square().mean() + fake.square().mean()

    def _fooling_loss(self, fake: Tensor) -> Tensor:
        """Of G: scores of drawn portraits are to be as those of true ones."""
        fake = fake.float()
        return -fake.mean() if self.is_hinge else (fake - 1).square().mean()
