"""Evaluate the generators with dials on latents that no training saw, with judges that no loss knew."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Stage, StageOptions, StageSpec, option, run_stage
from scripts.pipeline.layers import nearest
from scripts.stages.evaluating.versions import (
    CANDIDATES_PER_GIVEN,
    ENCODED_PER_EDITED,
    FILES,
    FIRST_GIVEN,
    SMALLEST_SEARCH,
    WITHOUT_OWN,
    needed_inputs,
)
from scripts.stages.workspace import (
    DIALS,
    EDITING_SHEET,
    EVALUATION,
    EVALUATION_TABLE,
    EVALUATION_TEXT,
    RESPONSE,
    STRIPS,
)
from stylegan.seeds import EVALUATION as SEEDS


@dataclass(frozen=True)
class Options(StageOptions):
    """Evaluate the generators with dials: control, leakage, identity, realism, and the reference protocol.

    Readings of unchanged weights are kept in evaluation/measured, also under --force.
    """

    versions: tuple[str, ...] = option(
        (),
        help="base, v1, v2, v3; none given: those in the workspace; besides, baselines on the original "
        "generator: interfacegan, ganspace, sefa, stylespace",
    )
    latents: int = option(100, help="latents whose dials are swept (even: people are compared in pairs)")
    others: Literal["median", "own"] = option(
        "median",
        help="where the other dials stand while one is turned: at the median of the training pictures, or at "
        "what each person has, as far as the generator tells (v1 and cvae do not)",
    )
    seed: int = option(SEEDS.start, help="latent n is made from the seed plus n")
    population: int = option(2000, help="latents for the shares of women and good quality, KID and diversity")
    protocol_latents: int = option(20, help="latents of the reference protocol, 50 pictures each")
    editing_pictures: int = option(
        64, help="given pictures that v3 reconstructs and edits (even; 0: none); 8 times as many are encoded"
    )
    corrections: int = option(1, help="closed-loop corrections of v2 and v3 (0: none)")
    resamples: int = option(1000, help="bootstrap resamples of the 95 % intervals")
    chunk: int = option(4, help="latents between two saved parts (even)", affects_results=False)
    batch_size: int = option(64, help="pictures per forward pass of the generator", affects_results=False)

    @property
    def protocol_count(self) -> int:
        """Latents of the reference protocol that there are."""
        return min(self.protocol_latents, self.latents)

    def __post_init__(self) -> None:
        if "v1_document" in self.versions:
            raise ValueError(
                "--versions: v1_document is no version any more. Evaluate v1 in a workspace whose "
                "05 ran with --recipe document."
            )
        for version in self.versions:
            if version not in FILES:
                hint = nearest(version, FILES)
                raise ValueError(f"--versions: there is no version {version!r}. {hint}")
        without = [version for version in WITHOUT_OWN if version in self.versions]
        if self.others == "own" and without:
            raise ValueError(
                f"--others own: {' and '.join(without)} cannot tell what a person has before a dial is "
                "turned, so there is nothing to keep. Leave them out of --versions, or give --others median."
            )
        if self.latents < 4 or self.latents % 2 or self.chunk < 2 or self.chunk % 2:
            raise ValueError("--latents must be an even number of at least 4, --chunk one of at least 2.")
        if self.editing_pictures < 0 or self.editing_pictures % 2:
            raise ValueError("--editing-pictures must be an even number, or 0 to measure no editing.")
        if self.seed < SEEDS.start:
            raise ValueError(
                f"--seed must be at least {SEEDS.start}: smaller seeds belong to training and tuning, "
                "so their latents cannot judge."
            )
        self.need_at_least(2, "population", "protocol_latents", "resamples")
        self.need_at_least(1, "batch_size")
        self.need_at_least(0, "corrections")
        if max(self.latents, self.population) > FIRST_GIVEN:
            raise ValueError(
                f"--latents and --population must be at most {FIRST_GIVEN}: the seeds behind them are those "
                "of the given pictures."
            )
        given = max(CANDIDATES_PER_GIVEN * ENCODED_PER_EDITED * self.editing_pictures, SMALLEST_SEARCH)
        if self.seed + FIRST_GIVEN + given + self.batch_size > SEEDS.stop:
            raise ValueError(f"--seed is too large: seeds of pictures end at {SEEDS.stop}.")


def check(stage: Stage, options: Options) -> None:
    from scripts.stages.evaluating.stage import check

    check(stage, options)


SPEC = StageSpec(
    name="09_evaluate",
    inputs=lambda options: needed_inputs(options.versions),
    outputs=(EVALUATION, EVALUATION_TABLE, EVALUATION_TEXT, RESPONSE),
    clears=tuple(path.format(version) for path in (STRIPS, DIALS, EDITING_SHEET) for version in FILES),
    check=check,
    several_processes=True,
    version=4,
)


def run(stage: Stage, options: Options) -> None:
    from scripts.stages.evaluating.stage import evaluate

    evaluate(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
