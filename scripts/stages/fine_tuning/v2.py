"""What 06 does: the property CNN, then the dials that learn through it, or v1's dense layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from scripts.pipeline import Stage
from scripts.pipeline.files import ArrayFileError, read_arrays, sha256_file
from scripts.stages import candidate_latents, networks, scores
from scripts.stages.fine_tuning import fine_tuning
from scripts.stages.fine_tuning.fine_tuning import FineTuning, fingerprint, run_training
from scripts.stages.stored_rows import StoredRows, near
from scripts.stages.workspace import PRACTICE, PRACTICE_LABEL_MAPS, PRACTICE_PICTURES, PROPERTY_CNN
from segmentation.property_table import PROPERTY_NAMES
from stylegan import seeds
from stylegan.parallel import Processes
from stylegan.rows import ChosenRows, JoinedRows, Rows
from stylegan.sampling import sample_z, to_uint8
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.adversary import Adversary
from stylegan_modified.document_recipes import DocumentV2Trainer
from stylegan_modified.fine_tuning import TrainingPictures, mixed_precision, save_atomically
from stylegan_modified.generator_files import Dialled
from stylegan_modified.property_cnn import PropertyCNN, PropertyCNNConfig
from stylegan_modified.recipes import DocumentRecipe, V2Recipe
from stylegan_modified.requests import PairSampler, RequestPairs
from stylegan_modified.stylegan_generator import ConditionedGenerator
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.training_property_cnn import POSE, PropertyCNNTrainer
from stylegan_modified.training_v2 import DialPool, DialTrainer


def check(stage: Stage, recipe: V2Recipe) -> None:
    """Raise `UserError`, before earlier results go, if the property CNN cannot learn from what there is.

    The pictures that v1 will draw are not counted: nobody knows yet how many of them will have scores.
    """
    fine_tuning.check(stage)
    table, _ = scores.training_table(stage)
    size = scores.read_picture(stage, table["img_path"].iloc[0]).shape[0]
    images = torch.empty(len(table), size, size, 3, device="meta")  # shapes alone
    data = TrainingPictures(images, torch.empty(len(table), 7))
    property_cnn_trainer(stage, recipe, data, images.device)


def property_cnn_trainer(
    stage: Stage,
    recipe: V2Recipe,
    data: TrainingPictures,
    device: torch.device,
    mirror_offset: float = 0.0,
) -> PropertyCNNTrainer:
    """The training of a property CNN with random weights.

    Raises:
        UserError: the pictures are too few or too small.
    """
    torch.manual_seed(derived_seed(Purpose.PROPERTY_CNN_WEIGHTS, recipe.seed))
    more = stage.command("01_generate_candidates", "--count", "4000", "--force")
    with stage.foreseen(ValueError, mend=f"Give other values, or generate more candidates:\n    {more}"):
        config = PropertyCNNConfig(
            data.images.shape[1],
            recipe.cnn_width,
            recipe.cnn_margin,
            DocumentRecipe.cnn_dropout if recipe.recipe == "document" else recipe.cnn_dropout,
            coarse_reduction=recipe.cnn_reduction,
        )
        return PropertyCNNTrainer(PropertyCNN(config).to(device), data, recipe, mirror_offset)


def train_property_cnn(tuning: FineTuning[V2Recipe], data: TrainingPictures) -> tuple[PropertyCNN, str]:
    """The property CNN of the best epoch, and how well it reads people that had no part in it."""
    stage, statistics = tuning.stage, tuning.statistics
    mirror = float(-2 * statistics.mean[POSE] / statistics.std[POSE])
    trainer = property_cnn_trainer(stage, tuning.recipe, data, stage.device, mirror)
    run_training(stage, trainer, "v2_cnn", log_every=trainer.batches)
    network = trainer.best_network()
    if stage.writes:
        save_atomically(network.checkpoint(), stage.path(PROPERTY_CNN))
    read = trainer.held_out_reading()
    of_whom = f"on {read.pictures} pictures of people that it neither learned from nor was chosen by"
    each = ", ".join(f"{name} {r:.3f}" for name, r in zip(PROPERTY_NAMES, read.r, strict=True))
    stage.log(f"property CNN, r {of_whom}: {each}")
    return network, f"r {min(read.r):.2f} to {max(read.r):.2f} {of_whom}"


def start_dials(stage: Stage, model: DialGenerator, z: Tensor) -> None:
    """Give the dials the scale of w and, where there are candidates enough, linear directions."""
    with torch.no_grad():
        w = model.latent(z.to(stage.device))
    editor = candidate_latents.fit_editor(stage)
    directions = torch.zeros_like(model.dials.directions) if editor is None else editor.directions
    model.dials.start_from(w, directions)


@dataclass(frozen=True)
class PracticePictures:
    """Pictures that v1 draws for pairs of requests, two of each person, read by stages 03 and 04.

    `z` [M, z_dim], `requests` of M pairs, uint8 `label_maps` [M, 2, H, W]; of those pictures that have all
    seven scores: uint8 `images` [K, H, W, 3], normalised `scores` float32 [K, 7] and who they show, `people`
    int64 [K] from 0 to M - 1.
    """

    z: Tensor
    requests: RequestPairs
    label_maps: Rows
    images: Rows
    scores: Tensor
    people: Tensor

    def joined(self, data: TrainingPictures) -> TrainingPictures:
        """The filtered pictures and those of these that have seven scores: here properties that go together
        in the filtered pictures vary on their own.
        """
        count = len(data.images)
        images = JoinedRows(data.images, self.images)
        return TrainingPictures(
            images,
            torch.cat([data.properties, self.scores]),
            torch.cat([torch.arange(count), count + self.people]),
        )


def prepare_practice(tuning: FineTuning[V2Recipe]) -> PracticePictures:
    """Draw and read the practice pictures (once, by the first process; then they are read from disk)."""
    stage, recipe = tuning.stage, tuning.recipe
    generator = networks.load_v1(stage)
    z = sample_z(seeds.PRACTICE[: recipe.pool], 0, generator.z_space_dim)
    rng = torch.Generator().manual_seed(derived_seed(Purpose.PRACTICE_REQUESTS, recipe.seed))
    pairs = PairSampler(tuning.data.properties).draw(recipe.pool, rng)
    if stage.writes and not _is_drawn(stage):
        draw_practice(tuning, generator, z, pairs)
    Processes.of_this_run().wait()
    mend = "Remove it, and give the same command again."
    with stage.foreseen(ArrayFileError, mend=mend):
        stored = read_arrays(stage.path(PRACTICE), ("values", "valid"))
    values, valid = (torch.from_numpy(stored[name]) for name in ("values", "valid"))
    size = tuning.data.images.shape[1]
    images, label_maps = (stage.path(path).open("rb") for path in (PRACTICE_PICTURES, PRACTICE_LABEL_MAPS))
    return PracticePictures(
        z,
        pairs,
        StoredRows(label_maps, (2, size, size)),
        ChosenRows(near(StoredRows(images, (size, size, 3)), stage.device), valid.nonzero()[:, 0]),
        values[valid].float(),
        people=valid.nonzero()[:, 0] // 2,
    )


def draw_practice(tuning: FineTuning[V2Recipe], generator: nn.Module, z: Tensor, pairs: RequestPairs) -> None:
    """Write the practice pictures, their label maps and their scores."""
    stage = tuning.stage
    judge, read = networks.load_judge(stage, tuning.statistics), []
    with (
        stage.atomic(PRACTICE_PICTURES) as images_path,
        stage.atomic(PRACTICE_LABEL_MAPS) as maps_path,
        images_path.open("wb") as images_file,
        maps_path.open("wb") as maps_file,
        stage.progress(len(z), unit="people") as progress,
        torch.no_grad(),
    ):
        for rows in torch.arange(len(z)).split(32):
            requested = torch.stack([pairs.first[rows], pairs.second[rows]], dim=1).flatten(0, 1)
            people = z[rows].repeat_interleave(2, dim=0).to(stage.device)
            with mixed_precision(stage.device, "auto"):
                images = to_uint8(generator(people, requested.to(stage.device))["image"])
            values, valid, maps = judge.read(images)
            images_file.write(images.tobytes())
            maps_file.write(maps.tobytes())
            read.append((values, valid.all(axis=1)))
            progress.update(len(rows))
    values, valid = (np.concatenate(part) for part in zip(*read, strict=True))
    stage.write(PRACTICE, {"values": values, "valid": valid, "made_for": _made_for(stage)})


def _is_drawn(stage: Stage) -> bool:
    """Whether there are practice pictures, whole, made by a run with these options and inputs."""
    files = (PRACTICE, PRACTICE_PICTURES, PRACTICE_LABEL_MAPS)
    if not all(stage.path(relative).exists() for relative in files):
        return False
    try:
        stored = read_arrays(stage.path(PRACTICE), ("made_for",))
    except ArrayFileError:  # then it is drawn again
        return False
    return str(stored["made_for"]) == _made_for(stage)


def _made_for(stage: Stage) -> str:
    """What the scores of the pool belong to: the run, the pictures and their label maps."""
    files = (sha256_file(stage.path(relative)) for relative in (PRACTICE_PICTURES, PRACTICE_LABEL_MAPS))
    return " ".join([fingerprint(stage), *files])


def train_dials(
    tuning: FineTuning[V2Recipe], network: PropertyCNN, practice: PracticePictures
) -> DialGenerator:
    """Our recipe: dials around v1's frozen generator."""
    stage, recipe = tuning.stage, tuning.recipe
    # Else a run that goes on behind the property CNN would start elsewhere.
    torch.manual_seed(derived_seed(Purpose.DIAL_WEIGHTS, recipe.seed))
    model = DialGenerator(networks.load_v1(stage), network).to(stage.device).eval()
    start_dials(stage, model, practice.z)
    pool = DialPool(practice.z, practice.requests, practice.label_maps)
    identity, filters = networks.load_identity(stage), candidate_latents.load_filters(stage)
    adversary = None
    if recipe.adversary_weight > 0:
        _, discriminator = networks.load_base(stage)
        adversary = Adversary(discriminator, tuning.data, recipe)
    trainer = DialTrainer(model, pool, recipe, identity, filters, adversary)
    tuning.train(trainer, lambda: tuning.preview(model))
    return trainer.averaged()


def train_by_document(tuning: FineTuning[V2Recipe], network: PropertyCNN) -> ConditionedGenerator:
    """The document's recipe: v1's generator itself learns from the property CNN."""
    model = networks.load_v1(tuning.stage)
    trainer = DocumentV2Trainer(model, network, tuning.data, tuning.recipe)
    tuning.train(trainer, lambda: tuning.preview(model))
    return model


def run(stage: Stage, recipe: V2Recipe) -> None:
    """Train the property CNN and the dials, save, measure."""
    tuning = FineTuning(stage, recipe, "v2")
    model: Dialled
    if recipe.recipe == "document":
        network, reading = train_property_cnn(tuning, tuning.data)
        model = train_by_document(tuning, network)
    else:
        practice = prepare_practice(tuning)
        network, reading = train_property_cnn(tuning, practice.joined(tuning.data))
        model = train_dials(tuning, network, practice)
    tuning.finish(model, {"property CNN": reading})
