"""v3: train the conditional VAE whose decoder is the generator with dials, so that given pictures can be
edited.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import faces
from scripts.fine_tuning_run import report_control, run_training
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage


@dataclass(frozen=True)
class Options(StageOptions):
    """Fine-tune v3: an encoder and the dials as a conditional VAE."""

    steps: int = option(700, help="training steps")
    batch_size: int = option(16, help="pictures per step, half generated, half from the filtered set")
    learning_rate: float = option(1e-3, help="Adam step size of the encoder")
    dial_lr: float = option(1e-4, help="Adam step size of the dials")
    encoder_width: float = option(1.0, help="channel multiplier of the encoder")
    reconstruction_weight: float = option(2.0, help="weight of the reconstructed picture")
    kl_weight: float = option(0.02, help="weight of the KL divergence to N(0, 1)")
    seed: int = option(0, help="seed of all randomness")
    control_latents: int = option(16, help="latents of the control measurement at the end")
    checkpoint_s: float = option(30.0, help="seconds between checkpoints", affects_results=False)
    preview_every: int = option(200, help="steps between preview pictures, 0: none", affects_results=False)


SPEC = StageSpec(
    name="07_fine_tune_v3",
    inputs=(
        *faces.SCORE_INPUTS,
        faces.IDENTITY_INPUT,
        faces.ORACLE_INPUT,
        Input(faces.GENERATOR_FILES["v2"], made_by="06_fine_tune_v2"),
        Input(faces.PROPERTY_CNN, made_by="06_fine_tune_v2"),
    ),
    outputs=(
        faces.GENERATOR_FILES["v3"],
        faces.ENCODER,
        "stylegan_modified/train_log_v3.csv",
        "stylegan_modified/control_v3.json",
        "stylegan_modified/previews/v3_reconstructions.png",
    ),
    clears=("stylegan_modified/checkpoints/v3.pt",),
    next_script="08_regenerate_images",
)


def reconstructions(stage: Stage, model: Any, encoder: Any, data: Any, count: int = 12) -> tuple[Any, float]:
    """Contact sheet of pictures above their reconstructions, and the mean absolute error in grey levels."""
    import torch

    from scripts.pipeline.pictures import labelled_grid
    from stylegan.sampling import to_uint8

    with torch.no_grad():
        images, properties = data.batch(torch.arange(min(64, len(data.images))), stage.device)
        mean, _ = encoder(images, properties)
        decoded = model(mean, properties)["image"].clamp(-1, 1)
    error = float((decoded - images).abs().mean() * 127.5)
    originals, copies = (to_uint8(batch[:count]) for batch in (images, decoded))
    sheet = labelled_grid(
        [list(originals), list(copies)], ["picture", "v3"], [str(n) for n in range(len(originals))]
    )
    return sheet, error


def run(stage: Stage, options: Options) -> None:
    import torch

    from stylegan.sampling import sample_z
    from stylegan_modified.fine_tuning import LoopOptions, save_atomically
    from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
    from stylegan_modified.training_v3 import ConditionalVAETrainer, V3Options

    data, statistics = faces.load_training_pictures(stage), faces.load_statistics(stage)
    model = faces.load_generator(stage, "v2")
    torch.manual_seed(options.seed)
    encoder = Encoder(EncoderConfig(data.images.shape[1], model.z_space_dim, width=options.encoder_width)).to(
        stage.device
    )
    trainer = ConditionalVAETrainer(
        model,
        encoder,
        data,
        V3Options(
            options.steps,
            options.batch_size,
            options.learning_rate,
            options.dial_lr,
            options.reconstruction_weight,
            kl_weight=options.kl_weight,
        ),
        faces.load_identity(stage),
    )
    loop = LoopOptions(options.steps, options.seed, options.checkpoint_s, preview_every=options.preview_every)
    run_training(stage, trainer, loop, "v3", lambda: reconstructions(stage, model, encoder, data)[0])
    trainer.averaged()
    save_atomically(model.checkpoint(), stage.path(faces.GENERATOR_FILES["v3"]))
    save_atomically(encoder.checkpoint(), stage.path(faces.ENCODER))

    def generate(z: object, properties: object) -> object:
        return model(z, properties)["image"]

    preview_z = sample_z(faces.PREVIEW_SEEDS, 0, model.z_space_dim).to(stage.device)
    stage.save_image(
        "stylegan_modified/previews/v3.png", faces.preview_grid(generate, stage, statistics, preview_z)
    )
    sheet, error = reconstructions(stage, model, encoder, data)
    stage.save_image("stylegan_modified/previews/v3_reconstructions.png", sheet)
    numbers = report_control(stage, generate, model.z_space_dim, statistics, "v3", options.control_latents)
    numbers["reconstruction"] = f"mean absolute error {error:.1f} of 255 grey levels (n = 64 pictures)"
    stage.finish(
        numbers,
        look_at=("stylegan_modified/previews/v3.png", "stylegan_modified/previews/v3_reconstructions.png"),
    )


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
