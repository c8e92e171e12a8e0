"""Who is shown and how well: the networks that judge people, whichever of them there are.

The drawn world has an oracle, which knows gender, quality, identity and properties. Photographs have outside
networks for identity and gender, and nobody who judges their quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cnn.identity import READ_AT_ONCE, FaceEmbedder
from cnn.onnx_networks import GenderJudge
from cnn.oracle import Oracle, read_pictures
from stylegan.sampling import from_uint8

Question = Literal["identity", "gender", "quality"]
SUREST = 1e-6  # of probabilities, whose logits would be infinite at 0 and 1


@dataclass(frozen=True)
class PeopleJudges:
    """The judges of one workspace; an outside network answers its question before the oracle does."""

    oracle: Oracle | None = None
    identity: FaceEmbedder | None = None
    gender: GenderJudge | None = None

    @property
    def names(self) -> dict[Question, str | None]:
        """Which network answers each question; None: no judge."""
        oracle = None if self.oracle is None else "oracle"
        return {
            "identity": oracle if self.identity is None else self.identity.card.architecture,
            "gender": oracle if self.gender is None else self.gender.name,
            "quality": oracle,
        }

    @property
    def read_photographs(self) -> bool:
        """Whether networks that know real faces judge."""
        return self.identity is not None or self.gender is not None

    @property
    def threshold(self) -> float | None:
        """Distance of two descriptors below which the identity judge's maker calls them one person."""
        return None if self.identity is None else self.identity.card.threshold

    def read(self, images: np.ndarray) -> dict[str, Tensor]:
        """What the judges see in pictures uint8 [N, H, W, 3] in the aligned frame, float32 on the CPU.

        Returns:
            as far as there are judges: `identity` [N, D], descriptors whose distances say how much people
            differ; `gender` [N] and `quality` [N], logits, positive for a woman and for good quality; of an
            oracle also `properties` [N, P] and `features` [N, F] (see `Oracle.forward`).
        """
        found = {} if self.oracle is None else read_pictures(self.oracle, images)
        if self.identity is not None:
            found["identity"] = self.identity.read(images)
        if self.gender is not None:
            starts = range(0, len(images), READ_AT_ONCE)
            parts = [self.gender(from_uint8(images[start : start + READ_AT_ONCE])) for start in starts]
            found["gender"] = torch.cat(parts).logit(eps=SUREST)
        return found
