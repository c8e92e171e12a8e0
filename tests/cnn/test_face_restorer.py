"""Face restorers that a user brings: sizes from the file, ranges by trying, refusals by name."""

from pathlib import Path

import numpy as np
import pytest

from cnn.face_restorer import USUAL_PX, FaceRestorer
from tests.cnn.face_networks import blocks, onnx_means, onnx_restorer, onnx_tensor

WEIGHT = onnx_tensor("weight", (1,), "double")


def restorer(folder: Path, content: bytes) -> FaceRestorer:
    path = folder / "restorer.onnx"
    path.write_bytes(content)
    return FaceRestorer(path)


@pytest.mark.parametrize(
    ("content", "size", "black", "white"),
    [
        (onnx_restorer("Tanh"), 48, -1, 1),  # it bends what is not near zero
        (onnx_restorer("Relu", ("n", 3, "h", "w")), USUAL_PX, 0, 1),  # it loses what is below zero
        (onnx_restorer("Floor", (1, 48, 48, 3)), 48, 0, 255),  # it loses what is between whole numbers
        (onnx_restorer("Tanh", (1, 3, 48, 48), WEIGHT), 48, -1, 1),
    ],
)
def test_sizes_are_read_and_ranges_found(
    tmp_path: Path, content: bytes, size: int, black: int, white: int
) -> None:
    network = restorer(tmp_path, content)
    assert network.size_px == size
    face = blocks(size, 1)[0]
    made = network(face)
    assert made.shape == face.shape and made.dtype == np.uint8
    assert network.ranges is not None and network.ranges.given == (black, white) == network.ranges.made
    assert np.abs(made.astype(int) - face).mean() < 20


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (onnx_means((1, 3, 48, 48)), r"no face restorer.*made \[1, 3\]"),
        (onnx_restorer("Tanh", (1, 1, 48, 48)), "no face restorer"),
        (onnx_restorer("Tanh", (1, 3, 48, 64)), "no face restorer"),
        (onnx_restorer("Tanh", (1, 3, 48, 48), WEIGHT, onnx_tensor("more", (1,))), "no face restorer"),
        (onnx_restorer("Tanh", (1, 3, 48, 48), onnx_tensor("mask", (1, 1, 48, 48))), "no face restorer"),
        (b"no network", "cannot be read as an ONNX network"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        restorer(tmp_path, content)


def test_what_does_not_give_a_face_back_is_no_restorer(tmp_path: Path) -> None:
    face = np.full((48, 48, 3), 40, np.uint8)
    face[:24] = 250
    with pytest.raises(ValueError, match="does not give a face back"):
        restorer(tmp_path, onnx_restorer("Neg"))(face)
    with pytest.raises(ValueError, match="a face is uint8"):
        restorer(tmp_path, onnx_restorer("Tanh"))(face[:, :40])
