"""Networks given as ONNX files, run by onnxruntime on the CPU; without gradients, so they only judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnn.face_window import FaceWindow

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

CAN_READ = onnxruntime is not None
GENDER_INPUT_PX = 32
GENDER_WINDOW = FaceWindow(left=44, top=70, side=170, size_px=GENDER_INPUT_PX)  # closest to its own chips
GENDER_MEANS = (122.781998, 117.000999, 104.297997)  # red, green, blue, of 0 to 255


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """An ONNX file, ready to run on the CPU; ImportError, or ValueError if it is missing or damaged."""
    if onnxruntime is None:
        raise ImportError(
            f"{path.name} needs onnxruntime, which is not installed: python -m pip install onnxruntime"
        )
    if not path.is_file():
        raise ValueError(f"There is no network {path}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong with the file is said below
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path.name} cannot be read as an ONNX network: {reason}") from error


class OnnxNetwork(nn.Module):
    """One picture input [N, 3, S, S] or [N, S, S, 3], one output [N, D] (the first, where there are more).

    Attributes:
        size_px: S; None where the file leaves it open.
    """

    def __init__(self, path: Path) -> None:
        """Raises ImportError, or ValueError if the file is missing, damaged or of another kind."""
        super().__init__()
        path = Path(path)
        self._session = open_session(path)
        self._set_layout(path)

    def _set_layout(self, path: Path) -> None:
        given, found = self._session.get_inputs(), self._session.get_outputs()
        shape = given[0].shape
        is_picture = len(given) == 1 and len(shape) == 4 and given[0].type == "tensor(float)"
        self._channels_last = is_picture and shape[3] == 3 and shape[1] != 3
        if not is_picture or 3 not in (shape[1], shape[3]) or len(found[0].shape) != 2:
            raise ValueError(
                f"{path.name} does not read a picture [N, 3, S, S] into numbers [N, D]: "
                f"inputs {[item.shape for item in given]}, outputs {[item.shape for item in found]}"
            )
        height, width = shape[1:3] if self._channels_last else shape[2:4]
        if height != width and isinstance(height, int) and isinstance(width, int):
            raise ValueError(f"{path.name} reads pictures of {width}x{height} px; a square is needed")
        self.size_px = height if isinstance(height, int) else None
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self._input, self._output = given[0].name, found[0].name

    def forward(self, pictures: Tensor) -> Tensor:
        """Outputs [N, D] float32, on the device of the pictures, for N at least 1.

        Args:
            pictures: [N, 3, S, S] in the units that the file was trained on.

        Raises:
            ValueError: a gradient is asked for.
        """
        if pictures.requires_grad and torch.is_grad_enabled():
            raise ValueError("an ONNX network gives no gradients: it can judge pictures, not train on them")
        values = pictures.detach().float().cpu().numpy()
        if self._channels_last:
            values = values.transpose(0, 2, 3, 1)
        step = self._batch or len(values)
        parts = [self._run(values[start : start + step]) for start in range(0, len(values), step)]
        return torch.from_numpy(np.concatenate(parts)).to(pictures.device)

    def _run(self, values: np.ndarray) -> np.ndarray:
        """Outputs of at most as many pictures as the file takes at once."""
        count = len(values)
        if self._batch is not None and count < self._batch:
            values = np.concatenate([values, np.zeros((self._batch - count, *values.shape[1:]), np.float32)])
        return self._session.run([self._output], {self._input: values})[0][:count]


class GenderJudge(nn.Module):
    """Probability of a woman by dlib's gender network (Cydral Technology); it judges and is in no loss."""

    def __init__(self, path: Path) -> None:
        """Raises ImportError, or ValueError if the file is no gender network."""
        super().__init__()
        self.name = f"ONNX file {Path(path).name}"
        self.network = OnnxNetwork(path)
        if self.network.size_px != GENDER_INPUT_PX:
            raise ValueError(
                f"{Path(path).name} reads pictures of {self.network.size_px} px, "
                f"the gender network of data/photographs {GENDER_INPUT_PX}"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities [N], 0 a man to 1 a woman, of aligned faces [N, 3, S, S], RGB in [-1, 1]."""
        return self.read(GENDER_WINDOW.cut(images))

    def read(self, faces: Tensor) -> Tensor:
        """The same of faces that are cut out already, [N, 3, 32, 32]."""
        means = torch.tensor(GENDER_MEANS, device=faces.device).view(3, 1, 1)
        return self.network(((faces + 1) * 127.5 - means) / 256)[:, 0]
