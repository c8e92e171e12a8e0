"""v1: fine-tune the conditioned GAN on the filtered pictures and their property scores."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Stage, StageSpec, option, run_stage
from scripts.stages import candidate_latents, faces
from scripts.stages.fine_tuning.fine_tuning_run import FineTuning, FineTuningOptions, check, run_training

if TYPE_CHECKING:
    from torch import Tensor

    from stylegan_modified.stylegan_generator import ConditionedStyleGANGenerator


@dataclass(frozen=True)
class Options(FineTuningOptions):
    """Fine-tune StyleGAN v1: seven properties join generator and discriminator."""

    recipe: Literal["matching", "document"] = option(
        "matching", help="matching: D compares picture and properties; document: the document's own recipe"
    )
    warm_start_steps: int = option(
        4000, help="steps in w alone, before any picture, that teach the dials linear directions (0: none)"
    )
    steps: int = option(600, help="training steps (each: one D step and one or more G steps)")
    warmup_steps: int = option(100, help="first steps in which D learns alone (matching)")
    generator_lr: float = option(0.1, help="Adam step size of the mapping network (stored weights, std 100)")
    label_lr: float = option(0.001, help="Adam step size of the label matrix")
    discriminator_lr: float = option(5e-3, help="Adam step size of D's dense layers")
    conditioning: Literal["both", "projection", "regression"] = option(
        "both", help="how D compares picture and properties (matching)"
    )
    regression_weight: float = option(
        4.0, help="weight of the properties that D reads from generated pictures"
    )
    person_weight: float = option(0.1, help="weight of staying near the w of the first step")
    identity_weight: float = option(0.3, help="weight of the same person with one dial turned")
    filter_weight: float = option(0.5, help="weight of the gender and quality networks")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(0, "warm_start_steps", "warmup_steps")
        self.need_above(0, "generator_lr", "label_lr", "discriminator_lr")
        if self.recipe == "matching":
            self.need_pairs()


SPEC = StageSpec(
    name="05_fine_tune_v1",
    inputs=(
        *faces.SCORE_INPUTS,
        *faces.FILTER_INPUTS,
        candidate_latents.FILTERED_INPUT,
        candidate_latents.LATENT_INPUT,
        faces.IDENTITY_INPUT,
        faces.ORACLE_INPUT,
    ),
    outputs=(
        faces.GENERATOR_FILES["v1"],
        "stylegan_modified/stylegan_dis_fine_tuned_v1.pth",
        "stylegan_modified/train_log_v1.csv",
        "stylegan_modified/control_v1.json",
    ),
    clears=(
        "stylegan_modified/checkpoints/v1.pt",
        "stylegan_modified/checkpoints/v1_warm_start.pt",
        "stylegan_modified/train_log_v1_warm_start.csv",
    ),
    next_script="06_fine_tune_v2",
    check=check,
    several_processes=True,
    version=2,
)


def warm_start(
    stage: Stage, options: Options, generator: ConditionedStyleGANGenerator, properties: Tensor
) -> None:
    """Teach the mapping network linear directions; leaves it alone where there are too few candidates."""
    from stylegan_modified.fine_tuning import LoopOptions
    from stylegan_modified.warm_start import WarmStartOptions, WarmStartTrainer

    editor = candidate_latents.fit_editor(stage)
    if editor is None:
        return
    recipe = WarmStartOptions(options.warm_start_steps)
    trainer = WarmStartTrainer(generator, editor.to(stage.device), properties, recipe)
    loop = LoopOptions(recipe.steps, options.seed, options.checkpoint_s, log_every=100)
    run_training(stage, trainer, loop, "v1_warm_start")


def run(stage: Stage, options: Options) -> None:
    from stylegan_modified.fine_tuning import save_atomically
    from stylegan_modified.stylegan_discriminator import transplant_discriminator
    from stylegan_modified.stylegan_generator import transplant
    from stylegan_modified.training_v1 import ConditionedGANTrainer, V1Options

    tuning = FineTuning(stage, options, "v1")
    base, base_discriminator = faces.load_base(stage)
    generator = transplant(base, seed=options.seed)
    if options.recipe == "matching" and options.warm_start_steps:
        warm_start(stage, options, generator, tuning.data.properties)
    conditioning = "additive" if options.recipe == "document" else "projection"
    trainer = ConditionedGANTrainer(
        generator,
        transplant_discriminator(base_discriminator, conditioning, seed=options.seed),
        tuning.data,
        V1Options(
            steps=options.steps,
            recipe=options.recipe,
            batch_size=options.batch_size,
            warmup_steps=options.warmup_steps,
            conditioning=options.conditioning,
            generator_lr=options.generator_lr,
            label_lr=options.label_lr,
            discriminator_lr=options.discriminator_lr,
            regression_weight=options.regression_weight,
            person_weight=options.person_weight,
            identity_weight=options.identity_weight,
            filter_weight=options.filter_weight,
        ),
        candidate_latents.load_filters(stage),
        faces.load_identity(stage),
    )
    stage.log(f"{len(tuning.data.images)} pictures, recipe {options.recipe}, {options.steps} steps")
    tuning.train(trainer, lambda: tuning.preview(trainer.trained_generator()))
    if not stage.writes:
        return
    generator = trainer.trained_generator()
    save_atomically(generator.checkpoint(), stage.path(faces.GENERATOR_FILES["v1"]))
    save_atomically(
        {"discriminator": trainer.discriminator.state_dict(), "config": trainer.discriminator.config},
        stage.path("stylegan_modified/stylegan_dis_fine_tuned_v1.pth"),
    )
    tuning.finish(generator)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
