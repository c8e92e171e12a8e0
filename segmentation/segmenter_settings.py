"""How faces are cut out and parsed, in numbers; without torch, so that `--help` stays fast."""

from dataclasses import dataclass

MTCNN_FILES = {"pnet": "mtcnn_pnet.pt", "rnet": "mtcnn_rnet.pt", "onet": "mtcnn_onet.pt"}
"""The detector's three networks and the files that may hold their weights, as facenet-pytorch stores them."""

PRECISION_AGREEMENT = 0.995
"""Share of equal pixels that a faster arithmetic must reach."""


@dataclass(frozen=True)
class SegmenterSettings:
    """What decides, beside the weights, which pixels of a picture get which class."""

    detection_size: int = 160
    """Pictures are resized so that their shorter side has this many pixels before faces are detected; the
    detector's last network looks at 48 px, so a face should have about as many."""
    min_face: float = 0.2
    """Smallest face looked for, as a share of the shorter side. Small faces cost most of the time, and
    portraits have none."""
    margin: float = 0.25
    """Widening of the detected box on each side, as a share of its size."""
    precision: str = "float32"
    """Arithmetic of the parser: float32 or bfloat16."""
