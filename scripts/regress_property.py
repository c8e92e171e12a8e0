"""Learn one property from hand labels and predict it for every picture: another source of property scores."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UserError, option, run_tool


@dataclass(frozen=True)
class Options(ToolOptions):
    """Learn one property from hand labels and predict it for every picture."""

    property: str = option(
        "", help="a property (eyes, pose, ...), or input_<name> for labels as an earlier project wrote them"
    )
    labels: Path | None = option(None, help="CSV with the columns img_name and the property")
    column: str = option("", help="column of the labels; empty: named as the property")
    pictures: Literal["kept", "candidates", "faces"] = option(
        "kept", help="predict for pictures that the filter kept, for all candidates, or on face crops (03)"
    )
    fold_count: int = option(5, help="folds, and networks")
    seed: int = option(0, help="decides folds, weights, order and augmentation")
    width: float = option(0.25, help="multiplier of all channels; 1 is the filter's full network")
    image_size: int = option(
        0, help="the networks see the pictures shrunk to this width and height, in pixels; 0: as they are"
    )
    max_epochs: int = option(40, help="epochs after which training of a fold ends at the latest")
    patience: int = option(20, help="epochs without a better validation loss before training ends")
    batch_size: int = option(16, help="pictures per step")
    learning_rate: float = option(1e-3, help="highest learning rate of AdamW")
    cosine_period: int = option(40, help="epochs from the highest learning rate to zero (T_max)")
    attempts: int = option(2, help="trainings of a fold whose loss stays above the limit")
    loss_limit: float = option(0.75, help="validation MSE, in variances of the labels, of a failed fold")
    shift: float = option(0.03, help="largest random shift, as a share of the picture's size")
    brightness: float = option(
        0.1, help="largest random brightness change, where brightness is not the label"
    )
    contrast: float = option(0.15, help="largest random contrast change, where brightness is not the label")
    inference_batch_size: int = option(64, help="pictures per forward pass")

    def __post_init__(self) -> None:
        self.need_at_least(2, "fold_count")
        self.need_at_least(1, "attempts", "max_epochs", "batch_size", "inference_batch_size")


def run(tool: Tool, options: Options) -> None:
    """Read and check the labels, train, predict, write scores and what shows how good they are."""
    if not options.property or options.labels is None:
        raise UserError(
            "it needs --property and --labels, for example --property eyes --labels eyes.csv, where eyes.csv "
            "has the columns img_name and eyes."
        )
    from scripts.stages.scoring.regression import regress

    regress(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
