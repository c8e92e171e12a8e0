"""Pictures, folds and batches for the networks of the filter.

Pictures are decoded once, kept as uint8, moved to the device as bytes and normalised there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import KFold, StratifiedKFold
from torch import Tensor
from torch.nn import functional

from stylegan.rows import Rows


@dataclass(frozen=True)
class AugmentationOptions:
    """Random changes of a training picture; all zero (the document's recipe) leaves it as it is.

    Attributes:
        flip: mirror half of the pictures.
        shift: largest displacement, as a fraction of the picture's size; edges are repeated.
        brightness: largest change of brightness, as a fraction of the range of values.
        contrast: largest relative change of contrast around the picture's mean.
    """

    flip: bool = False
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """A picture uint8 [H, W, 3] as uint8 [size, size, 3].

    A larger one is shrunk by averaging, as the networks do it with tensors; a smaller one is enlarged.
    """
    if image.shape[:2] == (size, size):
        return image
    method = Image.Resampling.BOX if min(image.shape[:2]) >= size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((size, size), method))


def to_tensor(images: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3] -> uint8 tensor [N, 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def normalize(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def augment(images: Tensor, options: AugmentationOptions, generator: torch.Generator) -> Tensor:
    """Random mirror, shift, brightness and contrast of float pictures [N, 3, H, W] in [-1, 1].

    `generator` lives on the CPU, so that a seed means the same on every device.
    """
    count, _, height, width = images.shape

    def uniform() -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=generator) * 2 - 1).to(images.device)

    if options.flip:
        images = torch.where(uniform() > 0, images, images.flip(3))
    if options.shift > 0:
        images = _shift(images, round(options.shift * min(height, width)), generator)
    if options.contrast > 0:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (1 + options.contrast * uniform())
    if options.brightness > 0:
        images = images + 2 * options.brightness * uniform()
    return images.clamp(-1, 1)


def _shift(images: Tensor, largest_px: int, generator: torch.Generator) -> Tensor:
    """Displace each picture by a whole number of pixels in both directions, repeating its edges."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (largest_px,) * 4, mode="replicate")
    starts = torch.randint(0, 2 * largest_px + 1, (2, len(images)), generator=generator).tolist()
    windows = zip(padded, *starts, strict=True)
    return torch.stack([image[:, top : top + height, left : left + width] for image, top, left in windows])


def make_folds(
    labels: np.ndarray, fold_count: int, *, stratified: bool, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (training, validation) of every fold.

    Plain K-fold for gender; stratified for quality, where one picture in twenty is bad and a plain fold
    could miss them (document, section 3-2).

    Raises:
        ValueError: a class has fewer members than there are folds, or a fold would see only one class.
    """
    class_sizes = np.bincount(labels.astype(np.int64), minlength=2)
    if class_sizes.min() < fold_count:
        raise ValueError(
            f"{fold_count} folds need at least {fold_count} labels of each class, "
            f"but there are {class_sizes[0]} zeros and {class_sizes[1]} ones"
        )
    splitter = (StratifiedKFold if stratified else KFold)(fold_count, shuffle=True, random_state=seed)
    folds = [(train, valid) for train, valid in splitter.split(np.zeros(len(labels)), labels)]
    if any(len(np.unique(labels[rows])) < 2 for fold in folds for rows in fold):
        raise ValueError("a fold holds labels of one class only; label more pictures of the rarer class")
    return folds


def regression_folds(count: int, fold_count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (training, validation) of every fold, for labels that are numbers.

    Raises:
        ValueError: fewer than two rows per fold, which cannot be compared.
    """
    if count < 2 * fold_count:
        raise ValueError(f"{fold_count} folds need at least {2 * fold_count} labels, but there are {count}")
    return list(KFold(fold_count, shuffle=True, random_state=seed).split(np.zeros(count)))


def epoch_batches(
    labels: np.ndarray, batch_size: int, minority_share: float, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Batches of row numbers for one epoch; the incomplete last batch is dropped.

    With `minority_share` 0 every row comes once.  Otherwise the rarer class is repeated at random until it
    makes up that share of the epoch, and as many rows of the common class sit out.
    """
    rows = np.arange(len(labels))
    if minority_share > 0:
        is_rare = labels == minority_class(labels)
        rare_count = round(minority_share * len(labels))
        common = rng.permutation(rows[~is_rare])[: len(labels) - rare_count]
        rows = np.concatenate([rng.choice(rows[is_rare], rare_count), common])
    order = rng.permutation(rows)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        yield order[start : start + batch_size]


def minority_class(labels: np.ndarray) -> int:
    """The rarer of the two classes (1 in a tie)."""
    return int(labels.mean() <= 0.5)


def oversampling_logit(labels: np.ndarray, minority_share: float) -> float:
    """What oversampling adds to the log odds of class 1; 0 without oversampling.

    Added to the logits in the loss, it keeps the network's own output calibrated for the true share
    (logit adjustment: Menon et al., "Long-tail learning via logit adjustment", 2021), so the thresholds
    of the filter keep their meaning.
    """
    if minority_share <= 0:
        return 0.0
    true_share = float(labels.mean())
    share = minority_share if minority_class(labels) == 1 else 1 - minority_share
    return float(np.log(share / (1 - share)) - np.log(true_share / (1 - true_share)))


def take(images: Rows, rows: Sequence[int] | np.ndarray) -> Tensor:
    """Rows of uint8 pictures [N, 3, H, W], normalised.

    Their numbers stay on the CPU, where stored rows are looked up; asking a GPU for them would wait for it.
    """
    return normalize(images[torch.as_tensor(rows)])
