"""The judges of stage 09: stages 3 and 4 for properties, networks that no loss knows for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from torch import Tensor

from cnn.people_judges import PeopleJudges
from scripts.pipeline import Stage
from scripts.stages import networks, scores
from scripts.stages.base_generator.kid import detector_features
from scripts.stages.workspace import SCORES
from segmentation.normalization import ScoreStatistics
from segmentation.outside_landmarks import CAN_READ, OutsideLandmarks
from segmentation.property_judge import PropertyJudge
from segmentation.property_table import PROPERTY_NAMES
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.evaluation_control import ReadingLines, fit_lines

READ_AT_ONCE = 100  # pictures


class Judges:
    """The networks that read pictures, loaded when they are first needed."""

    def __init__(self, stage: Stage, statistics: ScoreStatistics) -> None:
        self.stage, self.statistics = stage, statistics

    @cached_property
    def properties(self) -> PropertyJudge:
        """Stages 3 and 4."""
        return networks.load_judge(self.stage, self.statistics)

    def faces(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Properties [..., 7] of pictures uint8 [..., H, W, 3], NaN where they are unreadable, and label maps
        uint8 [..., H, W].
        """
        values, valid, maps = self.properties.read(images.reshape(-1, *images.shape[-3:]))
        known = np.where(valid, values, np.nan)
        return known.reshape(*images.shape[:-3], -1), maps.reshape(images.shape[:-1])

    def known(self, images: np.ndarray) -> np.ndarray:
        """The properties alone."""
        return self.faces(images)[0]

    def known_mirrored(self, images: np.ndarray) -> np.ndarray:
        """The same from the mirrored pictures, with the sign of the pose turned back."""
        values = self.known(np.ascontiguousarray(images[..., ::-1, :]))
        pose = PROPERTY_NAMES.index("pose")
        offset = float(-2 * self.statistics.mean[pose] / self.statistics.std[pose])
        values[..., pose] = offset - values[..., pose]
        return values

    def read(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What `PeopleJudges.read` sees in pictures uint8 [..., H, W, 3], float32 [..., n]; the oracle's
        properties in the order of the property table.
        """
        found = self.people.read(images.reshape(-1, *images.shape[-3:]))
        oracle = self.people.oracle
        if oracle is not None:
            order = [oracle.config.property_names.index(name) for name in PROPERTY_NAMES]
            found["properties"] = found["properties"][:, order]
        shape = images.shape[:-3]
        return {name: values.numpy().reshape(*shape, *values.shape[1:]) for name, values in found.items()}

    def read_with_features(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The same of pictures uint8 [N, H, W, 3], always with `features` [N, F]: without an oracle those of
        the face detector.
        """
        found = self.read(images)
        return found if "features" in found else found | {"features": self._detector_features(images).numpy()}

    @cached_property
    def people(self) -> PeopleJudges:
        """Who judges people; 09's notes name them."""
        return networks.load_people_judges(self.stage)

    @cached_property
    def landmarks(self) -> OutsideLandmarks | None:
        """A second reader of mouth and pose, of photographs only; None where it is not installed."""
        return OutsideLandmarks() if CAN_READ and self.people.read_photographs else None

    @cached_property
    def _detector_features(self) -> Callable[[np.ndarray], Tensor]:
        return detector_features(self.stage.device, self.reference())

    def would_keep(self, images: np.ndarray) -> np.ndarray:
        """Which pictures uint8 [N, H, W, 3] show a woman in good quality, bool [N], as far as judged."""
        read = self.read(images)
        return np.logical_and.reduce(
            [np.ones(len(images), bool), *(read[name] > 0 for name in ("gender", "quality") if name in read)]
        )

    @cached_property
    def _reference_rows(self) -> np.ndarray:
        """Rows of the reference pictures among those with seven valid scores."""
        rng = np.random.default_rng(derived_seed(Purpose.EVALUATION_REFERENCE))
        return np.sort(rng.permutation(len(scores.read_scores(self.stage)[0]))[:2000])

    @property
    def reference_count(self) -> int:
        """How many filtered pictures realism is measured against; up to 2,000."""
        return len(self._reference_rows)

    def reference(self) -> Iterator[np.ndarray]:
        """These pictures, in batches uint8 [n, H, W, 3]."""
        table = self.stage.read_csv(SCORES, ["img_path", "valid"])
        paths = table.loc[table["valid"].eq(True), "img_path"].tolist()
        for start in range(0, self.reference_count, READ_AT_ONCE):
            rows = self._reference_rows[start : start + READ_AT_ONCE]
            yield np.stack([scores.read_picture(self.stage, paths[row]) for row in rows])

    @cached_property
    def _reference_read(self) -> dict[str, np.ndarray]:
        parts = [self.read_with_features(images) for images in self.reference()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def reference_features(self) -> np.ndarray:
        """Features [M, F] of `reference`."""
        return self._reference_read["features"]

    @property
    def reference_identity(self) -> np.ndarray | None:
        """Descriptors [M, D] of who `reference` shows; None without a judge."""
        return self._reference_read.get("identity")

    @cached_property
    def oracle_lines(self) -> ReadingLines:
        """From the oracle's properties to scores, fitted on `reference`; only with an oracle."""
        measured = scores.read_scores(self.stage)[1][self._reference_rows]
        return fit_lines(self._reference_read["properties"], measured)
