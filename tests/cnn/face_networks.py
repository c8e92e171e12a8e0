"""Inputs for the tests of face networks: blocks of random colours, the same on every machine."""

import numpy as np
import torch
from torch import Tensor

BLOCKS = 8


def blocks(size_px: int, count: int = 3, seed: int = 17) -> np.ndarray:
    """uint8 [N, size, size, 3]; what made `tests/golden/face_networks.npz` read these."""
    colors = np.random.default_rng(seed).integers(0, 256, (count, BLOCKS, BLOCKS, 3))
    place = np.arange(size_px) * BLOCKS // size_px
    return np.ascontiguousarray(colors[:, place][:, :, place].astype(np.uint8))


def as_pictures(images: np.ndarray) -> Tensor:
    """Float [N, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def onnx_means(shape: tuple[int | str, ...]) -> bytes:
    """An ONNX file: the mean color [N, 3] of pictures of this shape; a word stands for an open size."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    def field(number: int, value: int | str | bytes) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        data = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(data)) + data

    def tensor(name: str, sizes: tuple[int | str, ...]) -> bytes:
        dimensions = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in sizes)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dimensions)))

    axes = (1, 2) if shape[3] == 3 else (2, 3)
    attributes = field(5, field(1, "axes") + b"".join(field(8, axis) for axis in axes) + field(20, 7))
    attributes += field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    node = field(1, "faces") + field(2, "means") + field(4, "ReduceMean") + attributes
    outputs = tensor("means", (shape[0], "colors"))
    graph = field(1, node) + field(2, "graph") + field(11, tensor("faces", shape)) + field(12, outputs)
    return field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, graph)
