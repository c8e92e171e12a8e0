"""Augmentation of what the discriminator sees, for training on few pictures.

Real and generated pictures go through the same random operations before they are scored, so that a
discriminator cannot learn a small set by heart, and gradients flow back through them to the generator. The
operations are those of DiffAugment (Zhao et al., "Differentiable augmentation for data-efficient GAN
training", 2020: colour, translation, cutout) and a flip; each is applied to each picture with probability
p, which can follow the discriminator's confidence as in StyleGAN2-ADA (Karras et al., "Training generative
adversarial networks with limited data", 2020). Everything is differentiable twice, as R1 needs.
"""

import torch
from torch import Tensor

from stylegan.phases import TrainingConfig

TRANSLATION = 1 / 8  # largest shift, as a share of the side
CUTOUT = 1 / 2  # side of the square that is blanked, as a share of the side
BRIGHTNESS = 0.5  # largest change, in units of [-1,1]
SATURATION = 1.0  # largest change of the factor 1
CONTRAST = 0.5  # the same
ADJUSTMENT_STEPS = 4


def augment(images: Tensor, p: float) -> Tensor:
    """Apply every operation to every picture with probability p.

    Args:
        images: [N,3,H,W] float in [-1,1], at the resolution that is trained.
        p: probability, 0 to 1; 0 returns the images themselves and draws no random number.
    Returns:
        [N,3,H,W]; colours may leave [-1,1]. Draws from torch's global generator.
    """
    if p <= 0:
        return images
    return cutout(shift_and_flip(change_colours(images, p), p), p)


def change_colours(images: Tensor, p: float) -> Tensor:
    """Change brightness, saturation and contrast of [N,3,H,W], each with probability p."""
    images = images + BRIGHTNESS * _signed(images, p)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1.0 + SATURATION * _signed(images, p))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1.0 + CONTRAST * _signed(images, p))


def shift_and_flip(images: Tensor, p: float) -> Tensor:
    """Shift [N,C,H,W] by whole pixels, with probability p, and mirror it, with probability p / 2.

    What a shift uncovers shows the reflected picture: black borders would be one more thing to learn.
    """
    height, width = images.shape[2:]
    # Half of the chosen ones: at p = 1 a generator of mirrored pictures only would otherwise go unpunished.
    flip = _chosen(images, p) & _chosen(images, 0.5)
    down, right = (_shift(images, p, size) for size in (height, width))
    columns = _reflected(torch.arange(width, device=images.device) - right, width)
    columns = torch.where(flip, width - 1 - columns, columns)
    rows = _reflected(torch.arange(height, device=images.device) - down, height)
    images = images.gather(3, columns.expand_as(images))
    return images.gather(2, rows.transpose(2, 3).expand_as(images))


def cutout(images: Tensor, p: float) -> Tensor:
    """Blank a square of half the side of [N,C,H,W] at a random place, with probability p."""
    height, width = images.shape[2:]
    hidden = _chosen(images, p)
    centre_y, centre_x = (torch.rand_like(_per_image(images)) for _ in range(2))
    y = (torch.arange(height, device=images.device) + 0.5)[:, None] / height
    x = (torch.arange(width, device=images.device) + 0.5)[None, :] / width
    inside = ((y - centre_y).abs() < CUTOUT / 2) & ((x - centre_x).abs() < CUTOUT / 2)
    return images * ~(inside & hidden)


def _per_image(images: Tensor) -> Tensor:
    return images.new_empty(len(images), 1, 1, 1, dtype=torch.float32)


def _chosen(images: Tensor, p: float) -> Tensor:
    """True with probability p, [N,1,1,1]."""
    return torch.rand_like(_per_image(images)) < p


def _signed(images: Tensor, p: float) -> Tensor:
    """Uniform in [-1,1] with probability p, else 0, [N,1,1,1]."""
    return (torch.rand_like(_per_image(images)) * 2 - 1) * _chosen(images, p)


def _shift(images: Tensor, p: float, size: int) -> Tensor:
    """Whole pixels, [N,1,1,1] int64."""
    return (_signed(images, p) * (TRANSLATION * size)).round().long()


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices that left 0 .. size - 1, reflected at the first and the last pixel."""
    index = index.abs()
    return torch.where(index > size - 1, 2 * (size - 1) - index, index)


class Augmentation:
    """The probability of a training's augmentation, constant or adapted, and its state.

    Adaptive (Karras et al., 2020, section 3): the mean sign of the scores of real pictures, r_t, is near 1
    when the discriminator has learnt them by heart and near 0 when it can tell nothing. Every few steps p
    goes up if r_t lies above the target, else down, at a pace that would take it from 0 to 1 in
    `augmentation_kimg` thousand images.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.adaptive = config.augmentation == "adaptive"
        self.target = config.augmentation_target
        self.images_from_0_to_1 = config.augmentation_kimg * 1000
        self.p = config.augmentation_p if config.augmentation != "none" else 0.0
        self._signs: list[float] = []
        self._images = 0

    def __call__(self, images: Tensor) -> Tensor:
        return augment(images, self.p)

    def update(self, real_sign: float, images: int) -> None:
        """Take note of a discriminator step.

        Args:
            real_sign: mean sign of its scores of real pictures, -1 to 1.
            images: how many there were.
        """
        if not self.adaptive:
            return
        self._signs.append(real_sign)
        self._images += images
        if len(self._signs) == ADJUSTMENT_STEPS:
            mean = sum(self._signs) / len(self._signs)
            direction = (mean > self.target) - (mean < self.target)
            self.p = min(1.0, max(0.0, self.p + direction * self._images / self.images_from_0_to_1))
            self._signs, self._images = [], 0

    def state_dict(self) -> dict[str, float | int | list[float]]:
        return {"p": self.p, "signs": list(self._signs), "images": self._images}

    def load_state_dict(self, state: dict[str, float | int | list[float]]) -> None:
        self.p = state["p"]
        self._signs, self._images = list(state["signs"]), state["images"]
