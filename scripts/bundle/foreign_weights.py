"""Readers of other people's weights: dlib's serialised networks and TensorFlow Lite's graphs.

Both read numbers only and hand them on in the order of the graph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

LINEAR = b"fc_2"
DLIB_LAYER = re.compile(rb"\x05con_4|\x07affine_|\x04fc_2")
TENSOR_DIMENSIONS = 4
TENSOR_VERSION = 2

TFLITE_MAGIC = b"TFL3"
TFLITE_OPERATORS = {3: "convolution", 4: "depthwise", 18: "multiply"}
FLOAT32 = 0


class DlibReader:
    """Numbers of a dlib file, from one place on."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def integer(self) -> int:
        """A byte with the count of those that follow (and a sign bit), then these, the lowest first."""
        head = self.data[self.at]
        count = head & 0x0F
        value = int.from_bytes(self.data[self.at + 1 : self.at + 1 + count], "little")
        self.at += 1 + count
        return -value if head & 0x80 else value

    def tensor(self) -> np.ndarray:
        """Version, four sizes, float32 values.

        Raises:
            ValueError: another version, or the file ends before them.
        """
        version = self.integer()
        shape = [self.integer() for _ in range(TENSOR_DIMENSIONS)]
        count = int(np.prod(shape))
        if version != TENSOR_VERSION or count > (len(self.data) - self.at) // 4:
            raise ValueError(f"a tensor of version {version} and sizes {shape} cannot be read")
        values = np.frombuffer(self.data, "<f4", count, self.at)
        self.at += 4 * count
        return values.reshape(shape)


def dlib_layers(data: bytes) -> list[tuple[str, np.ndarray]]:
    """Layers with weights, input first: ("con_4" | "affine_" | "fc_2", values).

    A convolution has its filters and then its biases in one row, an affine layer its factors and then its
    summands; a linear layer is [inputs, outputs].

    Raises:
        ValueError: the data do not hold such layers.
    """
    layers: list[tuple[str, np.ndarray]] = []
    for found in DLIB_LAYER.finditer(data):
        name = found.group()[1:]
        reader = DlibReader(data, found.end())
        if name == LINEAR:
            outputs, inputs = reader.integer(), reader.integer()
            layers.append((name.decode(), reader.tensor().reshape(inputs, outputs)))
        else:
            layers.append((name.decode(), reader.tensor().ravel()))
    if not layers:
        raise ValueError("there is no layer of a dlib network in it")
    return layers


class Operator(NamedTuple):
    """A node of a TensorFlow Lite graph with its constant inputs, float32."""

    kind: str
    constants: list[np.ndarray]


class FlatTable(Table):  # type: ignore[misc]  # flatbuffers has no types
    """A table of a FlatBuffers file, whose fields are known by number; one that is left out is 0 or empty."""

    def number(self, number: int, flags: Any) -> int:
        """A scalar field."""
        at = self.Offset(4 + 2 * number)
        return self.Get(flags, self.Pos + at) if at else 0

    def array(self, number: int, flags: Any) -> np.ndarray:
        """A vector of plain numbers."""
        at = self.Offset(4 + 2 * number)
        return self.GetVectorAsNumpy(flags, at) if at else np.empty(0, flags.py_type)

    def tables(self, number: int) -> list[FlatTable]:
        """A vector of tables."""
        at = self.Offset(4 + 2 * number)
        first = self.Vector(at)
        return [
            FlatTable(self.Bytes, self.Indirect(first + 4 * index)) for index in range(self.VectorLen(at))
        ]


def tflite_operators(data: bytes) -> Iterator[Operator]:
    """Operators of the only graph that have constants, in its order: see `TFLITE_OPERATORS`.

    Field numbers are those of TensorFlow Lite's `schema.fbs`: Model (operator_codes 1, subgraphs 2,
    buffers 4), SubGraph (tensors 0, operators 3), Tensor (shape 0, type 1, buffer 2), Operator
    (opcode_index 0, inputs 1), OperatorCode (deprecated_builtin_code 0), Buffer (data 0).

    Raises:
        ValueError: it is no such file.
    """
    if data[4:8] != TFLITE_MAGIC:
        raise ValueError("it is no TensorFlow Lite file")
    model = FlatTable(bytearray(data), encode.Get(packer.uoffset, data, 0))
    codes = [code.number(0, number_types.Int8Flags) for code in model.tables(1)]
    buffers = model.tables(4)
    (graph,) = model.tables(2)
    tensors = graph.tables(0)
    for node in graph.tables(3):
        kind = TFLITE_OPERATORS.get(codes[node.number(0, number_types.Uint32Flags)])
        if kind is None:
            continue
        constants = []
        for tensor in (tensors[index] for index in node.array(1, number_types.Int32Flags)):
            values = buffers[tensor.number(2, number_types.Uint32Flags)].array(0, number_types.Uint8Flags)
            if len(values) and tensor.number(1, number_types.Int8Flags) == FLOAT32:
                constants.append(values.view("<f4").reshape(tensor.array(0, number_types.Int32Flags)))
        yield Operator(kind, constants)
