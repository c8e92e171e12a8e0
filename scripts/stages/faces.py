"""What the fine-tuning scripts share: training pictures, frozen networks and generators by version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.pipeline import Input, Stage, Tool, UserError, files
from scripts.pipeline.image_files import ImageFileError, read_image
from scripts.stages.stored_rows import store_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor, nn

    from segmentation.normalization import ScoreStatistics
    from stylegan_modified.evaluation import Generate
    from stylegan_modified.fine_tuning import LoopState, TrainingPictures
    from stylegan_modified.property_cnn import PropertyCNN
    from stylegan_modified.stylegan_generator_v3 import Encoder

SCORES = "segmentation/property_score_results/all_scores_v3.csv"
STATISTICS = "segmentation/property_score_results/score_statistics.json"
BASE = "stylegan/stylegan_model.pth"
ORACLE = "judge/oracle.safetensors"  # the embedded world's judge; not part of the document
IDENTITY = "stylegan_modified/identity_network.safetensors"
PARSER_FILES = (
    "segmentation/models/segmentation_model.safetensors",
    "segmentation/models/segmentation_model.pt",
)
PREVIEW_SEEDS = tuple(range(4))

SCORE_INPUTS = (
    Input(SCORES, made_by="04_compute_property_scores"),
    Input(STATISTICS, made_by="04_compute_property_scores"),
    Input(BASE, made_by="00_fetch_weights"),
)
FILTER_INPUTS = tuple(
    Input(f"cnn/models/{name}_model_0.pt", made_by="02_filter_candidates") for name in ("gender", "quality")
)
ORACLE_INPUT = Input(ORACLE, made_by="00_fetch_weights", optional=True)
IDENTITY_INPUT = Input(IDENTITY, made_by="00_fetch_weights", optional=True)

GENERATOR_FILES = {
    "v1": "stylegan_modified/stylegan_gen_fine_tuned_v1.pth",
    "v2": "stylegan_modified/stylegan_gen_fine_tuned_v2.pth",
    "v3": "stylegan_modified/stylegan_gen_fine_tuned_v3.pth",
}
PROPERTY_CNN = "stylegan_modified/stylegan_gen_fine_tuned_v2_cnn.pth"
ENCODER = "stylegan_modified/stylegan_gen_fine_tuned_v3_encoder.pth"


def score_columns() -> list[str]:
    """Columns of the seven scores."""
    from segmentation.property_table import PROPERTY_NAMES

    return [f"{name}_score" for name in PROPERTY_NAMES]


def training_table(stage: Stage) -> tuple[pd.DataFrame, int]:
    """Rows of the filtered pictures with seven valid scores of algorithm 3, and how many have none.

    Raises:
        UserError: fewer than 8 pictures are usable.
    """
    listed = stage.read_csv(SCORES, ["img_no", "img_path", "valid", *score_columns()])
    table = _valid_rows(stage, listed, score_columns())
    if len(table) < 8:
        raise UserError(
            f"only {len(table)} pictures have seven valid scores in {SCORES}, too few to learn from. "
            f"Generate more: {stage.command('01_generate_candidates', '--count', '4000', '--force')}"
        )
    return table, len(listed) - len(table)


def load_training_pictures(stage: Stage) -> TrainingPictures:
    """Filtered pictures with seven valid scores of algorithm 3, joined on img_no through the score table.

    Raises:
        UserError: fewer than 8 pictures are usable, or one of them cannot be read.
    """
    import numpy as np
    import torch

    from stylegan_modified.fine_tuning import TrainingPictures

    table, unusable = training_table(stage)
    stage.count("pictures to learn from", len(table), unusable)
    with stage.foreseen(ValueError, mend=stage.command("01_generate_candidates", "--force")):
        images = store_rows(stage.workspace, (read_picture(stage, path)[None] for path in table["img_path"]))
    properties = torch.from_numpy(table[score_columns()].to_numpy(np.float32))
    return TrainingPictures(images, properties)


def read_scores(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Image numbers int64 [N] and normalised scores float32 [N, 7] of the pictures with seven valid ones."""
    import numpy as np

    columns = score_columns()
    table = stage.read_csv(SCORES, ["img_no", "valid", *columns])
    table = _valid_rows(stage, table, columns)
    if len(table) < 2:
        raise UserError(
            f"only {len(table)} pictures have seven valid scores in {SCORES}, so there is nothing to "
            f"compare with. Generate more: {stage.command('01_generate_candidates', '--force')}"
        )
    return table["img_no"].to_numpy(np.int64), table[columns].to_numpy(np.float32)


def _valid_rows(stage: Stage, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The faces that the table calls valid; `UserError` if one of them has no seven numbers."""
    import numpy as np
    import pandas as pd

    rows = table[table["valid"].eq(True)]
    scores = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if table["valid"].isna().any() or not np.isfinite(scores).all():
        raise UserError(
            f"{SCORES} is damaged: a face has no seven numbers, or nothing says whether it is valid. Make it "
            f"anew: {stage.command('04_compute_property_scores', '--force')}"
        )
    return rows


def read_picture(tool: Tool, relative: str) -> np.ndarray:
    """A picture of the workspace as uint8 [H, W, 3] RGB; an unreadable one is a `UserError`."""
    try:
        return read_image(tool.workspace / relative, tool.recorded_sha256(relative))
    except ImageFileError as error:
        raise UserError(
            f"{relative} cannot be used ({error}), so what the tables say of it has no picture. Bring it "
            f"back, or make the pictures anew: {tool.command('01_generate_candidates', '--force')}"
        ) from error


def load_statistics(tool: Tool) -> ScoreStatistics:
    """Means, standard deviations and percentiles of the training scores ."""
    from segmentation.normalization import ScoreStatistics
    from segmentation.property_table import LABEL_ALGORITHM

    path = tool.workspace / STATISTICS
    tool.check_unchanged(STATISTICS)
    mend = f"Make {STATISTICS} anew: {tool.command('04_compute_property_scores', '--force')}"
    with tool.foreseen(OSError, ValueError, LookupError, TypeError, AttributeError, mend=mend):
        return ScoreStatistics.from_dict(files.read_json(path)[f"algorithm_{LABEL_ALGORITHM}"])


def sweep_levels(statistics: ScoreStatistics) -> np.ndarray:
    """Normalised scores at the 5th, 25th, 50th, 75th and 95th percentile: float64 [5, 7]."""
    return statistics.normalized_percentiles()[:, 1:6].T


def load_base(tool: Tool) -> tuple[nn.Module, nn.Module]:
    """The original generator and discriminator on the stage's device, in eval mode.

    Where the file has no discriminator, an untrained one takes its place: only 05's comparison needs it.
    """
    from stylegan.checkpoint import (
        CheckpointError,
        build_discriminator,
        build_generator,
        fresh_discriminator,
        load_checkpoint,
    )

    tool.check_unchanged(BASE)
    with tool.foreseen(CheckpointError, OSError, mend=tool.command("00_fetch_weights", "--force")):
        checkpoint = load_checkpoint(tool.workspace / BASE)
        generator = build_generator(checkpoint).to(tool.device)
        if checkpoint.discriminator is not None:
            return generator, build_discriminator(checkpoint).to(tool.device)
    tool.log(
        f"{BASE} has no discriminator, so an untrained one takes its place. 05_fine_tune_v1 trains the dense "
        "layers of it, so its comparison of pictures and properties is weaker; nothing else needs it."
    )
    return generator, fresh_discriminator(checkpoint).to(tool.device)


def load_filter(tool: Tool, name: str) -> nn.Module:
    """The "gender" or "quality" network of the filter stage, frozen: pictures to logits of woman or good."""
    from cnn.models import load_filter_cnn

    relative = f"cnn/models/{name}_model_0.pt"
    tool.check_unchanged(relative)
    with tool.foreseen(ValueError, OSError, mend=tool.command("02_filter_candidates", "--force")):
        network, _ = load_filter_cnn(tool.workspace / relative, tool.device)
    return network.requires_grad_(False)


def load_identity(tool: Tool) -> nn.Module | None:
    """The frozen network that tells people apart in the losses, or None where the preset has none."""
    from cnn.identity import load_embedder

    path = tool.workspace / IDENTITY
    if not path.exists():
        tool.log("no identity network in the workspace; training goes on without the same-person term")
        return None
    with tool.foreseen(ValueError, OSError, mend=tool.command("00_fetch_weights", "--force")):
        return load_embedder(path, tool.device)


def load_torch_file(tool: Tool, relative: str, maker: str) -> dict[str, Any]:
    """A file of tensors and plain values written by an earlier stage; anything else is a `UserError`."""
    from stylegan.weights_file import WeightsFileError, read_torch

    tool.check_unchanged(relative)
    with tool.foreseen(WeightsFileError, mend=f"Make it anew: {tool.command(maker, '--force')}"):
        content = read_torch(tool.workspace / relative)
        if not isinstance(content, dict):
            raise WeightsFileError(f"{relative} holds no table of weights.")
        return content


def load_generator(tool: Tool, version: str) -> nn.Module:
    """A fine-tuned generator ("v1", "v2" or "v3") or the original one ("base"), in eval mode on the
    device.
    """
    from stylegan.checkpoint import CheckpointError, load_checkpoint
    from stylegan_modified.generator_files import load_conditioned, load_dialled
    from stylegan_modified.property_cnn import PropertyCNN
    from stylegan_modified.stylegan_generator import build_conditioned_generator

    relative = BASE if version == "base" else GENERATOR_FILES[version]
    path = tool.workspace / relative
    tool.check_unchanged(relative)
    if version in ("base", "v1"):
        with tool.foreseen(CheckpointError, OSError):
            if version == "v1":
                return load_conditioned(path).to(tool.device)
            return build_conditioned_generator(load_checkpoint(path)).to(tool.device)

    def load_reader() -> PropertyCNN:
        return PropertyCNN.from_checkpoint(load_torch_file(tool, PROPERTY_CNN, "06_fine_tune_v2"))

    maker = "06_fine_tune_v2" if version == "v2" else "07_fine_tune_v3"
    with tool.foreseen(ValueError, mend=tool.command(maker, "--force")):
        return load_dialled(path, load_reader).to(tool.device)


def load_encoder(tool: Tool) -> tuple[Encoder, PropertyCNN]:
    """v3's encoder and the property CNN that reads given pictures, in eval mode on the device."""
    from stylegan_modified.property_cnn import PropertyCNN
    from stylegan_modified.stylegan_generator_v3 import Encoder

    with tool.foreseen(ValueError, mend=tool.command("07_fine_tune_v3", "--force")):
        encoder = Encoder.from_checkpoint(load_torch_file(tool, ENCODER, "07_fine_tune_v3"))
    with tool.foreseen(ValueError, mend=tool.command("06_fine_tune_v2", "--force")):
        reader = PropertyCNN.from_checkpoint(load_torch_file(tool, PROPERTY_CNN, "06_fine_tune_v2"))
    return encoder.to(tool.device), reader.to(tool.device)


def preview_grid(generate: Generate, statistics: ScoreStatistics, z: Tensor) -> Any:
    """Picture: rows of people, each property at its 5th, 50th and 95th percentile, others at the median."""
    from scripts.pipeline.pictures import labelled_grid
    from segmentation.property_table import PROPERTY_NAMES
    from stylegan_modified.evaluation import run_sweep

    sweep = run_sweep(generate, z, sweep_levels(statistics)[[0, 2, 4]])
    rows = [person.reshape(-1, *person.shape[2:]) for person in sweep.images]
    columns = [f"{name} {level}" for name in PROPERTY_NAMES for level in ("5%", "50%", "95%")]
    return labelled_grid(rows, [f"seed {seed}" for seed in PREVIEW_SEEDS[: len(z)]], columns)


def history_frame(state: LoopState) -> Any:
    """Log rows of a training run as a table."""
    import pandas as pd

    return pd.DataFrame(state.rows).round(6)
