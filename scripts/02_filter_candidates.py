"""Train the gender and quality networks on the hand labels and keep the candidates that pass both."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at


@dataclass(frozen=True)
class Options(StageOptions):
    """Train the gender and quality networks on the hand labels and keep the candidates that pass both."""

    keep: Literal["women", "men", "all"] = option("women", help="who is kept")
    gender_threshold: float = option(0.7, help="least probability of the kept gender")
    quality_threshold: float = option(0.9, help="least probability of good quality")
    exclude: tuple[Path, ...] = option(
        (),
        help="never keep these: text files with one picture name per line, CSVs, folders of pictures",
        affects_results=False,  # what they hold does, as inputs
    )
    label_count: int = option(0, help="learn from the labels of the first pictures only; 0: all")
    fold_count: int = option(5, help="folds, and networks, per property")
    seed: int = option(0, help="decides folds, weights, order and augmentation")
    width: float = option(1.0, help="multiplier of all channels; 1 is the document's network")
    image_size: int = option(
        0, help="the networks see the pictures shrunk to this width and height, in pixels; 0: as they are"
    )
    precision: Literal["float32", "bfloat16"] = option(
        "float32", help="numbers in which the convolutions judge pictures without labels"
    )
    max_epochs: int = option(200, help="epochs after which training of a fold ends at the latest")
    patience: int = option(20, help="epochs without a better validation loss before training ends")
    batch_size: int = option(16, help="pictures per step")
    learning_rate: float = option(5e-5, help="highest learning rate of AdamW")
    cosine_period: int = option(10, help="epochs from the highest learning rate to zero (T_max)")
    attempts: int = option(
        3, help="trainings of a fold whose loss stays above the limit, before it is accepted"
    )
    gender_loss_limit: float = option(0.35, help="validation BCE above which a gender fold has failed")
    quality_loss_limit: float = option(0.13, help="validation BCE above which a quality fold has failed")
    quality_minority_share: float = option(0.0, help="share of bad pictures in an epoch; 0: as labelled")
    flip: bool = option(False, help="mirror half of the training pictures")
    shift: float = option(0.0, help="largest random shift, as a share of the picture's size")
    brightness: float = option(0.0, help="largest random change of brightness, as a share of its range")
    contrast: float = option(0.0, help="largest random relative change of contrast")
    inference_batch_size: int = option(64, help="pictures per forward pass", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(2, "fold_count")
        self.need_at_least(1, "attempts", "max_epochs", "batch_size", "inference_batch_size", "cosine_period")
        self.need_at_least(0, "label_count", "image_size", "patience", "shift", "brightness", "contrast")
        self.need_above(0, "width", "learning_rate")
        if not 0 <= self.quality_minority_share < 1:
            raise ValueError("--quality-minority-share must be at least 0 and below 1.")
        thresholds = (self.gender_threshold, self.quality_threshold)
        if min(thresholds) < 0 or max(thresholds) > 1:
            raise ValueError("--gender-threshold and --quality-threshold are probabilities, 0 to 1.")


def inputs(options: Options) -> tuple[Input, ...]:
    """Candidates, labels with their record, and what `--exclude` names."""
    note = (
        "Or write one row (img_name, quality, gender; 1 = good, 1 = woman) for each of the first candidates. "
        "Labels of the embedded preset's portraits come with 00_fetch_weights."
    )
    excluding = "--exclude names it: a file with one picture name per line, a CSV, or a folder of pictures."
    return (
        Input(at.CANDIDATES, made_by="01_generate_candidates"),
        Input(at.LABELS, made_by="label_images", note=note),
        Input(at.LABELS_RECORD, optional=True),
        *(Input(source.resolve().as_posix(), note=excluding) for source in options.exclude),
    )


def outputs(options: Options) -> tuple[str, ...]:
    """Networks of all folds, logs, tables and the folder of kept pictures."""
    networks = (
        at.FILTER_NETWORK.format(name, fold) for name in at.FILTERS for fold in range(options.fold_count)
    )
    kinds = (at.FOLD_LOG, at.FOLD_EPOCHS, at.OUT_OF_FOLD, at.FILTER_FIGURE, at.FILTER_PREDICTIONS)
    of_filters = (kind.format(name) for kind in kinds for name in at.FILTERS)
    return (*networks, *of_filters, at.FILTER_TABLE, at.KEPT_PICTURES)


def check(stage: Stage, options: Options) -> None:
    """Refuse what cannot be filtered before earlier results go."""
    from scripts.stages.filtering.stage import check

    check(stage, options)


def keeps(stage: Stage) -> Collection[str]:
    """Networks that a person brought."""
    from scripts.stages.filtering.networks import belonging_to_the_user

    return belonging_to_the_user(stage)


SPEC = StageSpec(
    name="02_filter_candidates",
    inputs=inputs,
    outputs=outputs,
    clears=(at.FILTER_NETWORKS, at.FILTER_LOGS, at.PREDICTIONS, at.KEPT_PICTURES, *at.FILTER_SHEETS),
    next_script="03_segment_faces",
    check=check,
    keeps=keeps,
    version=3,
)


def run(stage: Stage, options: Options) -> None:
    """Train what is missing, judge the pictures without labels, keep those that pass."""
    from scripts.stages.filtering.stage import filter_candidates

    filter_candidates(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
