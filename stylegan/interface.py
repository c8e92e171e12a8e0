"""What every generator and discriminator offers, whichever StyleGAN it is.

Code behind the networks (sampling, dials, evaluation, the explorer) asks for these and for no class.
"""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from stylegan.layers import MinibatchStd


class Truncating(Protocol):
    """Hands w to the layers; see `stylegan.stylegan_generator.TruncationTrick`."""

    layer_count: int

    @property
    def w_avg(self) -> Tensor: ...

    def __call__(self, w: Tensor, psi: float | None = None, layers: int | None = None) -> Tensor: ...

    def update_average(self, w: Tensor) -> None: ...


@runtime_checkable
class Generator(Protocol):
    """z [N,z_dim] -> w -> wp [N,layer_count,w_dim] -> image; the three steps can be called on their own."""

    config: dict[str, Any]
    """Arguments that build the network again."""
    resolution: int
    z_space_dim: int
    w_space_dim: int
    layer_count: int
    """Rows of wp."""
    training: bool
    mapping: nn.Module
    """z [N,z_dim] -> w [N,w_dim]."""
    synthesis: nn.Module
    """wp [N,layer_count,w_dim], `randomize_noise=False` -> image [N,channels,H,W], about [-1,1]."""

    @property
    def truncation(self) -> Truncating:
        """w [N,w_dim] -> wp [N,layer_count,w_dim], and the average w."""

    def __call__(
        self,
        z: Tensor,
        trunc_psi: float | None = None,
        trunc_layers: int | None = None,
        randomize_noise: bool = False,
    ) -> dict[str, Tensor]:
        """{"z", "w", "wp", "image"}; the arguments as in `StyleGANGenerator.forward`."""


@runtime_checkable
class Discriminator(Protocol):
    """Images [N,C,H,W] in [-1,1] -> scores [N,1]; the larger, the more real."""

    config: dict[str, Any]
    resolution: int
    dense_layers: tuple[str, str]
    """Names of the last two layers; the last one turns `features` into scores."""

    @property
    def minibatch_std(self) -> MinibatchStd: ...

    def __call__(self, images: Tensor) -> Tensor: ...

    def features(self, images: Tensor) -> Tensor:
        """[N,width], what the last dense layer sees."""
