"""Face parsing: from 224x224 face crops to label maps of eleven classes, and the network's other outputs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segmentation.face_classes import CLASS_COUNT, PALETTE
from segmentation.facexformer import FaceXFormer
from segmentation.facexformer_config import TASKS
from segmentation.memory import ShrinkingBatches

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize_images(images: Tensor) -> Tensor:
    """Turns uint8 `[N, H, W, 3]` RGB into the network's float32 `[N, 3, H, W]`, by ImageNet's statistics."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device) * 255
    std = torch.tensor(IMAGENET_STD, device=images.device) * 255
    return ((images - mean) / std).permute(0, 3, 1, 2).contiguous()


def best_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device calculates in it natively, so that it is faster; float32 elsewhere."""
    if device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_native = device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.bfloat16 if is_native else torch.float32


class ParsedFaces(NamedTuple):
    """What the network says about N faces."""

    label_maps: np.ndarray
    """uint8 `[N, 224, 224]`: the most probable class of each pixel."""
    probabilities: np.ndarray
    """float32 `[N]`: probability of the chosen class, averaged over pixels."""
    strangeness: np.ndarray
    """float32 `[N]`: above 1, unlike what the parser learned from (`familiarity`); NaN: it cannot tell."""
    outputs: dict[str, np.ndarray]
    """float32 `[N, size]` per further task that was asked for (see `facexformer.TASKS`)."""


def parse_faces(
    model: FaceXFormer,
    face_images: np.ndarray,
    batch_size: int = 16,
    precision: torch.dtype = torch.float32,
    further_tasks: Sequence[str] = (),
    on_shrink: Callable[[int], None] = lambda size: None,
) -> ParsedFaces:
    """Assigns a class to every pixel of every face crop; other tasks come from the same forward pass.

    Args:
        model: a FaceXFormer in eval mode.
        face_images: uint8 `[N, 224, 224, 3]` RGB.
        batch_size: crops per forward pass; halved when memory runs out. Does not change the result beyond
            rounding.
        precision: of the backbone's matrix products, torch.float32 or torch.bfloat16.
        further_tasks: names from `facexformer.TASKS` other than the segmentation.
        on_shrink: called with the new batch size after each halving.

    Raises:
        ValueError: pictures of another shape or type, or a model in training mode.
        NotEnoughMemoryError: a single crop does not fit into memory.
    """
    if face_images.ndim != 4 or face_images.shape[3] != 3 or face_images.dtype != np.uint8:
        raise ValueError(
            f"face images must be uint8 [N, H, W, 3]; these are {face_images.dtype} {list(face_images.shape)}"
        )
    if model.training:
        raise ValueError("the parser is in training mode; call model.eval() first")
    batches = ShrinkingBatches(batch_size, on_shrink)
    parts = list(batches.map(lambda batch: _parse_batch(model, batch, precision, further_tasks), face_images))
    if not parts:
        further = {task: np.zeros((0, TASKS[task]), np.float32) for task in further_tasks}
        none = np.zeros(0, np.float32)
        return ParsedFaces(np.zeros(face_images.shape[:3], np.uint8), none, none, further)
    label_maps, probabilities, strangeness, outputs = zip(*parts, strict=True)
    return ParsedFaces(
        np.concatenate(label_maps),
        np.concatenate(probabilities),
        np.concatenate(strangeness),
        {task: np.concatenate([part[task] for part in outputs]) for task in further_tasks},
    )


def _parse_batch(
    model: FaceXFormer, face_images: np.ndarray, precision: torch.dtype, further_tasks: Sequence[str]
) -> ParsedFaces:
    device = next(model.parameters()).device
    with torch.inference_mode():
        images = normalize_images(torch.from_numpy(face_images).to(device))
        outputs = model(images, ("segmentation", *further_tasks), precision)
        logits = outputs.pop("segmentation")
        strangeness = outputs.pop("strangeness", logits.new_full((len(logits),), torch.nan))
        best, labels = logits.max(dim=1)
        # The probability of the largest logit is one over the sum of exp(logit - largest).
        chosen = logits.sub_(best[:, None]).exp_().sum(dim=1).reciprocal_()
        return ParsedFaces(
            labels.to(torch.uint8).cpu().numpy(),
            chosen.mean(dim=(1, 2)).cpu().numpy(),
            strangeness.cpu().numpy(),
            {task: output.cpu().numpy() for task, output in outputs.items()},
        )


def visualize(face_image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """Blends a picture half and half with the colours of its classes.

    Args:
        face_image: uint8 `[..., H, W, 3]` RGB.
        label_map: uint8 `[..., H, W]`, values below 11.

    Returns:
        uint8 `[..., H, W, 3]`.
    """
    blended = (face_image.astype(np.uint16) + PALETTE[label_map] + 1) // 2
    return blended.astype(np.uint8)


def count_pixels(label_map: np.ndarray) -> np.ndarray:
    """Pixels per class of one label map: int64 `[11]`."""
    return np.bincount(label_map.ravel(), minlength=CLASS_COUNT)


def intersection_over_union(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of each class over a whole set of label maps.

    Args:
        predicted: uint8 `[..., H, W]`.
        truth: the same shape.

    Returns:
        float64 `[11]`; NaN for a class that occurs in neither.
    """
    count = CLASS_COUNT
    pairs = np.bincount(truth.astype(np.int64).ravel() * count + predicted.ravel(), minlength=count * count)
    confusion = pairs.reshape(count, count)
    shared = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - shared
    return np.divide(shared, union, out=np.full(count, np.nan), where=union > 0)
