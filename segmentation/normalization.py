"""Normalisation of property scores to mean 0 and standard deviation 1, with statistics to store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmentation.property_table import PROPERTY_NAMES

PERCENTILES: tuple[int, ...] = (1, 5, 25, 50, 75, 95, 99)
LEVEL_NAMES = tuple(f"{percentile}%" for percentile in PERCENTILES[1:6])  # of the settings in a sweep


@dataclass(frozen=True, eq=False)
class ScoreStatistics:
    """Distribution of raw property scores over a data set; puts any score on that data set's scale.

    Attributes:
        names: the properties, P of them.
        mean: float64 [P].
        std: float64 [P], population standard deviation (divided by the count), above 0.
        count: int64 [P], number of valid values.
        percentiles: float64 [P, 7], raw scores at the percentiles `PERCENTILES`.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    count: np.ndarray
    percentiles: np.ndarray

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Raw scores [..., P] -> float64 [..., P] in standard deviations from the mean; NaN stays NaN."""
        values = np.asarray(values, np.float64)
        if values.ndim == 0 or values.shape[-1] != len(self.names):
            raise ValueError(
                f"The last axis must hold the {len(self.names)} properties {', '.join(self.names)}, "
                f"but the shape is {list(values.shape)}."
            )
        return (values - self.mean) / self.std

    def normalized_percentiles(self) -> np.ndarray:
        """Percentiles in normalised units, float64 [P, 7]."""
        return (self.percentiles - self.mean[:, None]) / self.std[:, None]

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Numbers per property that `json` can write; `from_dict` reads them back unchanged."""
        return {
            name: {
                "mean": float(self.mean[index]),
                "std": float(self.std[index]),
                "count": int(self.count[index]),
                "percentiles": {
                    str(percentile): float(value)
                    for percentile, value in zip(PERCENTILES, self.percentiles[index], strict=True)
                },
            }
            for index, name in enumerate(self.names)
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Mapping[str, Any]]) -> "ScoreStatistics":
        """Inverse of `to_dict`.

        Raises:
            ValueError: an entry is missing or not a finite number, or a std is not above 0.
        """
        names = tuple(stored)
        try:
            rows = [
                [stored[name]["mean"], stored[name]["std"], stored[name]["count"]]
                + [stored[name]["percentiles"][str(percentile)] for percentile in PERCENTILES]
                for name in names
            ]
            table = np.array(rows, np.float64).reshape(len(names), 3 + len(PERCENTILES))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Score statistics are damaged ({error!r}): every property needs mean, std, count and the "
                f"percentiles {', '.join(map(str, PERCENTILES))}."
            ) from error
        statistics = cls(names, table[:, 0], table[:, 1], table[:, 2].astype(np.int64), table[:, 3:])
        bad = [
            name for name, row in zip(names, table, strict=True) if not np.isfinite(row).all() or row[1] <= 0
        ]
        if bad:
            raise ValueError(
                f"Score statistics of {', '.join(bad)} are not finite numbers with a std above 0."
            )
        return statistics


def fit(values: np.ndarray, valid: np.ndarray, names: tuple[str, ...] = PROPERTY_NAMES) -> ScoreStatistics:
    """Statistics of raw scores, each property over its valid values.

    Args:
        values: float [N, P].
        valid: bool [N, P]; False entries are left out, so they may be NaN.
        names: the P properties.

    Raises:
        ValueError: shapes disagree, a property has fewer than two valid values, a valid value is not finite,
            or all valid values of a property are equal.
    """
    values, valid = np.asarray(values, np.float64), np.asarray(valid, bool)
    if values.ndim != 2 or values.shape[1] != len(names) or valid.shape != values.shape:
        raise ValueError(
            f"values and valid must both be [N, {len(names)}], but are {list(values.shape)} and "
            f"{list(valid.shape)}."
        )
    summaries = [_summary(name, values[valid[:, i], i]) for i, name in enumerate(names)]
    mean, std, count, percentiles = (np.array(column) for column in zip(*summaries, strict=True))
    return ScoreStatistics(tuple(names), mean, std, count, percentiles)


def _summary(name: str, values: np.ndarray) -> tuple[float, float, int, np.ndarray]:
    if len(values) < 2:
        raise ValueError(
            f"{name} has {len(values)} valid value(s), but at least 2 are needed to measure how much it "
            "varies."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are marked valid but are not finite numbers.")
    # np.std of equal values can be a rounding error above 0, so equality is asked directly.
    if values.min() == values.max():
        raise ValueError(
            f"{name} is {values[0]:g} for all {len(values)} faces, so its standard deviation is zero and it "
            "cannot be normalised; more, or more varied, faces are needed."
        )
    return float(values.mean()), float(values.std()), len(values), np.percentile(values, PERCENTILES)
