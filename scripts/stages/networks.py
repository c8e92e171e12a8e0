"""Every network of a workspace, loaded and checked: generators, filters, judges, and the segmenter.

The training scores are measured on what stage 03 cut out and parsed. A picture that is cut out or parsed
otherwise gets scores on another scale, so everybody takes the segmenter from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from cnn.identity import load_embedder
from cnn.models import load_filter_cnn
from cnn.onnx_networks import GenderJudge
from cnn.oracle import Oracle, load_oracle
from cnn.people_judges import PeopleJudges
from cvae.dialled import DialledVAE
from scripts.pipeline import Input, MissingInputError, Stage, Tool, UserError, files, records, tables
from scripts.pipeline.records import input_state
from scripts.stages.image_files import image_size
from scripts.stages.workspace import (
    CANDIDATES,
    ENCODER_INPUT,
    FACES,
    FILTER_INPUTS,
    FILTERS,
    GENERATOR,
    GENERATOR_INPUT,
    GENERATORS,
    IDENTITY_INPUT,
    MTCNN_INPUTS,
    ORACLE_INPUT,
    PARSER,
    PEOPLE_JUDGE_INPUTS,
    PROPERTY_CNN_INPUT,
    SEGMENTATION_MODELS,
)
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import load_facexformer
from segmentation.normalization import ScoreStatistics
from segmentation.property_judge import PropertyJudge
from segmentation.segmenter import Segmenter
from segmentation.segmenter_settings import SegmenterSettings
from stylegan.checkpoint import build_discriminator, build_generator, fresh_discriminator, load_checkpoint
from stylegan.interface import Discriminator, Generator
from stylegan.weights_file import read_torch
from stylegan_modified.generator_files import Dialled, load_conditioned, load_dialled
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator import ConditionedGenerator, build_conditioned_generator
from stylegan_modified.stylegan_generator_v3 import Encoder

GENERATING = "01_generate_candidates"
SEGMENTING = "03_segment_faces"
SCORING = "04_compute_property_scores"
Network = TypeVar("Network", bound=nn.Module)
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


@contextmanager
def usable(tool: Tool, item: Input) -> Iterator[Path]:
    """Path of a workspace file as its maker wrote it; what is wrong with it becomes a `UserError`."""
    tool.check_unchanged(item.path)
    mend = f"Make it anew: {tool.command(item.made_by, '--force')}"
    with tool.foreseen(ValueError, OSError, mend=mend):
        yield item.locate(tool.workspace)


def build_segmenter(
    tool: Tool,
    parser: str,
    settings: SegmenterSettings,
    batch_size: int = 64,
    further_tasks: Sequence[str] = (),
) -> Segmenter:
    """A `Segmenter` whose parser is the file `parser`; a detector the workspace lacks is the package's."""
    with usable(tool, Input(parser, made_by="00_fetch_weights")) as path:
        return Segmenter(
            load_facexformer(path).to(tool.device),
            settings,
            tool.workspace / SEGMENTATION_MODELS,
            batch_size,
            further_tasks,
            lambda size: tool.log(f"memory ran out; pictures at once from now on: {size}"),
        )


def load_segmenter(tool: Tool) -> Segmenter:
    """The segmenter of stage 03, with the settings and weights with which it read the pictures."""
    found = recorded_segmentation(tool)
    return build_segmenter(tool, found.parser, found.settings)


def load_cropper(tool: Tool, min_face: float) -> FaceCropper:
    """The cropper of stage 03, for faces down to a share `min_face` of the picture's shorter side."""
    settings = recorded_segmentation(tool).settings
    smallest = min(min_face, settings.min_face)
    with usable(tool, Input(SEGMENTATION_MODELS, made_by="00_fetch_weights")) as folder:
        return FaceCropper(tool.device, settings.detection_size, smallest, settings.margin, weights=folder)


def load_judge(tool: Tool, statistics: ScoreStatistics) -> PropertyJudge:
    """Reads normalised properties from pictures, as stages 03 and 04 read the training pictures."""
    return PropertyJudge(load_segmenter(tool), statistics)


def load_base(tool: Tool) -> tuple[Generator, Discriminator]:
    """The original generator and discriminator on the stage's device, in eval mode.

    Where the file has no discriminator, an untrained one takes its place.
    """
    with usable(tool, GENERATOR_INPUT) as path:
        checkpoint = load_checkpoint(path)
        generator = build_generator(checkpoint).to(tool.device)
        if checkpoint.discriminator is not None:
            return generator, build_discriminator(checkpoint).to(tool.device)
    tool.log(
        f"{GENERATOR} has no discriminator, so an untrained one takes its place. 05_fine_tune_v1 trains the "
        "dense layers of it, so its comparison of pictures and properties is weaker; the adversary of "
        "06_fine_tune_v2 begins with nothing."
    )
    return generator, fresh_discriminator(checkpoint).to(tool.device)


def load_filter(tool: Tool, name: str) -> nn.Module:
    """The "gender" or "quality" network of the filter stage, frozen: pictures to logits of woman or good."""
    with usable(tool, FILTER_INPUTS[FILTERS.index(name)]) as path:
        return load_filter_cnn(path, tool.device)[0].requires_grad_(False)


def load_judging_oracle(tool: Tool) -> Oracle | None:
    """The oracle that judges generators, or None where the workspace has none."""
    with usable(tool, ORACLE_INPUT) as path:
        return load_oracle(path, tool.device) if path.exists() else None


def load_people_judges(tool: Tool) -> PeopleJudges:
    """The networks of the workspace that judge who generated pictures show; none of them is in a loss."""

    def load(item: Input, read: Callable[[Path], Network]) -> Network | None:
        with usable(tool, item) as path:
            try:
                return read(path) if path.exists() else None
            except ImportError as error:  # onnxruntime
                tool.log(f"{item.path} does not judge: {error}")
                return None

    _, identity, gender = PEOPLE_JUDGE_INPUTS
    return PeopleJudges(
        load_judging_oracle(tool),
        load(identity, lambda path: load_embedder(path, tool.device)),
        load(gender, GenderJudge),
    )


def load_identity(tool: Tool) -> nn.Module | None:
    """The frozen network that tells people apart in the losses, or None where the preset has none."""
    with usable(tool, IDENTITY_INPUT) as path:
        if path.exists():
            return load_embedder(path, tool.device)
    tool.log("no identity network in the workspace; training goes on without the same-person term")
    return None


def load_generator(tool: Tool, version: str) -> Dialled | DialledVAE:
    """The generator "base", "cvae", "v1", "v2" or "v3", in eval mode on the device."""
    if version == "v1":
        return load_v1(tool)
    with usable(tool, GENERATORS[version]) as path:
        if version == "cvae":
            return DialledVAE.from_checkpoint(read_table(path), candidate_size(tool)).to(tool.device)
        if version == "base":
            return build_conditioned_generator(load_checkpoint(path)).to(tool.device)
        return load_dialled(path, partial(load_property_cnn, tool)).to(tool.device)


def is_v3_around_v2(tool: Tool) -> bool:
    """Whether v3 is v2's generator with an encoder, as stage 07 makes it, unless v2 is newer."""
    of_v2, of_v3 = (input_state(GENERATORS[version], tool.workspace) for version in ("v2", "v3"))
    return of_v2 == of_v3 != "absent"


def candidate_size(tool: Tool) -> int:
    """Height and width in pixels of the pictures of stage 01, in which the judges expect faces."""
    table = tables.read_csv(tool.workspace / CANDIDATES, ("img_path",), tool.command(GENERATING))
    return image_size(tool.workspace / table["img_path"].iloc[0])[0]


def load_v1(tool: Tool) -> ConditionedGenerator:
    """The generator of v1, in eval mode on the device."""
    with usable(tool, GENERATORS["v1"]) as path:
        return load_conditioned(path).to(tool.device)


def load_encoder(tool: Tool) -> tuple[Encoder, PropertyCNN]:
    """v3's encoder and the property CNN that reads given pictures, in eval mode on the device."""
    with usable(tool, ENCODER_INPUT) as path:
        encoder = Encoder.from_checkpoint(read_table(path))
    return encoder.to(tool.device), load_property_cnn(tool).to(tool.device)


def load_property_cnn(tool: Tool) -> PropertyCNN:
    """v2's property CNN, in eval mode on the CPU."""
    with usable(tool, PROPERTY_CNN_INPUT) as path:
        return PropertyCNN.from_checkpoint(read_table(path))


def read_table(path: Path) -> dict[str, Any]:
    """The tensors and plain values of a file, by name; `ValueError` if it holds something else."""
    content = read_torch(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no table of weights.")
    return content
