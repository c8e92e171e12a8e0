"""What 07 does: the encoder of the conditional VAE, by our recipe around v2's dials, or by the document's."""

from __future__ import annotations

from typing import Any

import torch

from scripts.pipeline import Stage, UserError
from scripts.stages import networks, scores
from scripts.stages.fine_tuning import fine_tuning
from scripts.stages.fine_tuning.fine_tuning import FineTuning
from scripts.stages.sheets import labelled_grid
from scripts.stages.stored_rows import near, store_rows
from scripts.stages.workspace import ENCODER, RECONSTRUCTIONS
from stylegan.sampling import to_uint8
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.document_recipes import DocumentV3Trainer
from stylegan_modified.fine_tuning import FineTuner, TrainingPictures, save_atomically
from stylegan_modified.generator_files import Dialled
from stylegan_modified.recipes import V3Recipe
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from stylegan_modified.training_v3 import ConditionalVAETrainer, FreshPeople, People, draw_people

MOST_UNSEEN = 64  # filtered pictures that the encoder does not learn from
UNSEEN_SHARE = 0.1


def check(stage: Stage, recipe: V3Recipe) -> None:
    """Raise `UserError`, before earlier results go, if v2 or the pictures do not fit."""
    fine_tuning.check(stage)
    table, _ = scores.training_table(stage)
    size = scores.read_picture(stage, table["img_path"].iloc[0]).shape[0]
    new_encoder(stage, recipe, size, z_dim=1)
    if recipe.recipe == "dials":
        load_dials(stage)


def hold_out(data: TrainingPictures, seed: int) -> tuple[TrainingPictures, TrainingPictures]:
    """Pictures for the encoder to learn from, and others to judge it by."""
    share = min(UNSEEN_SHARE, MOST_UNSEEN / len(data.images))
    unseen, seen = data.split((share,), derived_seed(Purpose.ENCODER_SPLIT, seed))
    return data.chosen(seen), data.chosen(unseen)


def reconstructions(
    stage: Stage, model: Dialled, encoder: Encoder, data: TrainingPictures, count: int = 12
) -> tuple[Any, float]:
    """Contact sheet of pictures above their reconstructions, and the mean absolute error in grey levels."""
    with torch.no_grad():
        images, properties = data.batch(torch.arange(len(data.images)), stage.device)
        mean, _ = encoder(images, properties)
        decoded = model(mean, properties)["image"].clamp(-1, 1)
    error = float((decoded - images).abs().mean() * 127.5)
    originals, copies = (to_uint8(batch[:count]) for batch in (images, decoded))
    sheet = labelled_grid(
        [list(originals), list(copies)], ["picture", "v3"], [str(n) for n in range(len(originals))]
    )
    return sheet, error


def new_encoder(stage: Stage, recipe: V3Recipe, size: int, z_dim: int) -> Encoder:
    """An encoder with random weights for square pictures of ``size`` pixels.

    Raises:
        UserError: they are too small.
    """
    torch.manual_seed(derived_seed(Purpose.ENCODER_WEIGHTS, recipe.seed))
    with stage.foreseen(ValueError, mend="Use a generator of larger pictures."):
        return Encoder(EncoderConfig(size, z_dim, width=recipe.encoder_width)).to(stage.device)


def load_dials(stage: Stage) -> DialGenerator:
    """v2's generator with dials.

    Raises:
        UserError: v2 has no dials.
    """
    model = networks.load_generator(stage, "v2")
    if not isinstance(model, DialGenerator):
        raise UserError(
            "v2 was trained by the document's recipe, so it has no dials for v3 to use. Train its dials, or "
            f"give --recipe document here:\n    {stage.command('06_fine_tune_v2', '--force')}"
        )
    return model


def dial_trainer(
    stage: Stage, recipe: V3Recipe, data: TrainingPictures
) -> tuple[FineTuner, Dialled, Encoder]:
    """Our recipe: trainer, decoder (v2's generator with dials) and encoder.

    Raises:
        UserError: v2 has no dials.
    """
    model = load_dials(stage)
    encoder = new_encoder(stage, recipe, data.images.shape[1], model.z_space_dim)
    people: People = FreshPeople(model.generator, model.z_space_dim, data.properties)
    if recipe.people:
        stage.log(f"drawing {recipe.people} people of known z")
        people = draw_people(
            model.generator,
            model.z_space_dim,
            data.properties,
            recipe.people,
            recipe.seed,
            keep=lambda batches: near(store_rows(stage.workspace, batches), stage.device),
        )
    identity = networks.load_identity(stage)
    return ConditionalVAETrainer(model, encoder, data, people, recipe, identity), model, encoder


def document_trainer(
    stage: Stage, recipe: V3Recipe, data: TrainingPictures
) -> tuple[FineTuner, Dialled, Encoder]:
    """The document's recipe: trainer, decoder (v1's generator) and encoder."""
    model = networks.load_v1(stage)
    network = networks.load_property_cnn(stage).to(stage.device)
    encoder = new_encoder(stage, recipe, data.images.shape[1], model.z_space_dim)
    gender = networks.load_filter(stage, "gender")
    return DocumentV3Trainer(model, network, data, recipe, encoder, gender), model, encoder


def run(stage: Stage, recipe: V3Recipe) -> None:
    """Train the encoder, save, measure."""
    tuning = FineTuning(stage, recipe, "v3")
    data, unseen = hold_out(tuning.data, recipe.seed)
    build = document_trainer if recipe.recipe == "document" else dial_trainer
    trainer, model, encoder = build(stage, recipe, data)
    tuning.train(trainer, lambda: reconstructions(stage, model, encoder, unseen)[0])
    if not stage.writes:
        return
    if isinstance(trainer, ConditionalVAETrainer):
        encoder = trainer.averaged()
    save_atomically(encoder.checkpoint(), stage.path(ENCODER))
    sheet, error = reconstructions(stage, model, encoder, unseen)
    stage.write(RECONSTRUCTIONS, sheet)
    of_whom = f"{len(unseen.images)} filtered pictures that the encoder did not learn from"
    numbers = {"reconstruction": f"mean absolute error {error:.1f} of 255 grey levels ({of_whom})"}
    tuning.finish(model, numbers, look_at=(RECONSTRUCTIONS,))
