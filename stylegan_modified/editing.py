"""Given pictures for v3: how a picture becomes a person whose dials can be turned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator_v3 import Encoder


@dataclass(frozen=True)
class Encoded:
    """Given pictures as the generator knows people.

    Attributes:
        z: float32 [N, z_dim].
        own: float32 [N, 7], the properties that the pictures have, normalised: asking for them reconstructs.
    """

    z: Tensor
    own: Tensor


@torch.no_grad()
def posterior_mean(encoder: Encoder, property_cnn: PropertyCNN, images: Tensor) -> Encoded:
    """What the encoder alone says of pictures [N, 3, R, R] in [-1, 1]: z is the mean of the posterior."""
    own = property_cnn(images)
    mean, _ = encoder(images, own)
    return Encoded(mean.float(), own.float())


def encode_pictures(model: nn.Module, encoder: Encoder, property_cnn: PropertyCNN, images: Tensor) -> Encoded:
    """Encode given pictures so that `model(z, own)` reconstructs them.

    Callers keep out of inference mode, so that z may be refined by gradients here.

    Args:
        model: v3's decoder: (z, properties) -> {"image"}.
        encoder: of the same training.
        property_cnn: reads the properties of the pictures.
        images: [N, 3, R, R] float RGB in [-1, 1] on the networks' device.
    """
    del model  # the decoder is not asked: the encoder's mean is taken as it is
    return posterior_mean(encoder, property_cnn, images)


def edit_requests(own: Tensor, levels: Tensor) -> Tensor:
    """Requests that turn one dial at a time and leave the other six as the picture has them.

    Args:
        own: [N, 7] properties of the pictures.
        levels: [L, 7] settings of each dial.

    Returns:
        [N, 7, L, 7]: entry (n, j, i) is own[n] with property j at levels[i, j].
    """
    count = own.shape[1]
    requests = own[:, None, None].repeat(1, count, len(levels), 1)
    for j in range(count):
        requests[:, j, :, j] = levels[:, j].to(own)
    return requests
