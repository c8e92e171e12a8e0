"""Given pictures for v3: how a picture becomes a person whose dials can be turned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_modified.fine_tuning import cosine, mixed_precision, set_learning_rate
from stylegan_modified.losses import multiscale_l1
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator_v3 import Encoder

REFINE_STEPS = 80
REFINE_RATE = 0.1
REFINE_PRIOR = 0.002
REFINE_IDENTITY = 0.05


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


def encode_pictures(
    model: nn.Module,
    encoder: Encoder,
    property_cnn: PropertyCNN,
    images: Tensor,
    identity: nn.Module | None = None,
    refine_steps: int | None = None,
) -> Encoded:
    """Encode given pictures so that `model(z, own)` reconstructs them.

    The encoder's z is one guess for all; `refine_steps` of Adam on the picture itself, held near it, bring
    the person closer (as in hybrid inversion, Zhu et al. 2020). Call it outside inference mode.

    Args:
        model: v3's decoder: (z, properties) -> {"image"}.
        encoder: of the same training.
        property_cnn: reads the properties of the pictures.
        images: [N, 3, R, R] float RGB in [-1, 1] on the networks' device.
        identity: frozen network from pictures to embeddings of who is shown, for the refinement.
        refine_steps: steps of the refinement, None: `REFINE_STEPS`; 0 takes the encoder's mean as it is.
    """
    found = posterior_mean(encoder, property_cnn, images)
    refine_steps = REFINE_STEPS if refine_steps is None else refine_steps
    if not refine_steps:
        return found
    z = found.z.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=REFINE_RATE)
    precision = mixed_precision(images.device, "auto")
    with torch.no_grad(), precision:
        shown = None if identity is None else identity(images).float()
    for step in range(refine_steps):
        set_learning_rate(optimizer, cosine(step, refine_steps))
        # Sums, so that the pictures of a batch do not influence each other.
        with precision:
            drawn = model(z, found.own)["image"].float()
            same = None if identity is None else identity(drawn).float()
        loss = multiscale_l1(drawn, images).sum()
        if same is not None and shown is not None:
            loss = loss - REFINE_IDENTITY * F.cosine_similarity(same, shown, dim=1).sum()
        loss = loss + REFINE_PRIOR * (z - found.z).square().mean(dim=1).sum()
        (z.grad,) = torch.autograd.grad(loss, z)
        optimizer.step()
    return Encoded(z.detach(), found.own)


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
