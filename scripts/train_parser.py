"""Train the small face parser of the embedded preset on drawn portraits; resumable, minutes on one core."""

import io
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.fast_memory import keep_freed_memory
from scripts.pipeline import (
    REPOSITORY,
    Interrupted,
    Journal,
    Tool,
    ToolOptions,
    UserError,
    files,
    option,
    run_tool,
)

if TYPE_CHECKING:
    import numpy as np

    from scripts.pipeline.console import Progress
    from segmentation.facexformer import FaceXFormer
    from segmentation.parser_training import ParserTraining

OUTPUT = "data/embedded/segmentation_model.safetensors"
CACHE = "train_parser/portraits.npz"
CHECKPOINT = "train_parser/checkpoint.pt"
SHEET = "train_parser/held_out.png"
TRAINING_SEED = 2_000_000
HELD_OUT_SEED = 3_000_000
GENERATED_SIZE_PX = 64
TRUTH_SIZE_PX = 256
LOG_COLUMNS = ("step", "loss", "learning_rate", "images_per_s")


@dataclass(frozen=True)
class Options(ToolOptions):
    """Train the small face parser of the embedded preset on drawn portraits."""

    output: Path = option(Path(OUTPUT), help="weights to write, relative to the repository")
    portraits: int = option(5000, help="training portraits")
    portrait_size_px: int = option(128, help="size at which they are drawn, pixels")
    steps: int = option(3000, help="optimiser steps")
    batch_size: int = option(8, help="crops per step")
    learning_rate: float = option(1.5e-3, help="peak of the learning rate")
    init: Path | None = option(None, help="weights to start from, such as those of an earlier run")
    seed: int = option(0, help="of the weights, the batches and the augmentation")
    held_out: int = option(500, help="portraits to judge the parser on")
    checkpoint_s: float = option(60.0, help="seconds between checkpoints", affects_results=False)
    log_every: int = option(20, help="steps between rows of the log", affects_results=False)


def training_portraits(tool: Tool, options: Options) -> Mapping[str, "np.ndarray"]:
    """Images uint8 [N, S, S, 3] and label_maps uint8 [N, S, S]; drawn once, then read from the cache."""
    import numpy as np

    from data import portraits

    seeds = np.arange(TRAINING_SEED, TRAINING_SEED + options.portraits)
    path = tool.workspace / CACHE
    if path.is_file():
        with np.load(path) as cached:
            if (
                np.array_equal(cached["seeds"], seeds)
                and cached["images"].shape[1] == options.portrait_size_px
            ):
                return {name: cached[name] for name in ("images", "label_maps")}
    tool.log(f"Drawing {options.portraits} portraits of {options.portrait_size_px} px.")
    drawn = portraits.render_many(seeds.tolist(), options.portrait_size_px)
    arrays = {"images": drawn.images, "label_maps": drawn.label_maps}
    with tool.atomic(CACHE) as temporary:
        np.savez(temporary, seeds=seeds, **arrays)
    return arrays


def trained_options(options: Options) -> dict[str, Any]:
    """What a checkpoint must agree with to be continued."""
    names = ("portraits", "portrait_size_px", "steps", "batch_size", "learning_rate", "seed")
    init = str(options.init) if options.init else ""
    return {name: value for name, value in asdict(options).items() if name in names} | {"init": init}


def resume(tool: Tool, options: Options, training: "ParserTraining") -> None:
    """Continue from the checkpoint, if there is one of the same options."""
    import torch

    path = tool.workspace / CHECKPOINT
    if not path.is_file():
        return
    checkpoint = torch.load(path, map_location=tool.device, weights_only=True)
    if checkpoint["options"] != trained_options(options):
        raise UserError(
            f"{path} was trained with {checkpoint['options']}, so it cannot be continued with other options. "
            "Give those again, or remove the file to start over."
        )
    training.load_state_dict(checkpoint["training"])
    tool.log(f"Continuing at step {training.step_count} of {options.steps}.")


def save_checkpoint(tool: Tool, options: Options, training: "ParserTraining") -> None:
    """Write everything that a resumed run needs."""
    import torch

    with tool.atomic(CHECKPOINT) as temporary:
        torch.save({"options": trained_options(options), "training": training.state_dict()}, temporary)


def train(tool: Tool, options: Options, training: "ParserTraining") -> None:
    """Run the remaining steps; checkpoints by the clock, at the end and after Ctrl-C."""
    log_file = tool.log_dir / "train_log.csv"
    with (
        Journal(log_file, LOG_COLUMNS, "step", int) as journal,
        tool.progress(options.steps, "steps") as progress,
    ):
        try:
            progress.update(training.step_count)
            _take_steps(tool, options, training, journal, progress)
        except Interrupted:
            save_checkpoint(tool, options, training)
            raise
    save_checkpoint(tool, options, training)


def _take_steps(
    tool: Tool, options: Options, training: "ParserTraining", journal: Journal, progress: "Progress"
) -> None:
    """The loop itself."""
    saved_at = logged_at = time.monotonic()
    losses: list[float] = []
    while training.step_count < options.steps:
        if time.monotonic() - saved_at > options.checkpoint_s:
            save_checkpoint(tool, options, training)
            saved_at = time.monotonic()
        losses.append(training.step())
        step = training.step_count
        if step % options.log_every == 0:
            seconds, logged_at = time.monotonic() - logged_at, time.monotonic()
            mean_loss, rate = sum(losses) / len(losses), training.learning_rate(step)
            speed = len(losses) * options.batch_size / seconds
            losses.clear()
            if step not in journal:
                row = (step, round(mean_loss, 5), round(rate, 8), round(speed, 1))
                journal.append(dict(zip(LOG_COLUMNS, row, strict=True)))
        progress.update()


def compress(image: "np.ndarray") -> "np.ndarray":
    """The picture, uint8 [H, W, 3], after a JPEG file as stage 01 writes it."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    return np.asarray(Image.open(buffer))


def judge(tool: Tool, options: Options, model: "FaceXFormer") -> tuple["np.ndarray", float]:
    """IoU of each class [11] and the share of faces found, on small portraits as stage 03 sees them."""
    import numpy as np

    from data import portraits
    from scripts.pipeline.pictures import contact_sheet
    from segmentation.face_crop import FaceCropper
    from segmentation.parser_training import crop_label_map
    from segmentation.parsing import intersection_over_union, parse, visualize

    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + options.held_out)
    images = portraits.render_many(seeds, GENERATED_SIZE_PX).images
    truth = portraits.render_many(seeds, TRUTH_SIZE_PX).label_maps
    crops = FaceCropper(tool.device)([compress(image) for image in images])
    found = [index for index, crop in enumerate(crops) if crop is not None]
    faces = np.stack([crops[index].image for index in found])
    expected = np.stack(
        [crop_label_map(truth[index], np.array(crops[index].box) / GENERATED_SIZE_PX) for index in found]
    )
    predicted, _ = parse(model, faces, device=tool.device)
    rows = [
        np.concatenate([face, visualize(face, a), visualize(face, b)], axis=1)
        for face, a, b in zip(faces[:24], predicted[:24], expected[:24], strict=True)
    ]
    tool.save_image(SHEET, contact_sheet(rows, columns=3))
    return intersection_over_union(predicted, expected), len(found) / len(images)


def save_weights(tool: Tool, options: Options, model: "FaceXFormer", iou: "np.ndarray") -> Path:
    """Write the weights in half precision, with what is needed to make them again."""
    import torch
    from safetensors.torch import save_file

    from segmentation.facexformer import safetensors_metadata

    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    command = f"python scripts/train_parser.py --seed {options.seed} --steps {options.steps}"
    if options.init is not None:
        command += f" --learning-rate {options.learning_rate} --init (the weights of an earlier run)"
    metadata = safetensors_metadata(
        model.config,
        command=command,
        seed=str(options.seed),
        trained_on=f"{options.portraits} portraits of data/portraits, seeds from {TRAINING_SEED}",
        mean_iou=f"{iou.mean():.4f} on {options.held_out} held-out portraits",
        torch=torch.__version__,
    )
    path = REPOSITORY / options.output
    with files.atomic_path(path) as temporary:
        save_file(state, temporary, metadata=metadata)
    return path


def run(tool: Tool, options: Options) -> None:
    """Draw, train, judge, write."""
    import torch

    from segmentation.facexformer import FaceXFormer, FaceXFormerWeightsError, load_facexformer
    from segmentation.parser_training import (
        SMALL_CONFIG,
        ParserBatches,
        ParserTraining,
        ParserTrainingOptions,
    )
    from segmentation.parsing import CLASS_NAMES

    keep_freed_memory()
    torch.manual_seed(options.seed)
    model = FaceXFormer(SMALL_CONFIG).to(tool.device)
    if options.init is not None:
        with tool.foreseen(FaceXFormerWeightsError, RuntimeError, mend="Give --init weights of this script."):
            model.load_state_dict(load_facexformer(options.init).state_dict(), strict=True)
    arrays = training_portraits(tool, options)
    batches = ParserBatches(arrays["images"], arrays["label_maps"], options.batch_size, options.seed)
    settings = ParserTrainingOptions(
        steps=options.steps, learning_rate=options.learning_rate, weigh_classes=options.init is None
    )
    training = ParserTraining(model, batches, settings)
    resume(tool, options, training)
    with tool.foreseen(FloatingPointError, mend=f"The last good state is {tool.workspace / CHECKPOINT}."):
        train(tool, options, training)

    model.eval()
    iou, found = judge(tool, options, model)
    path = save_weights(tool, options, model, iou)
    load_facexformer(path)
    for name, value in zip(CLASS_NAMES, iou, strict=True):
        tool.log(f"  IoU {name}: {value:.3f}")
    tool.log(f"Mean IoU {iou.mean():.4f} on {options.held_out} held-out portraits, faces found {found:.1%}.")
    tool.log(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB). Look at {tool.workspace / SHEET}.")


if __name__ == "__main__":
    run_tool(Options, run)
