"""Reads photographs and what was found of them: seven properties, and who is shown. None of these networks is
in the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from cnn.identity import FaceEmbedder, load_embedder
from cnn.verification import share_in_order
from scripts.pipeline import Tool
from scripts.stages import networks
from scripts.stages.projecting.projector import Projector
from scripts.stages.scores import load_statistics
from scripts.stages.workspace import IDENTITY_JUDGE, ORACLE
from segmentation.face_alignment import FRAME_PX, Similarity, cut_out
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import sample_z, to_uint8
from stylegan.seeds import CANDIDATES

DRAWN_AT_ONCE = 32
STRANGERS, STRANGER_QUANTILE = 128, 0.99
UNLIKE, STRANGE, UNREADABLE = "not a likeness", "unlike the parser's training", "unreadable: "


class PropertyReader:
    """The seven dials of photographs and of what was found of them.

    Raises:
        UserError: the workspace lacks a network or the statistics of the scores.
    """

    def __init__(self, tool: Tool) -> None:
        self.judge = networks.load_judge(tool, load_statistics(tool))

    def __call__(self, photo: np.ndarray, drawn: np.ndarray) -> tuple[dict[str, float], list[str]]:
        """Readings of an aligned photograph and of a picture of it, both uint8 [S, S, 3], by column; and what
        speaks against those of the photograph.
        """
        values, valid = self.judge(np.stack([photo, drawn]))
        row: dict[str, float] = {}
        for name, read in zip(PROPERTY_NAMES, np.where(valid, values, np.nan).T, strict=True):
            row |= {f"{name}_photo": float(read[0]), f"{name}_projection": float(read[1])}
        against = []
        if hidden := [name for name, good in zip(PROPERTY_NAMES, valid[0], strict=True) if not good]:
            against.append(UNREADABLE + " ".join(hidden))
        if self.judge.strangeness(photo[None])[0] > 1:
            against.append(STRANGE)
        return row, against


class IdentityReader:
    """Who is shown, by a network that is in no loss.

    Args:
        embedder: the network.
        frame: from the generator's frame to that of `align_photos.py` (see `faces.generators_frame`), in
            which published networks expect faces; None: the same.
    """

    def __init__(self, embedder: FaceEmbedder, frame: Similarity | None = None) -> None:
        self.embedder, self.frame = embedder, frame

    def __call__(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """`FaceEmbedder.read` of N pictures uint8 [S, S, 3] in the generator's frame: float32 [N, D]."""
        return self.embedder.read(np.stack([self._in_its_frame(picture) for picture in pictures]))

    def _in_its_frame(self, picture: np.ndarray) -> np.ndarray:
        if self.embedder.window is None or self.frame is None:
            return picture
        return usual_frame(picture, self.frame)

    def stranger_distance(self, projector: Projector) -> float:
        """The distance of one person's pictures from another's, of which one pair in a hundred is nearer: the
        maker's own, or that of random people of the generator.
        """
        if self.embedder.card.threshold is not None:
            return self.embedder.card.threshold
        z = sample_z(range(STRANGERS), CANDIDATES.start, projector.model.z_space_dim).to(
            projector.tool.device
        )
        with torch.no_grad():
            batches = [projector.model(part)["image"] for part in z.split(DRAWN_AT_ONCE)]
        vectors = self(list(np.concatenate([to_uint8(batch) for batch in batches])))
        apart = torch.pdist(vectors)
        return float(torch.quantile(apart, 1 - STRANGER_QUANTILE))


def usual_frame(picture: np.ndarray, frame: Similarity, size_px: int = FRAME_PX) -> np.ndarray:
    """A picture uint8 [S, S, 3] in the generator's frame as `align_photos.py` would cut it, uint8 [size_px,
    size_px, 3].
    """
    scaled = Similarity(complex(len(picture) / FRAME_PX), 0j)
    return cut_out(picture, scaled.after(frame.inverse()), size_px)[0]


def load_identity_reader(tool: Tool, judge: Path | None, frame: Similarity | None) -> IdentityReader | None:
    """The judge of a file, or that of the workspace; None where there is neither.

    Raises:
        UserError: the file is no such network.
    """
    given = [judge] if judge else [tool.workspace / name for name in (IDENTITY_JUDGE, ORACLE)]
    path = next((path for path in given if path.exists()), None)
    if path is None and judge is None:
        tool.log("no judge of identity in the workspace; --judge FILE gives one")
        return None
    with tool.foreseen(ValueError, ImportError, OSError):
        return IdentityReader(load_embedder(path or given[0], tool.device), frame)


def compare_people(
    reader: IdentityReader,
    photos: Sequence[np.ndarray],
    drawn: Sequence[np.ndarray],
    people: Sequence[str],
    limit: float,
) -> tuple[pd.DataFrame, float | None]:
    """How surely what was found shows the person of its photograph and nobody else's.

    Args:
        reader: the judge.
        photos, drawn: N pictures each, uint8 [S, S, 3].
        people: who is shown, by any name.
        limit: distance beyond which a picture is no likeness.

    Returns:
        Columns `similarity` (cosine to its own photograph), `similarity_other` (to the most similar
        photograph of somebody else), `distance` and `alike`; and the AUC of projection against photograph, of
        the same person against others, None where there are no others.
    """
    theirs, ours = reader(photos), reader(drawn)
    distances = torch.cdist(ours, theirs, compute_mode="donot_use_mm_for_euclid_dist")
    cosines = functional.normalize(ours, dim=1) @ functional.normalize(theirs, dim=1).T
    names = np.asarray(people)
    others = torch.from_numpy(names[:, None] != names[None])
    table = pd.DataFrame({"similarity": cosines.diagonal(), "distance": distances.diagonal()})
    nearest = torch.where(others, cosines, -torch.inf).max(dim=1).values
    table["similarity_other"] = np.where(others.any(dim=1), nearest, np.nan)
    table["alike"] = table["distance"] <= limit
    auc = share_in_order(distances.diagonal(), distances[others]) if others.any() else None
    return table.round({"similarity": 4, "distance": 4, "similarity_other": 4}), auc


def mean_error(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two pictures uint8 of one size, grey levels of 255."""
    return float(np.abs(first.astype(np.float64) - second).mean())


def quality(flags: str) -> str:
    """A word for what was found: good, fair if anything speaks against it, poor if it shows somebody else."""
    if UNLIKE in flags:
        return "poor"
    return "fair" if flags else "good"


def person_of(row: Any, by_name: bool) -> str:
    """Who a photograph shows: everybody is somebody else, or, by name, those whose files agree up to "_"."""
    name = Path(str(row["source"])).name
    return name.partition("_")[0] if by_name else f"{row['source']} {row['face']}"
