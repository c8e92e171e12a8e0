"""What a picture looks like after it was stored as a JPEG file."""

from collections.abc import Sequence

import cv2
import numpy as np


def jpeg_copy(image: np.ndarray, settings: Sequence[int]) -> np.ndarray:
    """A picture uint8 [H, W, 3], encoded and decoded; `settings` as `cv2.imencode` takes them."""
    copy = cv2.imdecode(cv2.imencode(".jpg", image, settings)[1], cv2.IMREAD_COLOR)
    if copy is None:
        raise RuntimeError("OpenCV cannot decode the JPEG that it encoded")
    return copy
