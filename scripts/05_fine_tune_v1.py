"""v1: fine-tune the conditioned GAN on the filtered pictures and their property scores."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import faces
from scripts.fine_tuning_run import report_control, run_training
from scripts.pipeline import Stage, StageOptions, StageSpec, option, run_stage


@dataclass(frozen=True)
class Options(StageOptions):
    """Fine-tune StyleGAN v1: seven properties join generator and discriminator."""

    recipe: Literal["matching", "document"] = option(
        "matching", help="matching: D compares picture and properties; document: the document's own recipe"
    )
    steps: int = option(600, help="training steps (each: one D step and one or more G steps)")
    batch_size: int = option(16, help="pictures per step")
    warmup_steps: int = option(100, help="first steps in which D learns alone (matching)")
    generator_lr: float = option(1.0, help="Adam step size of the mapping network (stored weights, std 100)")
    label_lr: float = option(0.1, help="Adam step size of the label matrix")
    discriminator_lr: float = option(5e-3, help="Adam step size of D's dense layers")
    regression_weight: float = option(
        4.0, help="weight of the properties that D reads from generated pictures"
    )
    person_weight: float = option(0.1, help="weight of staying near the person of step 0")
    filter_weight: float = option(0.5, help="weight of the gender and quality networks")
    seed: int = option(0, help="seed of all randomness")
    control_latents: int = option(16, help="latents of the control measurement at the end")
    checkpoint_s: float = option(30.0, help="seconds between checkpoints", affects_results=False)
    preview_every: int = option(200, help="steps between preview pictures, 0: none", affects_results=False)


SPEC = StageSpec(
    name="05_fine_tune_v1",
    inputs=(*faces.SCORE_INPUTS, *faces.FILTER_INPUTS, faces.ORACLE_INPUT),
    outputs=(
        faces.GENERATOR_FILES["v1"],
        "stylegan_modified/stylegan_dis_fine_tuned_v1.pth",
        "stylegan_modified/train_log_v1.csv",
        "stylegan_modified/control_v1.json",
    ),
    clears=("stylegan_modified/checkpoints/v1.pt",),
    next_script="06_fine_tune_v2",
)


def run(stage: Stage, options: Options) -> None:
    from stylegan.sampling import sample_z
    from stylegan_modified.fine_tuning import LoopOptions, save_atomically
    from stylegan_modified.stylegan_discriminator import transplant_discriminator
    from stylegan_modified.stylegan_generator import transplant
    from stylegan_modified.training_v1 import ConditionedGANTrainer, V1Options

    data = faces.load_training_pictures(stage)
    statistics = faces.load_statistics(stage)
    base, base_discriminator = faces.load_base(stage)
    conditioning = "additive" if options.recipe == "document" else "projection"
    trainer = ConditionedGANTrainer(
        transplant(base, seed=options.seed),
        transplant_discriminator(base_discriminator, conditioning, seed=options.seed),
        data,
        V1Options(
            steps=options.steps,
            recipe=options.recipe,
            batch_size=options.batch_size,
            warmup_steps=options.warmup_steps,
            generator_lr=options.generator_lr,
            label_lr=options.label_lr,
            discriminator_lr=options.discriminator_lr,
            regression_weight=options.regression_weight,
            person_weight=options.person_weight,
            filter_weight=options.filter_weight,
        ),
        faces.load_filters(stage),
    )
    stage.log(f"{len(data.images)} pictures, recipe {options.recipe}, {options.steps} steps")
    preview_z = sample_z(faces.PREVIEW_SEEDS, 0, base.z_space_dim).to(stage.device)

    def preview() -> object:
        generator = trainer.averaged_generator()
        return faces.preview_grid(lambda z, p: generator(z, p)["image"], stage, statistics, preview_z)

    loop = LoopOptions(options.steps, options.seed, options.checkpoint_s, preview_every=options.preview_every)
    run_training(stage, trainer, loop, "v1", preview)
    generator = trainer.averaged_generator()
    config = {**generator.config, "label_size": generator.label_size}
    save_atomically(
        {"generator": generator.state_dict(), "config": config}, stage.path(faces.GENERATOR_FILES["v1"])
    )
    save_atomically(
        {"discriminator": trainer.discriminator.state_dict(), "config": trainer.discriminator.config},
        stage.path("stylegan_modified/stylegan_dis_fine_tuned_v1.pth"),
    )
    stage.save_image("stylegan_modified/previews/v1.png", preview())
    numbers = report_control(
        stage,
        lambda z, p: generator(z, p)["image"],
        base.z_space_dim,
        statistics,
        "v1",
        options.control_latents,
    )
    stage.finish(numbers, look_at=("stylegan_modified/previews/v1.png",))


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
