"""FaceXFormer: one network for face parsing, landmarks, head pose, attributes and more.

Architecture and entry names of Narayan et al., "FaceXFormer: A Unified Transformer for Facial Analysis"
(2024), so that the published checkpoint loads unchanged. A narrower `FaceXFormerConfig` gives a small network
of the same code.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer

from segmentation.facexformer_config import (
    MASK_PX,
    SINGLE_TASKS,
    TASKS,
    FaceXFormerConfig,
    FaceXFormerWeightsError,
)
from segmentation.familiarity import Familiarity, describe
from segmentation.mask_refinement import MaskRefinement
from segmentation.transformer import MLP, LayerNorm2d, RandomFourierPosition, TwoWayTransformer
from stylegan.nested_tables import find_tables
from stylegan.weights_file import (
    WeightsFileError,
    is_safetensors,
    read_json_entry,
    read_safetensors,
    read_torch,
)

PUBLISHED = "state_dict_backbone"
FAMILIAR_DIRECTIONS = "familiarity.directions"
FIRST_ENTRY = "backbone.0.0.0.weight"  # by which its table is known, if a file calls it otherwise
_MODULE_NAMES = {task: task for task in SINGLE_TASKS} | {"headpose": "pose", "attributes": "attribute"}


class StageProjection(nn.Module):
    """Brings one backbone stage to the decoder's width."""

    def __init__(self, input_dim: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(input_dim, width)

    def forward(self, features: Tensor) -> Tensor:
        """Maps channels-last features `[N, H, W, input_dim]` to `[N, width, H, W]`."""
        return self.proj(features).permute(0, 3, 1, 2)


class FaceDecoder(nn.Module):
    """Reads the image with one token per task, and one per class of the segmentation."""

    def __init__(self, config: FaceXFormerConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.transformer = TwoWayTransformer(
            config.decoder_depth, width, config.decoder_head_count, config.decoder_mlp_width
        )
        for task, name in _MODULE_NAMES.items():
            self.add_module(f"{name}_token", nn.Embedding(1, width))
            self.add_module(f"{name}_prediction_head", MLP(width, width, TASKS[task], 3))
        self.mask_tokens = nn.Embedding(TASKS["segmentation"], width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, kernel_size=2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetwork_mlps = MLP(width, width, width // 8, 3)

    def forward(self, features: Tensor, position: Tensor, tasks: Iterable[str]) -> dict[str, Tensor]:
        """Predicts the asked tasks.

        Args:
            features: fused backbone features `[N, width, H, W]`.
            position: position encoding `[1, H*W, width]`.
            tasks: names from `TASKS`.

        Returns:
            one entry per task: `[N, size]`, and `[N, 11, 4H, 4W]` logits for the segmentation.
        """
        count, _, height, width = features.shape
        embeddings = [self.get_parameter(f"{_MODULE_NAMES[task]}_token.weight") for task in SINGLE_TASKS]
        tokens = torch.cat([*embeddings, self.mask_tokens.weight]).expand(count, -1, -1)
        # Every token takes part in every call: self-attention mixes them, so leaving some out would change
        # the rest.
        tokens, image = self.transformer(features.flatten(2).transpose(1, 2), position, tokens)

        outputs = {}
        for index, task in enumerate(SINGLE_TASKS):
            if task in tasks:
                head = self.get_submodule(f"{_MODULE_NAMES[task]}_prediction_head")
                outputs[task] = head(tokens[:, index])
        if "segmentation" in tasks:
            upscaled = self.output_upscaling(image.transpose(1, 2).unflatten(2, (height, width)))
            filters = self.output_hypernetwork_mlps(tokens[:, len(SINGLE_TASKS) :])
            outputs["segmentation"] = (filters @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
        return outputs


class FaceXFormer(nn.Module):
    """Swin backbone, multi-scale fusion and the token decoder."""

    def __init__(self, config: FaceXFormerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FaceXFormerConfig()
        self.trained_tasks = tuple(TASKS)
        """Outputs that mean something: `load_facexformer` knows which heads the weights were trained for."""
        swin = SwinTransformer(
            patch_size=[config.patch_size] * 2,
            embed_dim=config.embed_dim,
            depths=list(config.depths),
            num_heads=list(config.head_counts),
            window_size=[config.window_size] * 2,
            mlp_ratio=config.mlp_ratio,
            stochastic_depth_prob=0.0,
            num_classes=1,
        )
        # The norm after the last stage belongs to the checkpoint, but no output of FaceXFormer passes it.
        self.backbone = nn.Sequential(swin.features, swin.norm)
        width = config.decoder_width
        self.linear_c = nn.ModuleList(
            StageProjection(config.embed_dim * 2**stage, width) for stage in range(4)
        )
        self.linear_fuse = nn.Conv2d(4 * width, width, kernel_size=1, bias=False)
        self.pe_layer = RandomFourierPosition(width)
        self.face_decoder = FaceDecoder(config)
        self.refinement: MaskRefinement | None = None
        if config.refinement_width:
            scale = config.patch_size // MASK_PX
            self.refinement = MaskRefinement(TASKS["segmentation"], config.refinement_width, scale)
        self.familiarity: Familiarity | None
        self.register_module("familiarity", None)  # the published weights have none

    def stage_features(self, images: Tensor, precision: torch.dtype = torch.float32) -> list[Tensor]:
        """Backbone features after each of the four stages, channels last.

        From `[N, H/4, W/4, C]` to `[N, H/32, W/32, 8C]` for patches of 4 pixels.
        """
        # Only the Swin blocks, which are most of the work: the sum that runs through them stays float32 if
        # what enters them is, and that keeps most of the accuracy.
        blocks: AbstractContextManager[Any] = nullcontext()
        if precision != torch.float32:
            blocks = torch.autocast(images.device.type, precision)
        features, collected = images, []
        for index, module in enumerate(self.backbone[0].children()):
            is_stage = index % 2 == 1  # 0 embeds patches, then stages (odd) and mergings (even) take turns
            with blocks if is_stage else nullcontext():
                features = module(features)
            if is_stage:
                collected.append(features)
        return collected

    def forward(
        self,
        images: Tensor,
        tasks: Iterable[str] = tuple(TASKS),
        precision: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """Analyses face crops.

        Args:
            images: float `[N, 3, 224, 224]` RGB, normalised with ImageNet's mean and standard deviation.
            tasks: the outputs wanted, names from `TASKS`; only those are computed.
            precision: of the matrix products in the backbone's blocks, such as torch.bfloat16; all else has
                that of the weights.

        Returns:
            of the asked: segmentation `[N, 11, 224, 224]` logits, landmarks `[N, 136]`, headpose `[N, 3]`
            (pitch, yaw, roll in radians), attributes `[N, 40]`, visibility `[N, 29]`, age `[N, 8]`, gender
            `[N, 2]`, race `[N, 5]` logits; and strangeness `[N]` where the weights can tell (see
            `familiarity`).

        Raises:
            ValueError: a task that does not exist.
        """
        tasks = tuple(tasks)
        unknown = [task for task in tasks if task not in TASKS]
        if unknown:
            raise ValueError(f"unknown task {unknown[0]!r}; FaceXFormer has {', '.join(TASKS)}")
        stages = self.stage_features(images, precision)
        grid = stages[0].shape[1:3]
        finest, *coarser = [project(stage) for project, stage in zip(self.linear_c, stages, strict=True)]
        enlarged = [F.interpolate(c, size=grid, mode="bilinear", align_corners=False) for c in coarser]
        fused = self.linear_fuse(torch.cat([*enlarged[::-1], finest], dim=1))
        outputs = self.face_decoder(fused, self.pe_layer(*grid).to(fused.dtype), tasks)
        logits = outputs.get("segmentation")
        if logits is not None and self.refinement is not None:
            outputs["segmentation"] = self.refinement(logits, images)
        elif logits is not None and logits.shape[2:] != images.shape[2:]:
            outputs["segmentation"] = F.interpolate(
                logits, size=images.shape[2:], mode="bilinear", align_corners=False
            )
        if self.familiarity is not None:
            outputs["strangeness"] = self.familiarity(describe(stages))
        return outputs


def load_facexformer(path: Path) -> FaceXFormer:
    """Reads a parser from the published checkpoint or from a safetensors file of ours.

    Args:
        path: the published `model.pt` (a dict with the key `state_dict_backbone`), or a safetensors file
            whose metadata entry `config` describes a `FaceXFormerConfig`, and `trained_tasks` names the
            outputs it was trained for, with commas between them; without that entry: the segmentation.

    Returns:
        the network in eval mode, float32, on the CPU; its `trained_tasks` are those of the file.

    Raises:
        FileNotFoundError: no such file.
        FaceXFormerWeightsError: the file is damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no parser at {path}")
    if is_safetensors(path):
        config, trained_tasks, state = _read_safetensors(path)
    else:
        config, trained_tasks, state = FaceXFormerConfig(), tuple(TASKS), _read_published(path)
    # Built without memory of its own: every entry is then taken from the file.
    try:
        with torch.device("meta"):
            model = FaceXFormer(config)
            if FAMILIAR_DIRECTIONS in state:
                directions, size = state[FAMILIAR_DIRECTIONS].shape
                model.familiarity = Familiarity(size, directions)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise FaceXFormerWeightsError(f"{path}: its sizes describe no network ({error})") from error
    _check_entries(path, state, model.state_dict())
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    model.load_state_dict(state, strict=True, assign=True)
    model.trained_tasks = trained_tasks
    return model.eval()


def safetensors_metadata(
    config: FaceXFormerConfig, trained_tasks: Iterable[str] = ("segmentation",), **entries: str
) -> dict[str, str]:
    """Metadata that `load_facexformer` needs beside the tensors, plus free text entries."""
    return {"config": json.dumps(asdict(config)), "trained_tasks": ",".join(trained_tasks), **entries}


def _read_safetensors(path: Path) -> tuple[FaceXFormerConfig, tuple[str, ...], dict[str, Tensor]]:
    try:
        state, metadata = read_safetensors(path)
        values = read_json_entry(path, metadata, "config")
    except WeightsFileError as error:
        raise FaceXFormerWeightsError(str(error)) from error
    if "config" not in metadata:
        raise FaceXFormerWeightsError(f"{path} holds no parser: its metadata has no 'config' entry")
    trained_tasks = tuple(metadata.get("trained_tasks", "segmentation").split(","))
    unknown = [task for task in trained_tasks if task not in TASKS]
    if unknown:
        raise FaceXFormerWeightsError(f"{path}: 'trained_tasks' names {unknown[0]!r}, which is no task")
    try:
        return FaceXFormerConfig.from_dict(values), trained_tasks, state
    except FaceXFormerWeightsError as error:
        raise FaceXFormerWeightsError(f"{path}: the 'config' entry is of no use: {error}") from error


def _read_published(path: Path) -> dict[str, Tensor]:
    try:
        content = read_torch(path)
    except WeightsFileError as error:
        raise FaceXFormerWeightsError(str(error)) from error
    tables = find_tables(content)
    state = tables.get(PUBLISHED) or next((table for table in tables.values() if FIRST_ENTRY in table), None)
    if state is None:
        found = (
            ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        )
        raise FaceXFormerWeightsError(
            f"{path} is no FaceXFormer checkpoint: it should have the key {PUBLISHED!r}, but has {found}"
        )
    return state


def _check_entries(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuses entries that differ from the network's, naming the first one and its nearest match."""
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    shapes = [key for key in expected if key in found and found[key].shape != expected[key].shape]
    if not (missing or extra or shapes):
        return
    if shapes and not missing:
        key = shapes[0]
        detail = f"{key} is {list(found[key].shape)} instead of {list(expected[key].shape)}"
    elif missing:
        near = get_close_matches(missing[0], extra, n=1)
        detail = f"{missing[0]} is missing" + (f"; the nearest entry is {near[0]}" if near else "")
    else:
        detail = f"{extra[0]} is unknown"
    raise FaceXFormerWeightsError(
        f"{path} does not fit FaceXFormer: {len(missing)} entries missing, {len(extra)} unknown, "
        f"{len(shapes)} of another shape; first: {detail}"
    )
