"""Every network of a workspace, loaded and checked: generators, filters, judges, and the segmenter.

The training scores are measured on what stage 03 cut out and parsed. A picture that is cut out or parsed
otherwise gets scores on another scale, so everybody takes the segmenter from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

from torch import nn

from cnn.identity import load_embedder
from cnn.models import load_filter_cnn
from cnn.oracle import Oracle, load_oracle
from scripts.pipeline import Input, MissingInputError, Stage, Tool, UserError, files, records
from scripts.pipeline.records import input_state
from scripts.stages.workspace import (
    ENCODER,
    FACES,
    FILTER_NETWORK,
    GENERATOR,
    GENERATORS,
    IDENTITY_NETWORK,
    MTCNN_INPUTS,
    ORACLE,
    PARSER,
    PROPERTY_CNN,
    SEGMENTATION_MODELS,
)
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import load_facexformer
from segmentation.normalization import ScoreStatistics
from segmentation.property_judge import PropertyJudge
from segmentation.segmenter import Segmenter
from segmentation.segmenter_settings import SegmenterSettings
from stylegan.checkpoint import (
    CheckpointError,
    build_discriminator,
    build_generator,
    fresh_discriminator,
    load_checkpoint,
)
from stylegan.interface import Discriminator, Generator
from stylegan.weights_file import WeightsFileError, read_torch
from stylegan_modified.generator_files import Dialled, load_conditioned, load_dialled
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator import ConditionedGenerator, build_conditioned_generator
from stylegan_modified.stylegan_generator_v3 import Encoder

SEGMENTING = "03_segment_faces"
SCORING = "04_compute_property_scores"
PRECISION = "precision.json"  # beside the stage's record: the arithmetic that --precision auto chose


@dataclass(frozen=True)
class Segmentation:
    """How stage 03 read the pictures of a workspace.

    Attributes:
        parser: weights of the parser, workspace-relative.
        settings: of the cropper and the parser.
        weights: what identifies the files of the parser and the detector, by workspace-relative path.
    """

    parser: str
    settings: SegmenterSettings
    weights: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Everything that changes a reading, as plain JSON."""
        return asdict(self)


def recorded_segmentation(tool: Tool) -> Segmentation:
    """What the record of stage 03 says; options that it does not know have their defaults.

    Raises:
        MissingInputError: there is no record of a finished stage 03.
        UserError: since then a weights file was exchanged, or faces were segmented that 04 has not scored.
    """
    record = records.read(tool.workspace, SEGMENTING)
    if record is None or record["state"] != "complete":
        raise MissingInputError(
            f"it reads pictures as {SEGMENTING} did, with the same networks and settings, and no finished "
            f"{SEGMENTING} is recorded in {tool.workspace}. Run it:\n    {tool.command(SEGMENTING)}"
        )
    options = record.get("depends_on", {}).get("options", {})
    given = {field.name: options[field.name] for field in fields(SegmenterSettings) if field.name in options}
    if given.get("precision", "auto") == "auto":
        given["precision"] = _chosen_precision(tool)
    parser = options.get("parser", PARSER)
    paths = (parser, *(item.path for item in MTCNN_INPUTS))
    again = f"Bring it back, or segment anew:\n    {tool.command(SEGMENTING, '--force')}"
    _check_same(tool, SEGMENTING, paths, again)
    _check_same(tool, SCORING, [FACES], f"Score the faces anew:\n    {tool.command(SCORING, '--force')}")
    weights = {path: input_state(Input(path), tool.workspace) for path in paths}
    return Segmentation(parser, SegmenterSettings(**given), weights)


def _check_same(tool: Tool, maker: str, paths: Iterable[str], mend: str) -> None:
    """Raise `UserError` if a recorded stage read one of these files as another than it is now."""
    record = records.read(tool.workspace, maker) or {}
    known = record.get("depends_on", {}).get("inputs", {})
    for path in paths:
        if path in known and known[path] != input_state(Input(path), tool.workspace):
            raise UserError(
                f"{path} is not the file that {maker} read: it was exchanged, damaged or removed since, so "
                f"pictures would be read on another scale than the training scores. {mend}"
            )


def record_precision(stage: Stage, precision: str) -> None:
    """Note the arithmetic that stage 03 chose, for those who read pictures later."""
    files.write(stage.folder / PRECISION, {"precision": precision})


def _chosen_precision(tool: Tool) -> str:
    path = records.stage_folder(tool.workspace, SEGMENTING) / PRECISION
    try:
        return files.read_json(path)["precision"]
    except (FileNotFoundError, files.TextFileError, KeyError):  # made before the choice was noted
        return SegmenterSettings.precision


def build_segmenter(
    tool: Tool,
    parser: str,
    settings: SegmenterSettings,
    batch_size: int = 64,
    further_tasks: Sequence[str] = (),
) -> Segmenter:
    """The segmenter with weights of the workspace; the detector's are the package's where it has none.

    Args:
        tool: decides the device.
        parser: weights of the parser, workspace-relative.
        settings: of the cropper and the parser.
        batch_size: pictures at once; halved when memory runs out.
        further_tasks: see `Segmenter`.

    Raises:
        UserError: a file is missing or damaged.
    """

    mend = f"Fetch it anew:\n    {tool.command('00_fetch_weights', '--force')}"
    with tool.foreseen(ValueError, OSError, mend=mend):
        return Segmenter(
            load_facexformer(tool.workspace / parser).to(tool.device),
            settings,
            tool.workspace / SEGMENTATION_MODELS,
            batch_size,
            further_tasks,
            lambda size: tool.log(f"memory ran out; pictures at once from now on: {size}"),
        )


def load_segmenter(tool: Tool) -> Segmenter:
    """The segmenter of stage 03, with the settings and weights with which it read the pictures.

    Raises:
        UserError: see `recorded_segmentation` and `build_segmenter`.
    """
    found = recorded_segmentation(tool)
    return build_segmenter(tool, found.parser, found.settings)


def load_cropper(tool: Tool, min_face: float) -> FaceCropper:
    """The cropper of stage 03, for faces down to a share `min_face` of the picture's shorter side.

    Raises:
        UserError: see `recorded_segmentation`; a file of the detector is damaged.
    """
    settings = recorded_segmentation(tool).settings
    mend = f"Fetch it anew:\n    {tool.command('00_fetch_weights', '--force')}"
    with tool.foreseen(ValueError, mend=mend):
        smallest = min(min_face, settings.min_face)
        folder = tool.workspace / SEGMENTATION_MODELS
        return FaceCropper(tool.device, settings.detection_size, smallest, settings.margin, weights=folder)


def load_judge(tool: Tool, statistics: ScoreStatistics) -> PropertyJudge:
    """Reads normalised properties from pictures, as stages 03 and 04 read the training pictures.

    Raises:
        UserError: see `load_segmenter`.
    """
    return PropertyJudge(load_segmenter(tool), statistics)


def load_base(tool: Tool) -> tuple[Generator, Discriminator]:
    """The original generator and discriminator on the stage's device, in eval mode.

    Where the file has no discriminator, an untrained one takes its place: only 05's comparison needs it.
    """
    tool.check_unchanged(GENERATOR)
    with tool.foreseen(CheckpointError, OSError, mend=tool.command("00_fetch_weights", "--force")):
        checkpoint = load_checkpoint(tool.workspace / GENERATOR)
        generator = build_generator(checkpoint).to(tool.device)
        if checkpoint.discriminator is not None:
            return generator, build_discriminator(checkpoint).to(tool.device)
    tool.log(
        f"{GENERATOR} has no discriminator, so an untrained one takes its place. 05_fine_tune_v1 trains the "
        "dense layers of it, so its comparison of pictures and properties is weaker; nothing else needs it."
    )
    return generator, fresh_discriminator(checkpoint).to(tool.device)


def load_filter(tool: Tool, name: str) -> nn.Module:
    """The "gender" or "quality" network of the filter stage, frozen: pictures to logits of woman or good."""
    relative = FILTER_NETWORK.format(name, 0)
    tool.check_unchanged(relative)
    with tool.foreseen(ValueError, OSError, mend=tool.command("02_filter_candidates", "--force")):
        network, _ = load_filter_cnn(tool.workspace / relative, tool.device)
    return network.requires_grad_(False)


def load_judging_oracle(tool: Tool) -> Oracle | None:
    """The oracle that judges generators, or None where the workspace has none."""
    path = tool.workspace / ORACLE
    if not path.exists():
        return None
    with tool.foreseen(ValueError, OSError, mend=tool.command("00_fetch_weights", "--force")):
        return load_oracle(path, tool.device)


def load_identity(tool: Tool) -> nn.Module | None:
    """The frozen network that tells people apart in the losses, or None where the preset has none."""
    path = tool.workspace / IDENTITY_NETWORK
    if not path.exists():
        tool.log("no identity network in the workspace; training goes on without the same-person term")
        return None
    with tool.foreseen(ValueError, OSError, mend=tool.command("00_fetch_weights", "--force")):
        return load_embedder(path, tool.device)


def load_torch_file(tool: Tool, relative: str, maker: str) -> dict[str, Any]:
    """A file of tensors and plain values written by an earlier stage; anything else is a `UserError`."""
    tool.check_unchanged(relative)
    with tool.foreseen(WeightsFileError, mend=f"Make it anew: {tool.command(maker, '--force')}"):
        content = read_torch(tool.workspace / relative)
        if not isinstance(content, dict):
            raise WeightsFileError(f"{relative} holds no table of weights.")
        return content


def load_generator(tool: Tool, version: str) -> Dialled:
    """The generator "base", "v1", "v2" or "v3", in eval mode on the device."""
    file = GENERATORS[version]
    path = file.locate(tool.workspace)
    if version == "v1":
        return load_v1(tool)
    tool.check_unchanged(file.path)
    if version == "base":
        with tool.foreseen(CheckpointError, OSError):
            return build_conditioned_generator(load_checkpoint(path)).to(tool.device)
    with tool.foreseen(ValueError, mend=tool.command(file.made_by, "--force")):
        return load_dialled(path, partial(load_property_cnn, tool)).to(tool.device)


def load_v1(tool: Tool) -> ConditionedGenerator:
    """The generator of v1, in eval mode on the device."""
    file = GENERATORS["v1"]
    tool.check_unchanged(file.path)
    with tool.foreseen(CheckpointError, OSError):
        return load_conditioned(file.locate(tool.workspace)).to(tool.device)


def load_encoder(tool: Tool) -> tuple[Encoder, PropertyCNN]:
    """v3's encoder and the property CNN that reads given pictures, in eval mode on the device."""
    with tool.foreseen(ValueError, mend=tool.command("07_fine_tune_v3", "--force")):
        encoder = Encoder.from_checkpoint(load_torch_file(tool, ENCODER, "07_fine_tune_v3"))
    return encoder.to(tool.device), load_property_cnn(tool).to(tool.device)


def load_property_cnn(tool: Tool) -> PropertyCNN:
    """v2's property CNN, in eval mode on the CPU."""
    maker = "06_fine_tune_v2"
    with tool.foreseen(ValueError, mend=tool.command(maker, "--force")):
        return PropertyCNN.from_checkpoint(load_torch_file(tool, PROPERTY_CNN, maker))
