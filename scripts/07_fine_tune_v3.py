"""v3: train the conditional VAE whose decoder is the generator with dials, so that given pictures can be
edited.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageSpec, UserError, option, run_stage
from scripts.stages import faces
from scripts.stages.fine_tuning.fine_tuning_run import FineTuning, FineTuningOptions
from scripts.stages.stored_rows import store_rows
from stylegan.seeds import Purpose, derived_seed

if TYPE_CHECKING:
    from torch import nn

    from stylegan_modified.fine_tuning import Trainer, TrainingPictures
    from stylegan_modified.stylegan_generator_v2 import DialGenerator
    from stylegan_modified.stylegan_generator_v3 import Encoder


MOST_UNSEEN = 64  # filtered pictures that the encoder does not learn from
UNSEEN_SHARE = 0.1


@dataclass(frozen=True)
class Options(FineTuningOptions):
    """Fine-tune v3: an encoder and the dials as a conditional VAE."""

    recipe: Literal["dials", "document"] = option(
        "dials", help="dials: v2's dials in the decoder; document: v1's generator, by the document's recipe"
    )
    steps: int = option(700, help="training steps")
    people: int = option(6000, help="pictures of known z to learn from")
    batch_size: int = option(4, help="filtered pictures per step, which are decoded again")
    drawn_size: int = option(60, help="pictures of known z per step")
    learning_rate: float = option(3e-3, help="Muon step size of the encoder")
    encoder_width: float = option(1.0, help="channel multiplier of the encoder")
    reconstruction_weight: float = option(0.5, help="weight of the reconstructed picture")
    kl_weight: float = option(0.02, help="weight of the KL divergence to N(0, 1)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(1, "people", "drawn_size")
        self.need_above(0, "learning_rate", "encoder_width")


def inputs(options: Options) -> tuple[Input, ...]:
    """What the stage reads: the document's recipe starts at v1, ours at v2."""
    reader = Input(faces.PROPERTY_CNN, made_by="06_fine_tune_v2")
    if options.recipe == "document":
        decoder = Input(faces.GENERATOR_FILES["v1"], made_by="05_fine_tune_v1")
        return (*faces.SCORE_INPUTS, *faces.FILTER_INPUTS, faces.ORACLE_INPUT, decoder, reader)
    decoder = Input(faces.GENERATOR_FILES["v2"], made_by="06_fine_tune_v2")
    return (*faces.SCORE_INPUTS, faces.IDENTITY_INPUT, faces.ORACLE_INPUT, decoder, reader)


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if v2 or the pictures do not fit."""
    table, _ = faces.training_table(stage)
    size = faces.read_picture(stage, table["img_path"].iloc[0]).shape[0]
    new_encoder(stage, options, size, z_dim=1)
    if options.recipe == "dials":
        load_dials(stage)


SPEC = StageSpec(
    name="07_fine_tune_v3",
    inputs=inputs,
    outputs=(
        faces.GENERATOR_FILES["v3"],
        faces.ENCODER,
        "stylegan_modified/train_log_v3.csv",
        "stylegan_modified/control_v3.json",
        "stylegan_modified/previews/v3_reconstructions.png",
    ),
    clears=("stylegan_modified/checkpoints/v3.pt",),
    next_script="08_regenerate_images",
    check=check,
    several_processes=True,
    version=2,
)


def hold_out(data: TrainingPictures, seed: int) -> tuple[TrainingPictures, TrainingPictures]:
    """Pictures for the encoder to learn from, and others to judge it by."""
    share = min(UNSEEN_SHARE, MOST_UNSEEN / len(data.images))
    unseen, seen = data.split((share,), derived_seed(Purpose.ENCODER_SPLIT, seed))
    return data.chosen(seen), data.chosen(unseen)


def reconstructions(
    stage: Stage, model: nn.Module, encoder: Encoder, data: TrainingPictures, count: int = 12
) -> tuple[Any, float]:
    """Contact sheet of pictures above their reconstructions, and the mean absolute error in grey levels."""
    import torch

    from scripts.pipeline.pictures import labelled_grid
    from stylegan.sampling import to_uint8

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


def new_encoder(stage: Stage, options: Options, size: int, z_dim: int) -> Encoder:
    """An encoder with random weights for square pictures of ``size`` pixels.

    Raises:
        UserError: they are too small.
    """
    import torch

    from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig

    torch.manual_seed(derived_seed(Purpose.ENCODER_WEIGHTS, options.seed))
    with stage.foreseen(ValueError, mend="Use a generator of larger pictures."):
        return Encoder(EncoderConfig(size, z_dim, width=options.encoder_width)).to(stage.device)


def load_dials(stage: Stage) -> DialGenerator:
    """v2's generator with dials.

    Raises:
        UserError: v2 has no dials.
    """
    from stylegan_modified.stylegan_generator_v2 import DialGenerator

    model = faces.load_generator(stage, "v2")
    if not isinstance(model, DialGenerator):
        raise UserError(
            "v2 was trained by the document's recipe, so it has no dials for v3 to use. Train its dials, or "
            f"give --recipe document here:\n    {stage.command('06_fine_tune_v2', '--force')}"
        )
    return model


def dial_trainer(
    stage: Stage, options: Options, data: TrainingPictures
) -> tuple[Trainer, nn.Module, Encoder]:
    """Our recipe: trainer, decoder (v2's generator with dials) and encoder.

    Raises:
        UserError: v2 has no dials.
    """
    from stylegan_modified.training_v3 import ConditionalVAETrainer, V3Options, draw_people

    model = load_dials(stage)
    encoder = new_encoder(stage, options, data.images.shape[1], model.z_space_dim)
    stage.log(f"drawing {options.people} people of known z")
    people = draw_people(
        model.generator,
        model.z_space_dim,
        data.properties,
        options.people,
        options.seed,
        keep=lambda batches: store_rows(stage.workspace, batches),
    )
    trainer = ConditionalVAETrainer(
        model,
        encoder,
        data,
        people,
        V3Options(
            options.steps,
            options.batch_size,
            options.drawn_size,
            options.learning_rate,
            options.reconstruction_weight,
            kl_weight=options.kl_weight,
        ),
        faces.load_identity(stage),
    )
    return trainer, model, encoder


def document_trainer(
    stage: Stage, options: Options, data: TrainingPictures
) -> tuple[Trainer, nn.Module, Encoder]:
    """The document's recipe: trainer, decoder (v1's generator) and encoder."""
    from stylegan_modified.document_recipes import DocumentOptions, DocumentV3Trainer
    from stylegan_modified.property_cnn import PropertyCNN

    model = faces.load_generator(stage, "v1")
    mend = stage.command("06_fine_tune_v2", "--force")
    with stage.foreseen(ValueError, mend=mend):
        stored = faces.load_torch_file(stage, faces.PROPERTY_CNN, "06_fine_tune_v2")
        network = PropertyCNN.from_checkpoint(stored).to(stage.device)
    encoder = new_encoder(stage, options, data.images.shape[1], model.z_space_dim)
    gender = faces.load_filter(stage, "gender")
    recipe = DocumentOptions(options.steps, options.batch_size)
    return DocumentV3Trainer(model, network, data, recipe, encoder, gender), model, encoder


def run(stage: Stage, options: Options) -> None:
    from stylegan_modified.fine_tuning import save_atomically

    tuning = FineTuning(stage, options, "v3")
    data, unseen = hold_out(tuning.data, options.seed)
    build = document_trainer if options.recipe == "document" else dial_trainer
    trainer, model, encoder = build(stage, options, data)
    tuning.train(trainer, lambda: reconstructions(stage, model, encoder, unseen)[0])
    if not stage.writes:
        return
    if options.recipe == "dials":
        encoder = trainer.averaged()
    save_atomically(model.checkpoint(), stage.path(faces.GENERATOR_FILES["v3"]))
    save_atomically(encoder.checkpoint(), stage.path(faces.ENCODER))
    sheet, error = reconstructions(stage, model, encoder, unseen)
    stage.save_image("stylegan_modified/previews/v3_reconstructions.png", sheet)
    of_whom = f"{len(unseen.images)} filtered pictures that the encoder did not learn from"
    numbers = {"reconstruction": f"mean absolute error {error:.1f} of 255 grey levels ({of_whom})"}
    tuning.finish(model, numbers, look_at=("stylegan_modified/previews/v3_reconstructions.png",))


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
