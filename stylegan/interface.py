"""What every generator and discriminator offers, whichever StyleGAN it is.

Code behind the networks (sampling, dials, evaluation, the explorer) asks for these and for no other class.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from torch import Tensor, nn

from stylegan.layers import DenseMapping, MinibatchStd


class Truncating(Protocol):
    """w [N,w_dim] -> wp [N,layer_count,w_dim], pulled towards the average w if asked; see `truncate`."""

    @property
    def w_avg(self) -> Tensor:
        """[w_dim]."""

    def __call__(self, w: Tensor, psi: float | None = None, layers: int | None = None) -> Tensor: ...

    def update_average(self, w: Tensor) -> None:
        """Move `w_avg` towards the mean of a training batch w [N,w_dim]."""


class Generator(nn.Module):
    """z [N,z_dim] -> w -> wp [N,layer_count,w_dim] -> image; the three steps can be called on their own."""

    config: dict[str, Any]
    """Arguments that build the network again."""
    resolution: int
    z_space_dim: int
    w_space_dim: int
    layer_count: int
    """Rows of wp."""
    mapping: DenseMapping
    """z [N,z_dim] -> w [N,w_dim]."""
    truncation: Truncating
    synthesis: nn.Module
    """wp [N,layer_count,w_dim], `randomize_noise=False` -> image [N,channels,H,W], about [-1,1]."""


class Discriminator(nn.Module, ABC):
    """Images [N,C,H,W] in [-1,1] -> scores [N,1]; the larger, the more real."""

    config: dict[str, Any]
    resolution: int
    minibatch_std: MinibatchStd
    dense_layers: tuple[str, str]
    """Names of the last two layers; the last one turns `features` into scores."""

    @staticmethod
    @abstractmethod
    def score_layer(width: int) -> nn.Module:
        """The last layer, [N,width] -> [N,1]."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """[N,width], what the last dense layer sees."""
