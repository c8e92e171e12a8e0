"""What 05 does: the conditioned GAN, by our recipe behind a warm start, or by the document's."""

from __future__ import annotations

from torch import Tensor

from scripts.pipeline import Stage
from scripts.stages import candidate_latents, networks
from scripts.stages.fine_tuning.fine_tuning import FineTuning, run_training
from scripts.stages.fine_tuning.options import FineTuningOptions
from scripts.stages.workspace import DISCRIMINATOR, FINE_TUNED
from stylegan_modified.fine_tuning import LoopOptions, save_atomically
from stylegan_modified.stylegan_discriminator import transplant_discriminator
from stylegan_modified.stylegan_generator import ConditionedStyleGANGenerator, transplant
from stylegan_modified.training_v1 import ConditionedGANTrainer, V1Options
from stylegan_modified.warm_start import WarmStartOptions, WarmStartTrainer


def warm_start(
    stage: Stage, options: FineTuningOptions, generator: ConditionedStyleGANGenerator, properties: Tensor
) -> None:
    """Teach the mapping network linear directions; leaves it alone where there are too few candidates."""
    editor = candidate_latents.fit_editor(stage)
    if editor is None:
        return
    recipe = WarmStartOptions(options.warm_start_steps)
    trainer = WarmStartTrainer(generator, editor.to(stage.device), properties, recipe)
    loop = LoopOptions(recipe.steps, options.seed, options.checkpoint_s, log_every=100)
    run_training(stage, trainer, loop, "v1_warm_start")


def run(stage: Stage, options: FineTuningOptions) -> None:

    tuning = FineTuning(stage, "v1")
    base, base_discriminator = networks.load_base(stage)
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
        networks.load_identity(stage),
    )
    stage.log(f"{len(tuning.data.images)} pictures, recipe {options.recipe}, {options.steps} steps")
    tuning.train(trainer, lambda: tuning.preview(trainer.trained_generator()))
    if not stage.writes:
        return
    generator = trainer.trained_generator()
    save_atomically(generator.checkpoint(), stage.path(FINE_TUNED["v1"]))
    save_atomically(
        {"discriminator": trainer.discriminator.state_dict(), "config": trainer.discriminator.config},
        stage.path(DISCRIMINATOR),
    )
    tuning.finish(generator)
