"""MTCNN (Zhang et al. 2016), which finds faces: facenet-pytorch's code, and by default its weights."""

from pathlib import Path
from typing import Any

import torch
from facenet_pytorch import MTCNN

from segmentation.segmenter_settings import MTCNN_FILES
from stylegan.weights_file import WeightsFileError, read_torch


class MTCNNWeightsError(ValueError):
    """A file does not hold the weights of its network."""


def load_mtcnn(device: torch.device | str, weights: Path | None = None, **settings: Any) -> MTCNN:
    """Builds the detector, in eval mode.

    Args:
        device: where it runs.
        weights: folder with `MTCNN_FILES`; for those that it lacks, or without a folder, the package's own
            weights are taken.
        settings: see `facenet_pytorch.MTCNN`.

    Raises:
        MTCNNWeightsError: a file is damaged, or holds something else.
    """
    detector = MTCNN(keep_all=True, device=torch.device(device), **settings)
    for name, file_name in MTCNN_FILES.items():
        path = weights / file_name if weights is not None else None
        if path is None or not path.exists():
            continue
        try:
            getattr(detector, name).load_state_dict(read_torch(path))
        except WeightsFileError as error:
            raise MTCNNWeightsError(str(error)) from error
        except (RuntimeError, TypeError, AttributeError) as error:
            raise MTCNNWeightsError(f"{path} does not hold the weights of MTCNN's {name}.") from error
    # Channels last makes the pooling of these small networks, and so the whole, twice as fast on a CPU.
    return detector.eval().to(memory_format=torch.channels_last)
