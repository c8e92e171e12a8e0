"""The inputs of the conditional VAE: a number from 0 to 1 for eyes, hair, mouth, background and head of every
picture.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cvae.conditions import CONDITION_NAMES, DOCUMENT_CONDITIONS
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at


@dataclass(frozen=True)
class Options(StageOptions):
    """Decide the conditions of every picture."""

    source: Literal["scores", "labels"] = option(
        "scores",
        help="scores: those of stage 04, an augmented picture has those of its source; labels: networks that "
        "learn from hand labels, and then speak of every picture",
    )
    conditions: tuple[str, ...] = option(DOCUMENT_CONDITIONS, help=f"of {', '.join(CONDITION_NAMES)}")
    labels: Path | None = option(
        None,
        help="folder of train_output_<condition>.csv with the columns img_name and the condition; None: "
        f"<workspace>/{at.VAE_TABLES}",
    )
    fold_count: int = option(3, help="labels: folds, and networks")
    width: float = option(0.125, help="labels: multiplier of the networks' channels")
    max_epochs: int = option(24, help="labels: epochs")
    batch_size: int = option(16, help="labels: pictures per step")
    learning_rate: float = option(2e-3, help="labels: highest learning rate of AdamW")
    seed: int = option(0, help="labels: decides folds, weights and order")

    def __post_init__(self) -> None:
        self.need_at_least(2, "fold_count")
        self.need_at_least(1, "max_epochs", "batch_size")
        unknown = [name for name in self.conditions if name not in CONDITION_NAMES]
        if unknown or not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ValueError(
                f"--conditions takes each of {', '.join(CONDITION_NAMES)} at most once, and at least one."
            )


def inputs(options: Options) -> tuple[Input, ...]:
    """The chosen pictures, and scores or hand labels."""
    chosen = (at.VAE_PICTURES_INPUT, at.DECIDED_TABLE_INPUT)
    if options.source == "scores":
        return (*chosen, at.SCORES_INPUT, at.STATISTICS_INPUT)
    note = "Write one row (img_name and the condition, 0 to 1) for each picture that you label."
    folder = at.VAE_TABLES if options.labels is None else options.labels.resolve().as_posix()
    names = (Path(at.HAND_LABELLED_INPUT.format(name)).name for name in options.conditions)
    return (*chosen, *(Input(f"{folder}/{name}", note=note) for name in names))


SPEC = StageSpec(
    name="22_decide_inputs",
    inputs=inputs,
    outputs=lambda options: (
        *(at.CONDITION_RECORD, at.CONDITION_FIGURE),
        *map(at.DECIDED_INPUT.format, options.conditions),
    ),
    clears=tuple(map(at.INPUT_NETWORKS.format, CONDITION_NAMES)),
    next_script="23_train_cvae",
)


def run(stage: Stage, options: Options) -> None:
    """Write the conditions of every picture."""
    from scripts.stages.cvae import inputs

    inputs.decide_inputs(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
