"""Women and men by one linear layer on what a face network says: first labels of photographs and generators.

The network is the one of the losses. Neither it nor the layer shares makers or pictures with the judges, so
labels that come from here can teach the filter.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from cnn.identity import FaceEmbedder, load_embedder
from stylegan.weights_file import read_json_entry, read_safetensors

KIND = "gender_head"
SHRUNK_PX = 48  # pictures of small and unfinished generators show no more
PENALTY = 1.0  # sklearn's C
READ_AT_ONCE = 50  # pictures


class GenderHead(nn.Module):
    """Logits of women, from the unit vectors of a frozen embedder."""

    def __init__(self, embedder: FaceEmbedder, size: int) -> None:
        """`size`: of the embedder's vectors."""
        super().__init__()
        self.embedder = embedder
        self.layer = nn.Linear(size, 1)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N], positive for a woman, of aligned faces [N, 3, S, S], RGB in [-1, 1]."""
        return self.layer(self.embedder(images))[:, 0]


@torch.inference_mode()
def read_genders(head: GenderHead, images: Tensor) -> np.ndarray:
    """Probabilities of a woman, float64 [N], for aligned faces [N, 3, S, S] in [-1, 1]."""
    device = next(head.parameters()).device
    logits = torch.cat([head(part.to(device)) for part in images.split(READ_AT_ONCE)])
    return logits.double().sigmoid().cpu().numpy()


@torch.inference_mode()
def fit_gender_head(embedder: FaceEmbedder, images: Tensor, women: np.ndarray) -> GenderHead:
    """Logistic regression on faces, their mirror images, and the same reduced to `SHRUNK_PX` and enlarged.

    Args:
        images: aligned faces [N, 3, S, S] in [-1, 1].
        women: bool [N], both values among them.
    """
    shrunk = functional.interpolate(images, SHRUNK_PX, mode="bilinear", antialias=True)
    shrunk = functional.interpolate(shrunk, images.shape[-1], mode="bilinear")
    variants = (images, images.flip(3), shrunk, shrunk.flip(3))
    parts = [embedder(part) for variant in variants for part in variant.split(READ_AT_ONCE)]
    vectors = torch.cat(parts).double().cpu().numpy()
    model = LogisticRegression(C=PENALTY, max_iter=1000).fit(vectors, np.tile(women, len(variants)))
    head = GenderHead(embedder, vectors.shape[1])
    head.layer.weight.copy_(torch.from_numpy(model.coef_))
    head.layer.bias.copy_(torch.from_numpy(model.intercept_))
    return head


def save_gender_head(path: Path, head: GenderHead, embedder: Path, notes: dict[str, Any]) -> None:
    """Write the layer; the embedder's file, which must lie beside it, is named with its SHA-256.

    Args:
        notes: stored as metadata: command, pictures, figures.
    """
    known = {"kind": KIND, "embedder": embedder.name, "embedder_sha256": _sha256(embedder)}
    tensors = {name: value.detach().cpu().contiguous() for name, value in head.layer.state_dict().items()}
    save_file(tensors, path, metadata={"metadata": json.dumps(known | notes)})


def is_gender_head(path: Path) -> bool:
    """Whether a safetensors file is one of `save_gender_head`; `ValueError` if it cannot be read."""
    _, metadata = read_safetensors(path)
    return read_json_entry(path, metadata, "metadata").get("kind") == KIND


def load_gender_head(path: Path, device: torch.device | str = "cpu") -> GenderHead:
    """Read a file of `save_gender_head` and the embedder beside it.

    Raises:
        ValueError: one of them is missing, damaged or another network than the layer was fitted on.
    """
    tensors, metadata = read_safetensors(path)
    notes = read_json_entry(path, metadata, "metadata")
    try:
        embedder = path.with_name(notes["embedder"])
        if not embedder.is_file() or _sha256(embedder) != notes["embedder_sha256"]:
            raise ValueError(f"the network that it reads, {embedder.name}, must lie beside it, unchanged")
        head = GenderHead(load_embedder(embedder), tensors["weight"].shape[1])
        head.layer.load_state_dict(tensors)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read as a gender head: {error}") from error
    return head.to(device)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
