"""v2: train the property CNN on the filtered pictures, then the dials of v1's generator through the frozen
CNN.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import faces
from scripts.fine_tuning_run import FineTuning, FineTuningOptions, run_training
from scripts.pipeline import Input, Stage, StageSpec, option, run_stage

if TYPE_CHECKING:
    from stylegan_modified.property_cnn import PropertyCNN
    from stylegan_modified.stylegan_generator import ConditionedStyleGANGenerator
    from stylegan_modified.stylegan_generator_v2 import DialGenerator
    from stylegan_modified.training_v2 import DialPool

POOL_SEED = 500_000  # people to practise on; neither candidates nor latents of the evaluation


@dataclass(frozen=True)
class Options(FineTuningOptions):
    """Fine-tune v2: property CNN first, then seven dials trained through it."""

    recipe: Literal["dials", "document"] = option(
        "dials", help="dials: a network that moves w; document: v1's dense layers, by the document's recipe"
    )
    cnn_epochs: int = option(20, help="epochs of the property CNN at the most")
    cnn_width: float = option(1.0, help="channel multiplier of the property CNN")
    cnn_margin: float = option(0.0, help="widening of the CNN's windows, fraction of the picture")
    cnn_reduction: int = option(1, help="the CNN's large windows are shrunk by this power of two")
    cnn_lr: float = option(5e-5, help="AdamW step size of the property CNN")
    steps: int = option(1300, help="training steps of the dials")
    learning_rate: float = option(2e-3, help="Adam step size of the dials")
    identity_weight: float = option(0.15, help="weight of the same-person term")
    keep_weight: float = option(3.0, help="weight of the region to keep")
    pool: int = option(1024, help="people to practise on")
    preview_every: int = option(300, help="steps between preview pictures, 0: none", affects_results=False)


SPEC = StageSpec(
    name="06_fine_tune_v2",
    inputs=(
        *faces.SCORE_INPUTS,
        *faces.FILTER_INPUTS,
        faces.IDENTITY_INPUT,
        faces.ORACLE_INPUT,
        Input(faces.GENERATOR_FILES["v1"], made_by="05_fine_tune_v1"),
    ),
    outputs=(
        faces.GENERATOR_FILES["v2"],
        faces.PROPERTY_CNN,
        "stylegan_modified/train_log_v2_cnn.csv",
        "stylegan_modified/train_log_v2.csv",
        "stylegan_modified/control_v2.json",
    ),
    clears=(
        "stylegan_modified/checkpoints/v2_cnn.pt",
        "stylegan_modified/checkpoints/v2.pt",
        "stylegan_modified/checkpoints/v2_pool.npz",
    ),
    next_script="07_fine_tune_v3",
)


def train_property_cnn(stage: Stage, options: Options, tuning: FineTuning) -> tuple[PropertyCNN, list[float]]:
    """The property CNN of the best epoch and its validation r for each property."""
    import torch

    from segmentation.property_table import PROPERTY_NAMES
    from stylegan_modified.fine_tuning import LoopOptions, save_atomically
    from stylegan_modified.property_cnn import PropertyCNN, PropertyCNNConfig
    from stylegan_modified.training_v2 import POSE, PropertyCNNOptions, PropertyCNNTrainer

    data, statistics = tuning.data, tuning.statistics
    torch.manual_seed(options.seed)
    config = PropertyCNNConfig(
        data.images.shape[1],
        options.cnn_width,
        options.cnn_margin,
        coarse_reduction=options.cnn_reduction,
    )
    mirror = float(-2 * statistics.mean[POSE] / statistics.std[POSE])
    with stage.foreseen(
        ValueError, mend=f"Generate more: {stage.command('01_generate_candidates', '--force')}"
    ):
        trainer = PropertyCNNTrainer(
            PropertyCNN(config).to(stage.device),
            data,
            PropertyCNNOptions(
                options.cnn_epochs,
                options.batch_size,
                options.cnn_lr,
                mirror_offset=mirror,
                seed=options.seed,
            ),
        )
    loop = LoopOptions(trainer.steps, options.seed, options.checkpoint_s, log_every=trainer.batches)
    run_training(stage, trainer, loop, "v2_cnn")
    network = trainer.best_network()
    save_atomically(network.checkpoint(), stage.path(faces.PROPERTY_CNN))
    pairs = zip(PROPERTY_NAMES, trainer.validation_r, strict=True)
    stage.log("property CNN, validation r: " + ", ".join(f"{name} {r:.3f}" for name, r in pairs))
    return network, trainer.validation_r


def prepare_pool(
    stage: Stage, options: Options, model: DialGenerator, judge: faces.PropertyJudge
) -> DialPool:
    """People to practise on with the label maps of their untouched pictures (made once, then read from
    disk).
    """
    import numpy as np
    import torch

    from stylegan.sampling import sample_z, to_uint8
    from stylegan_modified.training_v2 import DialPool

    z = sample_z(range(options.pool), POOL_SEED, model.z_space_dim)
    path = stage.path("stylegan_modified/checkpoints/v2_pool.npz")
    if not path.exists():
        label_maps = []
        with stage.progress(options.pool, unit="people") as progress:
            for chunk in z.split(64):
                images = to_uint8(model.person(chunk.to(stage.device)).image)
                label_maps.append(judge.label_maps(images))
                progress.update(len(chunk))
        stage.write_arrays(stage.relative(path), label_maps=np.concatenate(label_maps))
    return DialPool(z, torch.from_numpy(np.load(path)["label_maps"]))


def train_dials(stage: Stage, options: Options, tuning: FineTuning, network: PropertyCNN) -> DialGenerator:
    """Our recipe: dials around v1's frozen generator."""
    from stylegan_modified.stylegan_generator_v2 import DialGenerator
    from stylegan_modified.training_v2 import DialOptions, DialTrainer

    model = DialGenerator(faces.load_generator(stage, "v1"), network).to(stage.device).eval()
    pool = prepare_pool(stage, options, model, faces.PropertyJudge(stage, tuning.statistics))
    _, discriminator = faces.load_base(stage)
    trainer = DialTrainer(
        model,
        pool,
        tuning.data.properties,
        DialOptions(
            options.steps,
            options.batch_size,
            options.learning_rate,
            options.identity_weight,
            options.keep_weight,
        ),
        discriminator,
        faces.load_identity(stage),
        faces.load_filters(stage),
    )
    trainer.fit_linear()
    tuning.train(trainer, lambda: tuning.preview(model))
    return trainer.averaged()


def train_by_document(
    stage: Stage, options: Options, tuning: FineTuning, network: PropertyCNN
) -> ConditionedStyleGANGenerator:
    """The document's recipe: v1's generator itself learns from the property CNN."""
    from stylegan_modified.document_recipes import DocumentOptions, DocumentV2Trainer

    model = faces.load_generator(stage, "v1")
    recipe = DocumentOptions(options.steps, options.batch_size)
    tuning.train(DocumentV2Trainer(model, network, tuning.data, recipe), lambda: tuning.preview(model))
    return model


def run(stage: Stage, options: Options) -> None:
    from stylegan_modified.fine_tuning import save_atomically

    tuning = FineTuning(stage, options, "v2")
    network, validation_r = train_property_cnn(stage, options, tuning)
    train = train_by_document if options.recipe == "document" else train_dials
    model = train(stage, options, tuning, network)
    save_atomically(model.checkpoint(), stage.path(faces.GENERATOR_FILES["v2"]))
    read_back = f"validation r {min(validation_r):.2f} to {max(validation_r):.2f}"
    tuning.finish(model, {"property CNN": read_back})


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
