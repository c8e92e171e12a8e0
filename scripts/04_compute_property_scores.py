"""Measure the seven properties of every segmented face and normalise them to mean 0 and deviation 1."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.pipeline.console import script_command
from scripts.stages import workspace as at
from segmentation.property_table import PROPERTY_NAMES


@dataclass(frozen=True)
class Options(StageOptions):
    """Measure the seven properties of every segmented face and normalise them to mean 0 and deviation 1."""

    replace: tuple[str, ...] = option(
        (), help="properties whose labels come from regress_property instead of the label maps"
    )
    batch_size: int = option(64, help="faces read and measured at once", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "batch_size")
        unknown = [name for name in self.replace if name not in PROPERTY_NAMES]
        if unknown or len(set(self.replace)) < len(self.replace):
            raise ValueError(
                f"--replace takes each property at most once, not {', '.join(self.replace)}; the properties "
                f"are {', '.join(PROPERTY_NAMES)}."
            )


def inputs(options: Options) -> tuple[Input, ...]:
    """The faces, and the predictions that replace measurements."""

    def replacement(name: str) -> Input:
        command = script_command("regress_property", "--property", name, "--labels", "FILE.csv")
        return Input(at.PREDICTED.format(name), note=f"Learn {name} from labels first:\n    {command}")

    return (Input(at.FACES, made_by="03_segment_faces"), *map(replacement, options.replace))


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if faces or predictions cannot be used."""
    from scripts.stages.scoring.stage import check

    check(stage, options)


SPEC = StageSpec(
    name="04_compute_property_scores",
    inputs=inputs,
    outputs=(
        *(at.RAW_SCORES, *at.SCORE_TABLES.values(), at.STATISTICS),
        *(at.HISTOGRAMS, at.CORRELATIONS, at.EXTREMES, *map(at.PROPERTY_SHEET.format, PROPERTY_NAMES)),
    ),
    clears=(at.SCORES_FOLDER,),
    next_script="05_fine_tune_v1",
    check=check,
    version=3,
)


def run(stage: Stage, options: Options) -> None:
    """Measure, normalise, draw."""
    from scripts.stages.scoring.stage import score_faces

    score_faces(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
