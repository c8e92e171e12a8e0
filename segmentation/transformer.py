"""Two-way transformer between task tokens and image features.

The decoder of Segment Anything (Kirillov et al. 2023, section 3 and appendix A), as FaceXFormer uses it
(Narayan et al. 2024): in every layer the tokens attend to themselves, then to the image, pass an MLP, and the
image attends back to the tokens. Module names are those of the published checkpoints.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them; the last one is linear."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, layer_count: int) -> None:
        super().__init__()
        dims = [input_dim] + [hidden_dim] * (layer_count - 1) + [output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[..., input_dim]` to `[..., output_dim]`."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class TokenMLP(nn.Module):
    """The feed-forward part of a transformer layer: widen, ReLU, narrow."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, mlp_width)
        self.lin2 = nn.Linear(mlp_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[..., width]` to `[..., width]`."""
        return self.lin2(F.relu(self.lin1(x)))


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of `[N, C, H, W]`, each pixel by itself."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalises `[N, C, H, W]`; the shape stays."""
        normalised = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        # Contiguous, because the backward pass of what follows is twice as slow on mixed memory layouts.
        return normalised.permute(0, 3, 1, 2).contiguous()


class Attention(nn.Module):
    """Multi-head attention whose inner width may be a fraction of the tokens' width."""

    def __init__(self, width: int, head_count: int, downsample_rate: int = 1) -> None:
        super().__init__()
        inner = width // downsample_rate
        if inner % head_count:
            raise ValueError(f"attention width {inner} is not a multiple of its {head_count} heads")
        self.head_count = head_count
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.head_count, -1)).transpose(1, 2)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries `[N, Q, width]` read values `[N, K, width]` by keys alike; returns `[N, Q, width]`."""
        q, k, v = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        # Written out: with 18 tokens on one side this is several times faster on a CPU than the fused
        # kernels.
        weights = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        read = weights.softmax(dim=-1) @ v
        return self.out_proj(read.transpose(1, 2).flatten(2))


class TwoWayAttentionBlock(nn.Module):
    """One layer: tokens to tokens, tokens to image, MLP on the tokens, image to tokens.

    In the first layer the tokens carry no content beyond their own embedding, so self-attention replaces them
    instead of being added.
    """

    def __init__(
        self, width: int, head_count: int, mlp_width: int, downsample_rate: int, is_first: bool = False
    ) -> None:
        super().__init__()
        self.self_attn = Attention(width, head_count)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, head_count, downsample_rate)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TokenMLP(width, mlp_width)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, head_count, downsample_rate)
        self.is_first = is_first

    def forward(
        self, tokens: Tensor, image: Tensor, token_position: Tensor, image_position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Updates tokens `[N, T, width]` and image `[N, H*W, width]`; positions have the same shapes."""
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_position
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        placed_image = image + image_position
        tokens = self.norm2(
            tokens + self.cross_attn_token_to_image(tokens + token_position, placed_image, image)
        )
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(
            image + self.cross_attn_image_to_token(placed_image, tokens + token_position, tokens)
        )
        return tokens, image


class TwoWayTransformer(nn.Module):
    """A stack of two-way layers and a last look of the tokens at the image."""

    def __init__(
        self, depth: int, width: int, head_count: int, mlp_width: int, downsample_rate: int = 2
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(width, head_count, mlp_width, downsample_rate, is_first=index == 0)
            for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(width, head_count, downsample_rate)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, image_position: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the stack.

        Args:
            image: features `[N, H*W, width]`.
            image_position: their position encoding, `[1, H*W, width]`.
            tokens: task tokens `[N, T, width]`, which also serve as the tokens' position.

        Returns:
            tokens `[N, T, width]` and image features `[N, H*W, width]`.
        """
        token_position = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_position, image_position)
        read = self.final_attn_token_to_image(tokens + token_position, image + image_position, image)
        return self.norm_final_attn(tokens + read), image


class RandomFourierPosition(nn.Module):
    """Position encoding of a pixel grid by random spatial frequencies (Tancik et al. 2020).

    The frequencies are part of the checkpoint: they are never trained, yet the rest of the network depends on
    them.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int, seed: int = 0) -> None:
        super().__init__()
        frequencies = torch.randn(2, width // 2, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("positional_encoding_gaussian_matrix", frequencies)

    def forward(self, height: int, width: int) -> Tensor:
        """Encodes the pixel centres of a grid; returns `[1, height*width, width of the features]`."""
        frequencies = self.positional_encoding_gaussian_matrix
        y = (torch.arange(height, device=frequencies.device, dtype=frequencies.dtype) + 0.5) / height
        x = (torch.arange(width, device=frequencies.device, dtype=frequencies.dtype) + 0.5) / width
        rows, columns = torch.meshgrid(2 * y - 1, 2 * x - 1, indexing="ij")
        angles = 2 * math.pi * (torch.stack([columns, rows], dim=-1) @ frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).reshape(1, height * width, -1)
