"""The conditions of the conditional VAEs: names, order, direction, and their scale from 0 to 1.

The first five are the inputs of the document of the NVAE idea, with its names and signs: hair is 1 where it
is dark, the head 0 to the left, 1 to the right and .5 ahead. The other two are the rest of the seven
properties, so that a VAE with all of them can be asked for what v1 and v2 are asked for.

Imports nothing heavy, since ``--help`` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from segmentation.property_table import PROPERTY_NAMES

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from segmentation.normalization import ScoreStatistics


@dataclass(frozen=True)
class Condition:
    """One input of a conditional VAE, a number from 0 to 1.

    Attributes:
        name: of its column and its option.
        measures: the property that it is, see `segmentation.property_table`.
        low, high: what 0 and 1 look like.
        is_reversed: a high condition is a low score of the property.
    """

    name: str
    measures: str
    low: str
    high: str
    is_reversed: bool = False


CONDITIONS: tuple[Condition, ...] = (
    Condition("eyes", "eyes", "closed", "wide open"),
    Condition("hair_color", "hair_color", "bright", "dark", is_reversed=True),
    Condition("mouth", "mouth", "closed", "wide open"),
    Condition("background", "background_mean", "dark", "bright"),
    Condition("head", "pose", "to the left", "to the right"),
    Condition("hair_length", "hair_length", "short", "long"),
    Condition("background_std", "background_std", "plain", "varied"),
)
CONDITION_NAMES = tuple(condition.name for condition in CONDITIONS)
DOCUMENT_CONDITIONS = CONDITION_NAMES[:5]
NEUTRAL = 0.5

AUGMENTATIONS = ("brightness", "saturation", "crop", "rotation", "mirrored")
"""How a training picture was changed. The network is told, and asked for unchanged pictures later, so what
augmentation teaches does not leak into its pictures (Karras et al., "Elucidating the design space of
diffusion-based generative models", 2022, section 5)."""


def condition(name: str) -> Condition:
    """The condition of a name; `ValueError` for another name."""
    for known in CONDITIONS:
        if known.name == name:
            return known
    raise ValueError(f"there is no condition {name!r}; there are {', '.join(CONDITION_NAMES)}")


@dataclass(frozen=True)
class ConditionScale:
    """From normalised scores of properties to conditions: condition = offset + slope x score.

    Attributes:
        names: of the conditions.
        offset, slope: one number for each.
    """

    names: tuple[str, ...]
    offset: tuple[float, ...]
    slope: tuple[float, ...]

    @classmethod
    def fit(cls, names: Sequence[str], statistics: ScoreStatistics) -> ConditionScale:
        """The 1st and 99th percentile of the scores become 0 and 1.

        For the head the raw score 0, a face seen from ahead, becomes .5, and the farther percentile 0 or 1,
        so that the mirror image has 1 minus its condition.
        """
        percentiles = statistics.normalized_percentiles()
        offsets, slopes = [], []
        for name in names:
            meant = condition(name)
            row = PROPERTY_NAMES.index(meant.measures)
            low, high = float(percentiles[row, 0]), float(percentiles[row, -1])
            if meant.name == "head":
                ahead = float(-statistics.mean[row] / statistics.std[row])
                reach = max(high - ahead, ahead - low)
                low, high = ahead - reach, ahead + reach
            slope = 1 / max(high - low, 1e-6)
            offset = -low * slope
            offsets.append(1 - offset if meant.is_reversed else offset)
            slopes.append(-slope if meant.is_reversed else slope)
        return cls(tuple(names), tuple(offsets), tuple(slopes))

    @property
    def columns(self) -> list[int]:
        """The places of what the conditions measure among the seven properties."""
        return [PROPERTY_NAMES.index(condition(name).measures) for name in self.names]

    def conditions(self, scores: np.ndarray) -> np.ndarray:
        """Conditions [..., C] in [0, 1] of scores of all seven properties [..., 7]; NaN stays."""
        import numpy as np

        found = np.asarray(self.offset) + np.asarray(self.slope) * np.asarray(scores)[..., self.columns]
        return np.clip(found, 0, 1)

    def unclipped(self, scores: Tensor) -> Tensor:
        """The same of a tensor [..., 7], with a gradient, and beyond [0, 1] where scores are."""
        offset, slope = scores.new_tensor(self.offset), scores.new_tensor(self.slope)
        return offset + slope * scores[..., self.columns]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ConditionScale:
        """The inverse of `to_dict`; `ValueError` if it is none."""
        try:
            scale = cls(tuple(found["names"]), tuple(found["offset"]), tuple(found["slope"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no scale of conditions: {error}") from error
        for name in scale.names:
            condition(name)
        return scale
