"""What 31 does: train a portrait network on the pairs of 30."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from scripts.pipeline import Stage
from scripts.stages import networks
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.fine_tuning.fine_tuning import fingerprint
from scripts.stages.sheets import labelled_grid
from scripts.stages.sketching.pairs import read_pairs
from scripts.stages.step_log import StepLog
from scripts.stages.training import Look, TrainingLoop
from scripts.stages.workspace import SKETCH_CHECKPOINT, SKETCH_LOG, SKETCH_NETWORK, SKETCH_PREVIEW
from sketch.pairs import SketchPairs
from sketch.portrait_network import PortraitNetwork, save_network
from sketch.training import SketchTrainer, portrait_config
from sketch.unet import parameter_count

PREVIEW_COUNT = 8
LOG_EVERY = 20


def check(stage: Stage, recipe: Any) -> None:
    """Raise `UserError`, before earlier results go, if the pairs do not fit the network."""
    pairs, _ = read_pairs(stage, "train")
    with stage.foreseen(ValueError):
        portrait_config(recipe, pairs.size)


def preview(network: PortraitNetwork, pairs: SketchPairs) -> Image.Image:
    """Sketches above what the network draws and the true portraits."""
    seen = pairs.first(PREVIEW_COUNT)
    drawn = network.portraits(seen.sketches, seen.colors)
    shown = [list(part) for part in (seen.sketches, drawn, seen.portraits)]
    return labelled_grid(shown, ["sketch", "drawn", "true"], [""] * len(seen))


def validation_l1(network: PortraitNetwork, pairs: SketchPairs) -> float:
    """Mean absolute error of pixels in [-1, 1] on pairs that it did not learn from."""
    drawn = network.portraits(pairs.sketches, pairs.colors).astype(np.float32)
    return float(np.abs(drawn - pairs.portraits).mean() / 127.5)


def run(stage: Stage, options: Any) -> None:
    """Train, save, show."""
    keep_freed_memory()
    pairs, _ = read_pairs(stage, "train")
    seen, _ = read_pairs(stage, "validation")
    identity = networks.load_identity(stage) if options.recipe == "ours" else None
    trainer = SketchTrainer(pairs, options, stage.device, identity)
    sizes = [parameter_count(part) for part in (trainer.network, trainer.discriminator)]
    stage.log(f"{sizes[0]:,} parameters draw, {sizes[1]:,} judge; {len(pairs)} pairs of {pairs.size} px")

    def show() -> None:
        picture = preview(trainer.averaged(), seen)
        stage.write(SKETCH_PREVIEW, picture)
        loop.events.picture(trainer.steps_done, "preview", picture)

    loop = TrainingLoop(
        stage,
        trainer,
        "sketch_to_portrait",
        stage.path(SKETCH_CHECKPOINT),
        StepLog(stage.path(SKETCH_LOG)),
        made_for={"fingerprint": fingerprint(stage)},
        steps=options.steps,
        unit="steps",
        log_every=LOG_EVERY,
        pictures_per_step=options.batch_size,
        looks=[Look(options.preview_every, show)],
    )
    loop.run()
    network = trainer.averaged()
    error = validation_l1(network, seen)
    notes = {
        "recipe": options.recipe,
        "network": options.network,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "pairs": len(pairs),
        "validation_l1": round(error, 4),
    }
    with stage.atomic(SKETCH_NETWORK) as temporary:
        save_network(temporary, network, notes)
    stage.write(SKETCH_PREVIEW, preview(network, seen))
    stage.finish(
        {
            "parameters": f"{sizes[0]:,} draw, {sizes[1]:,} judge",
            "L1": f"{error:.3f} on {len(seen)} validation pairs, pixels in [-1, 1]",
        },
        [SKETCH_PREVIEW, SKETCH_LOG],
    )
