"""What train_parser does: draw or read pictures with label maps, train, judge and write the parser."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from data import portraits
from scripts.pipeline import REPOSITORY, Tool, UserError, files
from scripts.pipeline.files import ArrayFileError, read_arrays
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.parsing.parser_judgement import judge_on_pairs, judge_on_portraits
from scripts.stages.parsing.parser_pairs import Pairs, read_pairs
from scripts.stages.training import train_one_network
from scripts.stages.training_options import stored_command
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import FaceXFormer, load_facexformer, safetensors_metadata
from segmentation.facexformer_config import FaceXFormerWeightsError
from segmentation.parser_batches import PHOTOGRAPH_SIZES_PX, REDUCED_SIZES_PX, ParserBatches, face_boxes
from segmentation.parser_training import (
    SMALL_CONFIG,
    ParserTrainer,
    ParserTrainingOptions,
    learn_what_is_usual,
)
from segmentation.parsing import parse_faces, visualize
from stylegan.parallel import Processes
from stylegan.weights_file import WeightsFileError, read_safetensors

FOLDER = "train_parser"
CACHE = f"{FOLDER}/portraits.npz"
TRAINING_SEED = 2_000_000
USUAL_COUNT, FEWEST_USUAL = 600, 64


def training_portraits(tool: Tool, options: Any) -> Mapping[str, np.ndarray]:
    """Images uint8 [N, S, S, 3] and label_maps uint8 [N, S, S]; drawn once, then read from the cache."""
    with tool.foreseen(ValueError, mend="Give another --portrait-size-px."):
        portraits.check_size(options.portrait_size_px)
    seeds = np.arange(TRAINING_SEED, TRAINING_SEED + options.portraits)
    path = tool.workspace / CACHE
    if path.is_file():
        with tool.foreseen(ArrayFileError, mend="Remove it; it is drawn again."):
            cached = read_arrays(path, ("seeds", "images", "label_maps"))
        if np.array_equal(cached["seeds"], seeds) and cached["images"].shape[1] == options.portrait_size_px:
            return {name: cached[name] for name in ("images", "label_maps")}
    tool.log(f"Drawing {options.portraits} portraits of {options.portrait_size_px} px.")
    drawn = portraits.render_many(seeds.tolist(), options.portrait_size_px)
    with tool.atomic(CACHE) as temporary:
        np.savez(temporary, seeds=seeds, images=drawn.images, label_maps=drawn.label_maps)
    return {"images": drawn.images, "label_maps": drawn.label_maps}


class Material(NamedTuple):
    """What to train and judge on."""

    images: np.ndarray
    """uint8 [N, S, S, 3]."""
    label_maps: np.ndarray
    """uint8 [N, S, S]."""
    boxes: np.ndarray | None
    """Where the detector sees the faces, see `ParserBatches`; None: where it would see them."""
    sizes_px: Sequence[int]
    """Sides to which the pictures are reduced."""
    held_out: Pairs | None
    """Pairs to judge on; None: portraits."""
    what: str
    """In words, for the notes in the weights file."""
    identity: dict[str, str]
    """What a checkpoint must agree with beside the options."""


def read_material(tool: Tool, options: Any) -> Material:
    """Portraits, or the pairs of a folder."""
    if options.pairs is not None:
        return read_pairs_material(tool, options)
    if tool.writes:  # the other processes find the portraits in the cache
        training_portraits(tool, options)
    Processes.of_this_run().wait()
    arrays = training_portraits(tool, options)
    what = f"{options.portraits} portraits of data/portraits, seeds from {TRAINING_SEED}"
    return Material(arrays["images"], arrays["label_maps"], None, REDUCED_SIZES_PX, None, what, {})


def read_pairs_material(tool: Tool, options: Any) -> Material:
    """All pairs of a folder but the last ones, which are held out, and where the detector sees faces."""
    pairs = read_pairs(tool, options.pairs, options.picture_size_px)
    count = len(pairs.images)
    if count <= options.held_out:
        raise UserError(
            f"{options.pairs} holds {count} pairs and --held-out keeps {options.held_out} back to judge the "
            f"parser on, so none is left to learn from. Give --held-out {-(-count // 5)}."
        )
    training, held_out = pairs.split(options.held_out)
    boxes = face_boxes(training.label_maps)
    crops = FaceCropper(tool.device, margin=0.0)(list(training.images))
    for row, crop in enumerate(crops):
        if crop is not None:
            boxes[row] = np.array(crop.box) / options.picture_size_px
    digest = hashlib.sha256(training.images.tobytes() + training.label_maps.tobytes()).hexdigest()
    what = f"{len(training.images)} pictures with masks, sha256 {digest[:16]}"
    return Material(*training, boxes, PHOTOGRAPH_SIZES_PX, held_out, what, {"pairs": digest})


def usual_crops(tool: Tool, material: Material) -> list[np.ndarray]:
    """Crops uint8 [224, 224, 3] of evenly chosen training pictures at all their sizes, as stage 03 cuts
    them, but for those in which the detector finds nobody.
    """
    rows = np.linspace(0, len(material.images) - 1, min(USUAL_COUNT, len(material.images))).astype(int)
    sizes = sorted(set(material.sizes_px))
    cropper = FaceCropper(tool.device)
    found = []
    for number, size in enumerate(sizes):
        pictures = (Image.fromarray(material.images[row]) for row in rows[number :: len(sizes)])
        squares = [np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)) for picture in pictures]
        found += [crop.image for crop in cropper(squares) if crop is not None]
    return found


def preview(model: FaceXFormer, batches: ParserBatches) -> np.ndarray:
    """What the parser sees in the first batch, uint8 [H, B W, 3]; a step sets the model to training again."""
    crops = batches.batch(0)[0].numpy()
    label_maps = parse_faces(model.eval(), crops).label_maps
    return np.concatenate(list(visualize(crops, label_maps)), axis=1)


def trained_options(options: Any) -> dict[str, Any]:
    """What a checkpoint must agree with to be continued."""
    source = ("portraits", "portrait_size_px") if options.pairs is None else ("picture_size_px", "held_out")
    names = (*source, "steps", "batch_size", "learning_rate", "refinement_width", "seed")
    init = str(options.init) if options.init else ""
    return {name: value for name, value in asdict(options).items() if name in names} | {"init": init}


def whole_command(options: Any) -> str:
    """The command that trains this parser, after those that trained the weights which it started from."""
    command = stored_command(options, "train_parser")
    if options.init is None:
        return command
    try:
        before = read_safetensors(options.init)[1].get("command")
    except WeightsFileError:  # a published file of torch's own kind tells no command
        before = None
    return f"{before} && {command}" if before else command


def _kind(options: Any) -> str:
    return "portraits" if options.pairs is None else "pictures"


def save_weights(options: Any, model: FaceXFormer, figures: Mapping[str, Any], trained_on: str) -> Path:
    """Write the weights in half precision, with what is needed to make them again."""
    state = {
        key: (value.half() if is_stored_in_half(key, value) else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    metadata = safetensors_metadata(
        model.config,
        command=whole_command(options),
        seed=str(options.seed),
        trained_on=trained_on,
        mean_iou=f"{figures['mean_iou']:.4f} on {figures['count']} held-out {_kind(options)}",
        torch=torch.__version__,
    )
    path = REPOSITORY / options.out
    files.remove_leftovers((path.parent,), deep=False)
    with files.atomic_path(path) as temporary:
        save_file(state, temporary, metadata=metadata)
    return path


def is_stored_in_half(name: str, value: torch.Tensor) -> bool:
    """All weights are; small differences count in what tells the usual from the strange."""
    return value.is_floating_point() and not name.startswith("familiarity.")


def run(tool: Tool, options: Any) -> None:
    """Read or draw, train, judge, write."""
    with tool.alone_in(tool.workspace / FOLDER):
        train(tool, options)


def train(tool: Tool, options: Any) -> None:
    """All of it, while no other run does the same in this workspace."""
    keep_freed_memory()
    torch.manual_seed(options.seed)
    config = replace(SMALL_CONFIG, refinement_width=options.refinement_width)
    model = FaceXFormer(config).to(tool.device)
    if options.init is not None:
        kinds = (FileNotFoundError, FaceXFormerWeightsError, RuntimeError)
        with tool.foreseen(*kinds, mend="Give --init weights of this script."):
            start = load_facexformer(options.init)
            start.familiarity = None  # learned anew, from the pictures of this training
            state = start.state_dict()
            if start.refinement is None and model.refinement is not None:  # a new one changes nothing
                state |= {
                    f"refinement.{name}": value for name, value in model.refinement.state_dict().items()
                }
            model.load_state_dict(state, strict=True)
    material = read_material(tool, options)
    batches = ParserBatches(
        *(material.images, material.label_maps, options.batch_size, options.seed, material.boxes),
        material.sizes_px,
    )
    settings = ParserTrainingOptions(
        steps=options.steps, learning_rate=options.learning_rate, weigh_classes=options.init is None
    )
    trainer = ParserTrainer(model, batches, settings)
    made_for = trained_options(options) | material.identity
    losses = ("loss", "learning_rate")
    train_one_network(
        tool, trainer, FOLDER, losses, made_for, options.batch_size, lambda: preview(model, batches)
    )
    if not tool.writes:
        return
    crops = usual_crops(tool, material)
    if len(crops) >= FEWEST_USUAL:
        learn_what_is_usual(model.eval(), np.stack(crops), options.seed)
    else:
        tool.log(
            f"The detector finds {len(crops)} faces in the training pictures. Below {FEWEST_USUAL} the "
            "parser cannot learn where it is out of its depth, and will not tell."
        )
    if material.held_out is None:
        figures = judge_on_portraits(tool, model.eval(), options.held_out, FOLDER)
    else:
        figures = judge_on_pairs(tool, model.eval(), *material.held_out, FOLDER)
    tool.write(f"{FOLDER}/results.json", figures)
    path = save_weights(options, model, figures, material.what)
    load_facexformer(path)
    tool.finish(
        {"mean IoU": f"{figures['mean_iou']:.4f} (n = {figures['count']} {_kind(options)})"}, [str(path)]
    )
    tool.log(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB). Look at {tool.workspace / FOLDER}.")
