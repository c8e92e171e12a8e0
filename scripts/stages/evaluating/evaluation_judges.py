"""The judges of stage 09: stages 3 and 4 for properties, the oracle for people and a second opinion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from scripts.pipeline import Input, Stage
from scripts.stages import networks, workspace
from scripts.stages.scores import read_picture, read_scores

if TYPE_CHECKING:
    import numpy as np

    from segmentation.normalization import ScoreStatistics
    from segmentation.property_judge import PropertyJudge
    from stylegan_modified.evaluation_control import ReadingLines

READ_AT_ONCE = 100  # pictures; the oracle reads as many at once
JUDGE_INPUTS = (
    Input(workspace.SCORES, made_by="04_compute_property_scores"),
    Input(workspace.STATISTICS, made_by="04_compute_property_scores"),
    Input(workspace.PARSER, made_by="00_fetch_weights", optional=True),
    Input(workspace.PUBLISHED_PARSER, made_by="00_fetch_weights", optional=True),
    *workspace.MTCNN_INPUTS,
    workspace.ORACLE_INPUT,
)


class Judges:
    """The networks that read pictures, loaded when they are first needed."""

    def __init__(self, stage: Stage, statistics: ScoreStatistics) -> None:
        self.stage, self.statistics = stage, statistics
        self.has_oracle = (stage.workspace / workspace.ORACLE).exists()

    @cached_property
    def properties(self) -> PropertyJudge:
        """Stages 3 and 4."""
        return networks.load_judge(self.stage, self.statistics)

    @cached_property
    def mirror_offset(self) -> float:
        """Normalised pose of a mirrored face is this minus the pose."""
        from segmentation.property_table import PROPERTY_NAMES

        pose = PROPERTY_NAMES.index("pose")
        return float(-2 * self.statistics.mean[pose] / self.statistics.std[pose])

    def known(self, images: np.ndarray) -> np.ndarray:
        """Properties [N, 7] of pictures uint8 [N, H, W, 3]; NaN where they are unreadable."""
        import numpy as np

        values, valid = self.properties(images)
        return np.where(valid, values, np.nan)

    def known_mirrored(self, images: np.ndarray) -> np.ndarray:
        """The same from the mirrored pictures, with the sign of the pose turned back."""
        from segmentation.property_table import PROPERTY_NAMES

        values = self.known(images[:, :, ::-1].copy())
        pose = PROPERTY_NAMES.index("pose")
        values[:, pose] = self.mirror_offset - values[:, pose]
        return values

    def read(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the oracle sees in pictures uint8 [N, H, W, 3] (see `Oracle.forward`), as float32 arrays, its
        properties in the order of the property table; without an oracle only features, of the face detector.
        """
        return self._reader(images)

    @cached_property
    def _reader(self) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        if not self.has_oracle:
            from scripts.stages.base_generator.training_kid import detector_features

            features = detector_features(self.stage.device, self.reference())
            return lambda images: {"features": features(images).numpy()}
        from cnn.oracle import load_oracle, read_pictures
        from segmentation.property_table import PROPERTY_NAMES

        with self.stage.foreseen(ValueError, OSError, mend=self.stage.command("00_fetch_weights", "--force")):
            oracle = load_oracle(self.stage.workspace / workspace.ORACLE, self.stage.device)
            order = [oracle.config.property_names.index(name) for name in PROPERTY_NAMES]

        def read(images: np.ndarray) -> dict[str, np.ndarray]:
            found = {name: values.numpy() for name, values in read_pictures(oracle, images).items()}
            return found | {"properties": found["properties"][:, order]}

        return read

    def would_keep(self, images: np.ndarray) -> np.ndarray:
        """Which pictures uint8 [N, H, W, 3] show a woman in good quality, bool [N]; all without an oracle."""
        import numpy as np

        read = self.read(images) if self.has_oracle else {}
        return (read["gender"] > 0) & (read["quality"] > 0) if read else np.ones(len(images), bool)

    @cached_property
    def _reference_rows(self) -> np.ndarray:
        """Rows of the reference pictures among those with seven valid scores."""
        import numpy as np

        from stylegan.seeds import Purpose, derived_seed

        rng = np.random.default_rng(derived_seed(Purpose.EVALUATION_REFERENCE))
        return np.sort(rng.permutation(len(read_scores(self.stage)[0]))[:2000])

    @property
    def reference_count(self) -> int:
        """How many filtered pictures realism is measured against; up to 2,000."""
        return len(self._reference_rows)

    def reference(self) -> Iterator[np.ndarray]:
        """These pictures, in batches uint8 [n, H, W, 3]."""
        import numpy as np

        table = self.stage.read_csv(workspace.SCORES, ["img_path", "valid"])
        paths = table.loc[table["valid"].eq(True), "img_path"].tolist()
        for start in range(0, self.reference_count, READ_AT_ONCE):
            rows = self._reference_rows[start : start + READ_AT_ONCE]
            yield np.stack([read_picture(self.stage, paths[row]) for row in rows])

    @cached_property
    def _reference_read(self) -> dict[str, np.ndarray]:
        import numpy as np

        parts = [self.read(images) for images in self.reference()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def reference_features(self) -> np.ndarray:
        """Features [M, D] of `reference`."""
        return self._reference_read["features"]

    @cached_property
    def oracle_lines(self) -> ReadingLines:
        """From the oracle's properties to scores, fitted on `reference`; only with an oracle."""
        from stylegan_modified.evaluation_control import fit_lines

        scores = read_scores(self.stage)[1][self._reference_rows]
        return fit_lines(self._reference_read["properties"], scores)
