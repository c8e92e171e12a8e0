"""Generate candidate faces with the original StyleGAN, one seed per image."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Stage, StageSpec, option, run_stage
from scripts.pipeline.items import ItemOptions, run_items
from scripts.stages.workspace import CANDIDATE_PICTURES, CANDIDATE_SHEET, CANDIDATES, GENERATOR_INPUT, LATENTS
from stylegan.seeds import CANDIDATES as SEEDS


@dataclass(frozen=True)
class Options(ItemOptions):
    """Generate candidate faces with the original StyleGAN, one seed per image."""

    count: int = option(2000, help="images to generate")
    seed: int = option(0, help=f"image n is made from the seed plus n, which is below {SEEDS.stop}")
    trunc_psi: float = option(1.0, help="truncation: 1 keeps the full variety, 0 gives the mean face only")
    trunc_layers: int = option(
        0, help="layers that truncation applies to, counted from the coarsest; 0: no truncation"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(1, "count")
        if self.seed < SEEDS.start or self.seed + self.count > SEEDS.stop:
            raise ValueError(
                f"--seed must be at least 0, and --seed plus --count at most {SEEDS.stop}: larger seeds "
                "belong to training, control and evaluation, whose people must not be among the candidates."
            )
        if self.trunc_psi != 1 and self.trunc_layers < 1:
            raise ValueError("--trunc-psi needs --trunc-layers, the number of layers to truncate.")


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if the generator cannot be used."""
    from scripts.stages.generating.stage import load_generator

    load_generator(stage)


SPEC = StageSpec(
    name="01_generate_candidates",
    inputs=(GENERATOR_INPUT,),
    outputs=(CANDIDATES, LATENTS, CANDIDATE_SHEET),
    item_folders=(CANDIDATE_PICTURES,),
    clears=(CANDIDATE_PICTURES,),
    next_script="02_filter_candidates",
    check=check,
    several_processes=True,
)


def run(stage: Stage, options: Options) -> None:
    """Make the candidates that are missing, then the tables and the contact sheet."""
    from scripts.stages.generating.stage import WORK

    run_items(stage, options, WORK)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
