"""What 23 does: the training of the conditional VAE, its files, reconstructions and samples."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from cvae.evaluation import held_out_measures
from cvae.model import ConditionalVAE, VAEConfig
from cvae.recipes import LAYOUTS
from cvae.training import VAETrainer
from scripts.pipeline import Stage
from scripts.stages import networks
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.reading import condition_reader
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.fine_tuning.fine_tuning import fingerprint
from scripts.stages.sheets import contact_sheet, labelled_grid
from scripts.stages.step_log import StepLog
from scripts.stages.training import Look, TrainingLoop
from stylegan.sampling import sample_z, to_uint8
from stylegan.seeds import CONTROL, Purpose, derived_seed
from stylegan_modified.fine_tuning import TrainingPictures, save_atomically
from stylegan_modified.perceptual import ConvolutionFeatures

SHOWN = 12
SWEPT_PEOPLE, LEVELS = 4, (0.1, 0.5, 0.9)


def new_network(stage: Stage, options: Any, names: tuple[str, ...], shape: tuple[int, int]) -> ConditionalVAE:
    """A network with random weights for pictures of this height and width."""
    torch.manual_seed(derived_seed(Purpose.VAE_WEIGHTS, options.seed))
    with stage.foreseen(ValueError, mend="Make larger pictures: 20_augment_pictures --height --width."):
        layout = LAYOUTS[options.architecture, options.size]
        config = VAEConfig(options.architecture, *shape, names, **layout._asdict())
        return ConditionalVAE(config).to(stage.device)


def loss_reader(stage: Stage, options: Any) -> nn.Module | None:
    """What reads conditions from decoded pictures for the loss; None where it does without.

    Raises:
        UserError: there is no such network.
    """
    return condition_reader(stage, dataset.condition_record(stage)) if options.conditions_weight > 0 else None


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError`, before earlier results go, if nothing reads conditions for the loss."""
    loss_reader(stage, options)


def train(stage: Stage, options: Any) -> None:
    """Train to the end, or save and leave when asked to stop."""
    keep_freed_memory()
    record = dataset.condition_record(stage)
    data, unseen = dataset.load_dataset(stage)
    stage.count("pictures to learn from", len(data.images))
    height, width = data.images.shape[1:3]
    model = new_network(stage, options, tuple(record["names"]), (height, width))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    stage.log(
        f"{options.architecture}: {parameters / 1e6:.2f} million parameters, {len(data.images)} pictures"
    )
    features = None
    if options.detail_loss == "perceptual":
        features = ConvolutionFeatures(networks.load_filter(stage, "gender"))
    trainer = VAETrainer(model, data, options, features, loss_reader(stage, options))

    def preview() -> None:
        picture = samples(trainer.averaged(), data)
        stage.write(f"{at.VAE_PREVIEWS}/cvae_{trainer.steps_done:06d}.png", picture)
        loop.events.picture(trainer.steps_done, "preview", np.asarray(picture))

    trainer.copy_from_first()
    loop = TrainingLoop(
        stage,
        trainer,
        "cvae",
        stage.path(at.VAE_CHECKPOINT),
        StepLog(stage.path(at.VAE_LOG)),
        made_for={"fingerprint": fingerprint(stage)},
        steps=trainer.steps,
        log_every=20,
        looks=[Look(options.preview_every, preview)],
        pictures_per_step=options.batch_size,
    )
    started = time.process_time()
    loop.run()
    seconds = time.process_time() - started
    if not stage.writes:
        return
    model = trainer.averaged()
    about = {"conditions": record, "steps": trainer.steps, "architecture": options.architecture}
    save_atomically(model.checkpoint(about), stage.path(at.VAE))
    for half, path in (("encoder", at.VAE_ENCODER), ("decoder", at.VAE_DECODER)):
        save_atomically(model.checkpoint(about, half), stage.path(path))
    measures = held_out_measures(model, unseen)
    stage.write(at.VAE_SHEETS[0], reconstructions(model, unseen))
    stage.write(at.VAE_SHEETS[1], samples(model, data))
    stage.finish(
        {
            "held-out people": f"{measures['bits_per_dimension']:.3f} bits per dimension, reconstructions "
            f"{measures['psnr']:.1f} dB (n = {len(unseen.images)})",
            "network": f"{options.architecture}, {parameters / 1e6:.2f} million parameters",
            "time": f"{seconds:.0f} processor seconds for {trainer.steps} steps",
        },
        at.VAE_SHEETS,
    )


@torch.no_grad()
def reconstructions(model: ConditionalVAE, data: TrainingPictures) -> Image.Image:
    """Pictures above what becomes of them when they are encoded and decoded."""
    device = next(model.parameters()).device
    images, conditions = data.batch(torch.arange(min(SHOWN, len(data.images))), device)
    found = model.infer(images, conditions).likelihood.picture
    rows = [list(to_uint8(images)), list(to_uint8(found))]
    return labelled_grid(rows, ["picture", "decoded"], [str(n) for n in range(len(images))], 2)


@torch.no_grad()
def samples(model: ConditionalVAE, data: TrainingPictures) -> Image.Image:
    """New people with conditions of training pictures; then a few with each condition at three levels."""
    device = next(model.parameters()).device
    z = sample_z(range(2 * SHOWN), CONTROL.start, model.z_space_dim).to(device)
    names = model.config.condition_names
    asked = dataset.drawn(data.properties[:, : len(names)], len(z), CONTROL.start).to(device)
    people = to_uint8(model.decode(z, asked).picture)
    sheet = contact_sheet(list(people), SHOWN, scale=2)
    grid, columns = [], [f"{name} {level:g}" for name in names for level in LEVELS]
    for person in range(SWEPT_PEOPLE):
        row = asked[person].repeat(len(columns), 1)
        for place in range(len(names)):
            first = place * len(LEVELS)
            row[first : first + len(LEVELS), place] = torch.tensor(LEVELS, device=device)
        grid.append(list(to_uint8(model.decode(z[person].repeat(len(columns), 1), row).picture)))
    swept = labelled_grid(grid, [""] * len(grid), columns, 1)
    whole = Image.new("RGB", (max(sheet.width, swept.width), sheet.height + swept.height), "white")
    whole.paste(sheet, (0, 0))
    whole.paste(swept, (0, sheet.height))
    return whole
