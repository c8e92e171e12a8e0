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


Shape = tuple[int | str, ...]
ONNX_TYPES = {"float": 1, "uint8": 2, "int64": 7, "double": 11}


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_tensor(name: str, shape: Shape, kind: str = "float") -> bytes:
    """An input or output; a word stands for an open size."""
    dimensions = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, ONNX_TYPES[kind]) + field(2, dimensions)))


def onnx_file(operator: str, attributes: bytes, inputs: list[bytes], outputs: list[bytes]) -> bytes:
    """An ONNX file of one operator from a tensor "faces" to a tensor "made"."""
    return onnx_graph([onnx_node(operator, ["faces"], "made", attributes)], inputs, outputs)


def onnx_node(operator: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    """One operator of a graph."""
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator) + attributes


def onnx_integers(name: str, *values: int) -> bytes:
    """An attribute of an operator."""
    return field(5, field(1, name) + b"".join(field(8, value) for value in values) + field(20, 7))


def onnx_graph(nodes: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    """An ONNX file of several operators."""
    graph = b"".join(field(1, node) for node in nodes) + field(2, "graph")
    graph += b"".join(field(11, item) for item in inputs) + b"".join(field(12, item) for item in outputs)
    return field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, graph)


def onnx_means(shape: Shape) -> bytes:
    """An ONNX file: the mean color [N, 3] of pictures of this shape; a word stands for an open size."""
    axes = (1, 2) if shape[3] == 3 else (2, 3)
    attributes = onnx_integers("axes", *axes)
    attributes += field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    outputs = [onnx_tensor("made", (shape[0], "colors"))]
    return onnx_file("ReduceMean", attributes, [onnx_tensor("faces", shape)], outputs)


def onnx_restorer(operator: str = "Tanh", shape: Shape = (1, 3, 48, 48), *others: bytes) -> bytes:
    """An ONNX file from a picture to a picture, by an operator on each pixel."""
    inputs = [onnx_tensor("faces", shape), *others]
    return onnx_file(operator, b"", inputs, [onnx_tensor("made", shape)])


def onnx_yunet(size: int = 256) -> bytes:
    """A face detector with the outputs of YuNet, which takes each bright square for a face."""
    nodes, outputs = [], []
    for stride in (8, 16, 32):
        side, light, nothing = size // stride, f"light_{stride}", f"nothing_{stride}"
        window = onnx_integers("kernel_shape", stride, stride) + onnx_integers("strides", stride, stride)
        nodes.append(onnx_node("AveragePool", ["faces"], f"pool_{stride}", window))
        nodes.append(onnx_node("ReduceMean", [f"pool_{stride}"], light, onnx_integers("axes", 1)))
        nodes.append(onnx_node("Sub", [light, light], nothing))
        for name, of, count in (
            ("cls", light, 1),
            ("obj", light, 1),
            ("bbox", nothing, 4),
            ("kps", nothing, 10),
        ):
            joined = field(5, field(1, "axis") + field(3, 1) + field(20, 2))
            nodes.append(onnx_node("Concat", [of] * count, f"{name}_{stride}", joined))
            outputs.append(onnx_tensor(f"{name}_{stride}", (1, count, side, side)))
    return onnx_graph(nodes, [onnx_tensor("faces", (1, 3, size, size))], outputs)
