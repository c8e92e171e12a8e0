"""Readers of other people's weights: dlib's serialised networks and TensorFlow Lite's graphs.

Both read numbers only, without the libraries that wrote them, and hand them on in the order of the graph.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

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


class FlatTable:
    """A table of a FlatBuffers file: fields by number, each at an offset that the table's own index names."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def _unpack(self, form: str, at: int) -> int:
        return struct.unpack_from(f"<{form}", self.data, at)[0]

    def _field(self, number: int) -> int:
        """Where a field lies; 0 if it is left out."""
        index = self.at - self._unpack("i", self.at)
        place = 4 + 2 * number
        offset = self._unpack("H", index + place) if place < self._unpack("H", index) else 0
        return self.at + offset if offset else 0

    def number(self, number: int, form: str) -> int:
        """A scalar field in the form of `struct`; 0 if it is left out."""
        at = self._field(number)
        return self._unpack(form, at) if at else 0

    def vector(self, number: int) -> tuple[int, int]:
        """Where a vector's first item lies, and how many there are."""
        at = self._field(number)
        if not at:
            return 0, 0
        at += self._unpack("I", at)
        return at + 4, self._unpack("I", at)

    def array(self, number: int, dtype: str) -> np.ndarray:
        """A vector of plain numbers."""
        first, count = self.vector(number)
        return np.frombuffer(self.data, dtype, count, first)

    def tables(self, number: int) -> list[FlatTable]:
        """A vector of tables."""
        first, count = self.vector(number)
        places = range(first, first + 4 * count, 4)
        return [FlatTable(self.data, at + self._unpack("I", at)) for at in places]


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
    model = FlatTable(data, struct.unpack_from("<I", data)[0])
    codes = [code.number(0, "b") for code in model.tables(1)]
    buffers = model.tables(4)
    (graph,) = model.tables(2)
    tensors = graph.tables(0)
    for node in graph.tables(3):
        kind = TFLITE_OPERATORS.get(codes[node.number(0, "I")])
        if kind is None:
            continue
        constants = []
        for tensor in (tensors[index] for index in node.array(1, "<i4")):
            values = buffers[tensor.number(2, "I")].array(0, "<u1")
            if len(values) and tensor.number(1, "b") == FLOAT32:
                constants.append(values.view("<f4").reshape(tensor.array(0, "<i4")))
        yield Operator(kind, constants)
