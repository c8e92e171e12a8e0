"""The pictures of the conditional VAEs: cut and resized, with variants of brightness, saturation, cut-out and
angle.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at


@dataclass(frozen=True)
class Options(StageOptions):
    """Cut and resize pictures, and make variants of them."""

    pictures: Path | None = option(
        None,
        help="folder of pictures, its subfolders (real, fake; female, male) are named in the results; None: "
        "the candidates of stage 01",
    )
    height: int = option(64, help="height of the results in pixels")
    width: int = option(64, help="width of the results in pixels; the documents have 128 x 104 and 120 x 120")
    variants: int = option(1, help="variants of each picture; the document makes 1")
    brightness: float = option(0.15, help="largest relative change of brightness")
    saturation: float = option(0.15, help="largest relative change of saturation")
    crop: float = option(0.04, help="largest share that is cut off at each side")
    rotation: float = option(3.0, help="largest angle, degrees")
    seed: int = option(0, help="decides the variants")

    def __post_init__(self) -> None:
        self.need_at_least(16, "height", "width")
        self.need_at_least(0, "variants", "brightness", "saturation", "crop", "rotation")
        if self.height % 2 or self.width % 2:
            raise ValueError("--height and --width must be even: the VAEs look at four pixels at a time.")
        if max(self.brightness, self.saturation) >= 1 or self.crop >= 0.4 or self.rotation > 45:
            raise ValueError(
                "--brightness and --saturation must be below 1, --crop below .4, --rotation at most 45: more "
                "leaves nothing of the face."
            )


def inputs(options: Options) -> tuple[Input, ...]:
    """The candidates of stage 01, or a folder."""
    if options.pictures is not None:
        note = "--pictures names it: a folder of pictures, such as archive with real and fake in it."
        return (Input(options.pictures.resolve().as_posix(), note=note),)
    note = "Or name a folder of your own by --pictures."
    return (Input(at.CANDIDATES, made_by="01_generate_candidates", note=note),)


def check(stage: Stage, options: Options) -> None:
    """Refuse too few pictures before earlier results go."""
    from scripts.stages.cvae import augmenting

    augmenting.find_sources(stage, options)


SPEC = StageSpec(
    name="20_augment_pictures",
    inputs=inputs,
    outputs=(at.VAE_PICTURES, at.VAE_VARIANT_SHEET, at.VAE_RESIZED),
    clears=(at.VAE_DATASET,),
    next_script="21_decide_training_data",
    check=check,
)


def run(stage: Stage, options: Options) -> None:
    """Write the pictures and their table."""
    from scripts.stages.cvae import augmenting

    augmenting.augment_pictures(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
