"""Speed of the steps that make v1 to v3 at the size of the bundled generator, against plain ones.

Ours: mixed precision where the hardware is fast at it, fused layers; the people that v2 practises on are
drawn once. Plain: float32, layer by layer (`plain_stylegan`), people drawn anew in every step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from scripts.pipeline import REPOSITORY
from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
from scripts.stages.benchmarks.plain_stylegan import write_plainly
from stylegan.checkpoint import build_discriminator, build_generator, load_checkpoint
from stylegan_modified.fine_tuning import FineTuner, TrainingPictures
from stylegan_modified.property_cnn import PropertyCNN, PropertyCNNConfig
from stylegan_modified.recipes import V1Recipe, V2Recipe, V3Recipe
from stylegan_modified.requests import PairSampler
from stylegan_modified.stylegan_discriminator import transplant_discriminator
from stylegan_modified.stylegan_generator import ConditionedGenerator, transplant
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from stylegan_modified.training_property_cnn import PropertyCNNTrainer
from stylegan_modified.training_v1 import ConditionedGANTrainer
from stylegan_modified.training_v2 import DialPool, DialTrainer
from stylegan_modified.training_v3 import ConditionalVAETrainer, KnownPeople

WEIGHTS = REPOSITORY / "data/embedded/stylegan_model.safetensors"
PICTURES, SYNTHESIS_BATCH = 64, 32
LARGEST_DIFFERENCE = 1e-3  # of pixels from -1 to 1


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Synthesis, and a step of each training.

    Raises:
        RuntimeError: ours and plain draw different pictures from the same weights.
    """
    repeats = 1 if quick else 5
    steps = (("property CNN", _cnn_step), ("v2 dials", _dial_step), ("v3 encoder", _encoder_step))
    measurements = [_measure_synthesis(device, repeats)]
    for name, build in (("v1", _v1_step), *steps):
        (ours, batch), (plain, _) = (build(device, is_plain) for is_plain in (False, True))
        for step in (ours, plain):
            step()  # includes what only the first step does
        seconds = seconds_by_turns({"ours": ours, "plain": plain}, repeats)
        rates = batch / seconds["ours"], batch / seconds["plain"]
        measurements.append(Measurement(f"{name} step, 128 px", *rates, f"batch {batch}"))
    return measurements


@torch.no_grad()
def _measure_synthesis(device: torch.device, repeats: int) -> Measurement:
    """Pictures in float32, as 01 and 08 draw them."""
    ours, plain = (_generator(device, is_plain) for is_plain in (False, True))
    z = torch.randn(SYNTHESIS_BATCH, ours.z_space_dim, generator=torch.Generator().manual_seed(0)).to(device)
    difference = float((ours(z)["image"] - plain(z)["image"]).abs().max())
    name = "synthesis, 128 px"
    check_difference(difference, LARGEST_DIFFERENCE, name)
    ways = {
        way: lambda network=network: network(z)["image"].cpu()
        for way, network in (("ours", ours), ("plain", plain))
    }
    seconds = seconds_by_turns(ways, repeats)
    rates = SYNTHESIS_BATCH / seconds["ours"], SYNTHESIS_BATCH / seconds["plain"]
    return Measurement(name, *rates, f"batch {SYNTHESIS_BATCH}, float32; pixels differ by {difference:.0e}")


def _generator(device: torch.device, is_plain: bool) -> ConditionedGenerator:
    generator = transplant(build_generator(load_checkpoint(WEIGHTS))).to(device).eval()
    if is_plain:
        write_plainly(generator)
    return generator


def _pictures() -> TrainingPictures:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PICTURES, 128, 128, 3), generator=rng, dtype=torch.uint8)
    return TrainingPictures(images, torch.randn(PICTURES, 7, generator=rng))


def _dial_generator(device: torch.device, is_plain: bool) -> DialGenerator:
    return DialGenerator(_generator(device, is_plain), _property_cnn().eval()).to(device).eval()


def _property_cnn() -> PropertyCNN:
    torch.manual_seed(0)
    return PropertyCNN(PropertyCNNConfig(128, width=0.5, window_margin=0.0625, coarse_reduction=2))


def _step(trainer: FineTuner, is_plain: bool, logged: str) -> Callable[[], float]:
    """A step whose value is read, so that a GPU has finished."""
    trainer.precision = "float32" if is_plain else "auto"
    return lambda: float(trainer.step()[logged])


def _v1_step(device: torch.device, is_plain: bool) -> tuple[Callable[[], float], int]:
    recipe = V1Recipe(warmup_steps=0)
    judge = transplant_discriminator(build_discriminator(load_checkpoint(WEIGHTS)), "projection").to(device)
    if is_plain:
        write_plainly(judge)
    trainer = ConditionedGANTrainer(_generator(device, is_plain), judge, _pictures(), recipe)
    return _step(trainer, is_plain, "g_loss"), recipe.batch_size


def _cnn_step(device: torch.device, is_plain: bool) -> tuple[Callable[[], float], int]:
    recipe = V2Recipe()
    trainer = PropertyCNNTrainer(_property_cnn().to(device), _pictures(), recipe)
    return _step(trainer, is_plain, "cnn_loss"), recipe.batch_size


def _dial_step(device: torch.device, is_plain: bool) -> tuple[Callable[[], float], int]:
    recipe, rng = V2Recipe(), torch.Generator().manual_seed(0)
    model = _dial_generator(device, is_plain)
    z = torch.randn(recipe.pairs, model.z_space_dim, generator=rng)
    maps = torch.randint(0, 11, (recipe.pairs, 2, 128, 128), generator=rng, dtype=torch.uint8)
    pairs = PairSampler(_pictures().properties).draw(recipe.pairs, rng)
    trainer = DialTrainer(model, DialPool(z, pairs, maps), recipe)
    step = _step(trainer, is_plain, "property")
    return (partial(_after, trainer.read_people, step) if is_plain else step), recipe.batch_size


def _after(first: Callable[[], object], step: Callable[[], float]) -> float:
    first()
    return step()


def _encoder_step(device: torch.device, is_plain: bool) -> tuple[Callable[[], float], int]:
    recipe, data = V3Recipe(), _pictures()
    model = _dial_generator(device, is_plain)
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(128, model.z_space_dim)).to(device)
    people = KnownPeople(torch.randn(PICTURES, model.z_space_dim), data)
    trainer = ConditionalVAETrainer(model, encoder, data, people, recipe)
    return _step(trainer, is_plain, "latent"), recipe.drawn_size + recipe.batch_size
