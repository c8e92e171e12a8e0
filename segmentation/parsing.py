"""Face parsing: from 224x224 face crops to label maps of eleven classes.

Classes are those of the LaPa data set (Liu et al. 2020), which FaceXFormer was trained on. Left and right
mean the sides of the picture, not of the person.
"""

import numpy as np
import torch
from torch import Tensor

from segmentation.facexformer import FaceXFormer

CLASS_NAMES = (
    "background",
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)
"""Class ids are positions in this tuple. Neck, ears and clothes count as background."""

PALETTE = np.array(
    [
        (0, 0, 0),
        (0, 153, 255),
        (102, 255, 153),
        (0, 204, 153),
        (255, 255, 102),
        (255, 255, 204),
        (255, 153, 0),
        (255, 102, 255),
        (102, 0, 51),
        (255, 204, 255),
        (255, 0, 102),
    ],
    dtype=np.uint8,
)
"""RGB colour of each class, as FaceXFormer draws them."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize_images(images: Tensor) -> Tensor:
    """Turns uint8 `[N, H, W, 3]` RGB into the network's float32 `[N, 3, H, W]`, by ImageNet's statistics."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device) * 255
    std = torch.tensor(IMAGENET_STD, device=images.device) * 255
    return ((images - mean) / std).permute(0, 3, 1, 2).contiguous()


def parse(
    model: FaceXFormer, face_images: np.ndarray, batch_size: int = 16, device: torch.device | str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Assigns a class to every pixel of every face crop.

    Args:
        model: a FaceXFormer in eval mode, on `device`.
        face_images: uint8 `[N, 224, 224, 3]` RGB.
        batch_size: crops per forward pass; does not change the result beyond rounding.
        device: where the model is.

    Returns:
        label maps uint8 `[N, 224, 224]`, and float32 `[N]`: the probability of the chosen class, averaged
        over pixels.

    Raises:
        ValueError: pictures of another shape or type, or a model in training mode.
    """
    if face_images.ndim != 4 or face_images.shape[3] != 3 or face_images.dtype != np.uint8:
        raise ValueError(
            f"face images must be uint8 [N, H, W, 3]; these are {face_images.dtype} {list(face_images.shape)}"
        )
    if model.training:
        raise ValueError("the parser is in training mode; call model.eval() first")
    label_maps = np.empty(face_images.shape[:3], dtype=np.uint8)
    probabilities = np.empty(len(face_images), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(face_images), batch_size):
            batch = torch.from_numpy(face_images[start : start + batch_size]).to(device)
            logits = model(normalize_images(batch), tasks=("segmentation",))["segmentation"]
            best, labels = logits.max(dim=1)
            chosen = (best - logits.logsumexp(dim=1)).exp()
            label_maps[start : start + len(batch)] = labels.to(torch.uint8).cpu().numpy()
            probabilities[start : start + len(batch)] = chosen.mean(dim=(1, 2)).cpu().numpy()
    return label_maps, probabilities


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
    return np.bincount(label_map.ravel(), minlength=len(CLASS_NAMES))


def intersection_over_union(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of each class over a whole set of label maps.

    Args:
        predicted: uint8 `[..., H, W]`.
        truth: the same shape.

    Returns:
        float64 `[11]`; NaN for a class that occurs in neither.
    """
    count = len(CLASS_NAMES)
    pairs = np.bincount(truth.astype(np.int64).ravel() * count + predicted.ravel(), minlength=count * count)
    confusion = pairs.reshape(count, count)
    shared = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - shared
    return np.divide(shared, union, out=np.full(count, np.nan), where=union > 0)
