"""What 05 does: the conditioned GAN, by our recipe behind a warm start, or by the document's."""

from __future__ import annotations

from scripts.pipeline import Stage
from scripts.stages import candidate_latents, networks
from scripts.stages.fine_tuning.fine_tuning import FineTuning, run_training
from scripts.stages.workspace import DISCRIMINATOR
from stylegan_modified.fine_tuning import save_atomically
from stylegan_modified.recipes import V1Recipe
from stylegan_modified.stylegan_discriminator import Conditioning, transplant_discriminator
from stylegan_modified.stylegan_generator import ConditionedGenerator, transplant
from stylegan_modified.training_v1 import ConditionedGANTrainer
from stylegan_modified.warm_start import WarmStartTrainer


def warm_start(tuning: FineTuning[V1Recipe], generator: ConditionedGenerator) -> None:
    """Teach the mapping network linear directions; leaves it alone where there are too few candidates."""
    editor = candidate_latents.fit_editor(tuning.stage)
    if editor is not None:
        editor = editor.to(tuning.stage.device)
        trainer = WarmStartTrainer(generator, editor, tuning.data.properties, tuning.recipe)
        run_training(tuning.stage, trainer, "v1_warm_start", log_every=100)


def run(stage: Stage, recipe: V1Recipe) -> None:
    """Train, save, measure."""
    tuning = FineTuning(stage, recipe, "v1")
    base, base_discriminator = networks.load_base(stage)
    generator = transplant(base, seed=recipe.seed)
    if recipe.recipe == "matching" and recipe.warm_start_steps:
        warm_start(tuning, generator)
    conditioning: Conditioning = "additive" if recipe.recipe == "document" else "projection"
    trainer = ConditionedGANTrainer(
        generator,
        transplant_discriminator(base_discriminator, conditioning, seed=recipe.seed),
        tuning.data,
        recipe,
        candidate_latents.load_filters(stage),
        networks.load_identity(stage),
    )
    stage.log(f"{len(tuning.data.images)} pictures, recipe {recipe.recipe}, {recipe.steps} steps")
    tuning.train(trainer, lambda: tuning.preview(trainer.trained_generator()))
    if stage.writes:
        judge = trainer.discriminator
        save_atomically(
            {"discriminator": judge.state_dict(), "config": judge.config}, stage.path(DISCRIMINATOR)
        )
    tuning.finish(trainer.trained_generator())
