"""Compare a generator's pictures with portraits or photographed faces that it never saw."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool
from scripts.stages.workspace import BUNDLED_GENERATOR, BUNDLED_IDENTITY_JUDGE, BUNDLED_ORACLE

HELD_OUT_SEED = 2_000_000


@dataclass(frozen=True)
class Options(ToolOptions):
    """Compare a generator's pictures with portraits it never saw, both read by the oracle; or, with
    ``--faces``, with faces of photographs, read by networks that know real faces.
    """

    count: int = option(1000, help="pictures of the generator, and portraits")
    seed: int = option(0, help="image n is made from the seed plus n")
    first_portrait: int = option(HELD_OUT_SEED, help="seed of the first portrait")
    training_portraits: int = option(2000, help="portraits of the training that copies are looked for among")
    first_training_portrait: int = option(0, help="seed of the first of them")
    parsed: int = option(300, help="pictures in which the parser looks for eyes, nose, mouth and hair")
    weights: Path = option(REPOSITORY / BUNDLED_GENERATOR, help="generator to judge")
    oracle: Path = option(REPOSITORY / BUNDLED_ORACLE, help="network that reads the pictures")
    parser: Path | None = option(
        None, help="network that finds the parts; None: the bundled one of portraits or of photographs"
    )
    faces: Path | None = option(
        None, help="folder of aligned faces that no training saw; compare with these instead"
    )
    training_faces: Path | None = option(None, help="folder of those that copies are looked for among")
    judge: Path = option(REPOSITORY / BUNDLED_IDENTITY_JUDGE, help="network that knows people, with --faces")
    out: Path | None = option(None, help="JSON file; None: <workspace>/compare_generator/results.json")

    def __post_init__(self) -> None:
        if self.count < 2 or self.training_portraits < 1 or self.parsed < 1:
            raise ValueError("--count must be at least 2, --training-portraits and --parsed at least 1.")


def run(tool: Tool, options: Options) -> None:
    from scripts.bundle.bodies import compare_generator, compare_with_faces

    body = compare_generator if options.faces is None else compare_with_faces
    body.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
