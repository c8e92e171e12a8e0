"""Face restorers that a user brings as ONNX files: GFPGAN, CodeFormer, GPEN and networks like them.

Names, sizes and types of inputs and outputs stand in the file. The range of the pixels does not: it is found
by asking the network for a face in each usual range; the right one gives the face back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cnn.onnx_networks import open_session

USUAL_PX = 512  # where the file leaves the size open
RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
SCALAR_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
FAITHFUL = 1.0  # CodeFormer's second input: 0 invents freely, 1 keeps to the face that it was given
COMPARED_PX = 32
SURE_ERROR, LARGEST_ERROR = 10.0, 30.0  # of 255, at 32 px: the right range for certain; no restorer


@dataclass(frozen=True)
class PixelRanges:
    """Black and white of the network's input and of its output."""

    given: tuple[float, float]
    made: tuple[float, float]


class FaceRestorer:
    """A network from a face to a sharper face.

    Attributes:
        size_px: side of the faces that it takes.
        ranges: of its pixels, known after the first face.
    """

    def __init__(self, path: Path) -> None:
        """Raises ImportError without onnxruntime, or ValueError if the file is missing or another network."""
        self.path = Path(path)
        self._session = open_session(self.path)
        self.ranges: PixelRanges | None = None
        pictures = [item for item in self._session.get_inputs() if len(item.shape) == 4]
        scalars = [item for item in self._session.get_inputs() if len(item.shape) < 2]
        made = [item for item in self._session.get_outputs() if len(item.shape) == 4]
        alone = len(pictures) == 1 and len(pictures) + len(scalars) == len(self._session.get_inputs())
        if not alone or not made or len(scalars) > 1:
            raise self._other_network()
        self._input, self._output = pictures[0], made[0]
        shape = self._input.shape
        self._channels_last = shape[3] == 3 and shape[1] != 3
        height, width = shape[1:3] if self._channels_last else shape[2:4]
        colours = shape[3] if self._channels_last else shape[1]
        known = [side for side in (height, width) if isinstance(side, int)]
        types_known = self._input.type in TYPES and all(item.type in SCALAR_TYPES for item in scalars)
        if colours != 3 or len(set(known)) > 1 or not types_known:
            raise self._other_network()
        self.size_px = known[0] if known else USUAL_PX
        self._scalars = {
            item.name: np.full([1] * len(item.shape), FAITHFUL, SCALAR_TYPES[item.type]) for item in scalars
        }

    def _other_network(self) -> ValueError:
        def told(items: Any) -> str:
            return ", ".join(f"{item.name} {item.shape} {item.type}" for item in items)

        return ValueError(
            f"{self.path.name} is no face restorer, which takes one square picture [1, 3, S, S], perhaps a "
            f"weight, and gives a picture: inputs {told(self._session.get_inputs())}; outputs "
            f"{told(self._session.get_outputs())}"
        )

    def __call__(self, face: np.ndarray) -> np.ndarray:
        """A restored face uint8 [S', S', 3] RGB of a face uint8 [size_px, size_px, 3] in FFHQ's frame, which
        is that of `scripts/align_photos.py` within 3 %.

        Raises:
            ValueError: the face has another size, or the network does not give it back in any range.
        """
        if face.shape != (self.size_px, self.size_px, 3) or face.dtype != np.uint8:
            raise ValueError(
                f"a face is uint8 [{self.size_px}, {self.size_px}, 3], not {face.dtype} {face.shape}"
            )
        if self.ranges is None:
            self.ranges = self._find_ranges(face)
        return _pixels(self._run(face, self.ranges.given), self.ranges.made)

    def _find_ranges(self, face: np.ndarray) -> PixelRanges:
        best, least = None, np.inf
        for given in RANGES:
            values = self._run(face, given)
            for made in RANGES:
                error = _coarse_error(_pixels(values, made), face)
                # The output mostly has the range of the input.
                if error + (made != given) < least:
                    best, least = PixelRanges(given, made), error + (made != given)
            if least < SURE_ERROR:
                break
        if best is None or least > LARGEST_ERROR:
            raise ValueError(
                f"{self.path.name} does not give a face back, whatever the range of the pixels (error "
                f"{least:.0f} of 255 at {COMPARED_PX} px), so it is no face restorer"
            )
        return best

    def _run(self, face: np.ndarray, given: tuple[float, float]) -> np.ndarray:
        """Output float32 [H, W, 3] for a face whose black and white are these."""
        black, white = given
        values = (face / 255 * (white - black) + black).astype(TYPES[self._input.type])
        picture = values if self._channels_last else values.transpose(2, 0, 1)
        (made,) = self._session.run([self._output.name], {self._input.name: picture[None], **self._scalars})
        found = np.asarray(made[0], np.float32)
        if 3 not in (found.shape[0], found.shape[2]):
            raise self._other_network()
        return found if found.shape[2] == 3 else found.transpose(1, 2, 0)


def _pixels(values: np.ndarray, made: tuple[float, float]) -> np.ndarray:
    """uint8 of an output whose black and white are these."""
    black, white = made
    scaled = np.nan_to_num((values - black) / (white - black) * 255)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _coarse_error(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two pictures uint8 of any sizes, shrunk to 32 px."""
    small = [
        cv2.resize(picture, (COMPARED_PX, COMPARED_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
        for picture in (first, second)
    ]
    return float(np.abs(small[0] - small[1]).mean())
