"""Who is shown: aligned faces to unit vectors, by networks of several makers behind one interface.

`load_embedder` reads every kind. A network that judges must differ in architecture and in training data from
the one in the losses (`NetworkCard` says both): networks of one kind err alike, and what a generator learns
to please would praise it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from facenet_pytorch import InceptionResnetV1
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from cnn.dlib_resnet import INPUT_PX as DLIB_PX
from cnn.dlib_resnet import DlibResnet
from cnn.face_window import FaceWindow
from cnn.mobile_facenet import INPUT_PX as MOBILE_PX
from cnn.mobile_facenet import MobileFaceNet
from cnn.onnx_networks import OnnxNetwork
from cnn.oracle import load_oracle
from stylegan.sampling import from_uint8
from stylegan.weights_file import build_to_fit, read_json_entry, read_safetensors, read_torch

# Where each network expects a face, averaged over what its own alignment finds in aligned photographs of
# three sources: dlib's chips of 150 px with padding .25 (by its five landmarks), the five points of ArcFace's
# template of 112 px, the box of facenet-pytorch's MTCNN.
DLIB_WINDOW = FaceWindow(left=42, top=68, side=174, size_px=DLIB_PX)
ARCFACE_WINDOW = FaceWindow(left=33, top=31, side=190, size_px=MOBILE_PX)
FACENET_WINDOW = FaceWindow(left=46, top=58, side=165, size_px=160)
READ_AT_ONCE = 100  # pictures
FOREIGN = (LookupError, TypeError, ValueError, RuntimeError, AttributeError)


@dataclass(frozen=True)
class NetworkCard:
    """What a reader of figures must know of the network that made them.

    Attributes:
        architecture, training_data: as its maker states them.
        threshold: Euclidean distance of two descriptors below which its maker calls them one person.
        differentiable: whether it can sit in a loss.
    """

    architecture: str
    training_data: str
    threshold: float | None = None
    differentiable: bool = True


class FaceEmbedder(nn.Module):
    """A frozen network in eval mode, with the part of the frame that it looks at."""

    def __init__(self, network: nn.Module, card: NetworkCard, window: FaceWindow | None = None) -> None:
        """Without a window the network gets the whole pictures."""
        super().__init__()
        self.network = network.requires_grad_(False)
        self.card, self.window = card, window
        self.eval()

    def train(self, mode: bool = True) -> FaceEmbedder:
        """Stays in eval mode: whoever trains a generator with it may call this on everything."""
        return super().train(False)

    def descriptors(self, images: Tensor) -> Tensor:
        """The network's own numbers [N, D], float32, whose distances its threshold is about.

        Args:
            images: aligned faces [N, 3, S, S] of any size S, RGB in [-1, 1].

        Raises:
            ValueError: pictures of another shape, or a gradient is asked of a network without.
        """
        return self.network(self.window.cut(images) if self.window else images).float()

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors [N, D] whose dot products say how much people resemble; as `descriptors`."""
        return functional.normalize(self.descriptors(images), dim=1)

    def comparable(self, images: Tensor) -> Tensor:
        """What is to be compared by Euclidean distance: `descriptors` where there is a threshold for them;
        else only the angle counts, and they are unit vectors.
        """
        return self(images) if self.card.threshold is None else self.descriptors(images)

    @torch.inference_mode()
    def read(self, images: np.ndarray) -> Tensor:
        """`comparable` of pictures uint8 [N, S, S, 3] in the aligned frame: float32 [N, D] on the CPU."""
        device = next((value.device for value in self.parameters()), torch.device("cpu"))
        starts = range(0, len(images), READ_AT_ONCE)
        parts = (from_uint8(images[start : start + READ_AT_ONCE]).to(device) for start in starts)
        return torch.cat([self.comparable(part).cpu() for part in parts])


class OracleIdentity(nn.Module):
    """The identity head of an oracle, ours or the one of the drawn world's losses."""

    def __init__(self, oracle: nn.Module) -> None:
        super().__init__()
        self.oracle = oracle

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors [N, D] of pictures [N, 3, H, W] in [-1, 1]."""
        return self.oracle(images)["identity"]


class Kind(NamedTuple):
    """A network of our own code whose weights stand in a safetensors file."""

    build: Callable[[], nn.Module]
    window: FaceWindow
    architecture: str


KINDS = {
    "dlib_resnet": Kind(DlibResnet, DLIB_WINDOW, "ResNet of 29 convolutions"),
    "mobile_facenet": Kind(MobileFaceNet, ARCFACE_WINDOW, "MobileFaceNet: depthwise bottlenecks"),
}


def load_embedder(path: Path, device: torch.device | str = "cpu") -> FaceEmbedder:
    """The network of a file, by its kind.

    Args:
        path: `.safetensors` of `save_embedder` or `cnn.oracle.save_oracle`; `.onnx`, a face network that
            expects ArcFace's template in [-1, 1] (no gradients); any other: facenet-pytorch's weights of
            `InceptionResnetV1`, such as `20180402-114759-vggface2.pt`.

    Raises:
        ValueError: the file is missing, damaged or no such network.
        ImportError: onnxruntime is needed and not installed; one line says how to get it.
    """
    path = Path(path)
    readers = {".safetensors": _load_own, ".onnx": _load_onnx}
    return readers.get(path.suffix.lower(), _load_facenet)(path).to(device)


def save_embedder(path: Path, kind: str, state: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """Write weights of one of `KINDS`, matrices in half precision; the caller makes it atomic.

    Args:
        state: its `state_dict`.
        notes: stored as metadata: `training_data` and, if published, `threshold`; besides that free.

    Raises:
        ValueError: the state is not that of the network.
    """
    build_to_fit(KINDS[kind].build, state)
    halves = {name: value.half() if value.ndim > 1 else value.float() for name, value in state.items()}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in halves.items()}
    save_file(contiguous, path, metadata={"metadata": json.dumps({"kind": kind, **notes})})


def _load_own(path: Path) -> FaceEmbedder:
    tensors, metadata = read_safetensors(path)
    notes = read_json_entry(path, metadata, "metadata")
    if notes.get("kind") == "oracle":
        oracle = load_oracle(path)
        card = NetworkCard(f"oracle with a {oracle.config.trunk} trunk", str(notes.get("trained_on")))
        return FaceEmbedder(OracleIdentity(oracle), card)
    if notes.get("kind") not in KINDS:
        raise ValueError(
            f"{path.name} is a file of kind {notes.get('kind')!r}, and no network that tells people apart "
            f"({', '.join(['oracle', *KINDS])})"
        )
    kind = KINDS[notes["kind"]]
    try:
        network = build_to_fit(kind.build, tensors)
        card = NetworkCard(kind.architecture, notes["training_data"], notes.get("threshold"))
    except FOREIGN as error:
        raise ValueError(f"{path.name} cannot be read as {notes['kind']}: {error}") from error
    # Channels last takes a quarter to a third less time on a CPU.
    return FaceEmbedder(network.to(memory_format=torch.channels_last), card, kind.window)


def _load_onnx(path: Path) -> FaceEmbedder:
    network = OnnxNetwork(path)
    window = FaceWindow(**{**asdict(ARCFACE_WINDOW), "size_px": network.size_px or MOBILE_PX})
    card = NetworkCard(f"ONNX file {path.name}", "not stated", differentiable=False)
    return FaceEmbedder(network, card, window)


def _load_facenet(path: Path) -> FaceEmbedder:
    content = read_torch(path)
    try:
        # Its last layer tells the people apart whom it was trained on, and is of no use to others.
        state = {name: value for name, value in content.items() if not name.startswith("logits.")}
        network = build_to_fit(lambda: InceptionResnetV1(pretrained=None, classify=False), state)
    except FOREIGN as error:
        raise ValueError(f"{path.name} is no network of facenet-pytorch: {error}") from error
    return FaceEmbedder(network, NetworkCard("InceptionResnetV1", path.stem), FACENET_WINDOW)
