"""Label the first candidates by networks: machine-made first labels, which a person may correct."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool
from scripts.stages.workspace import BUNDLE, BUNDLED_GENERATOR, BUNDLED_IDENTITY_NETWORK, PHOTOGRAPH_PARSER


@dataclass(frozen=True)
class Options(ToolOptions):
    """Label the first candidates by networks: machine-made first labels, which a person may correct.

    A gender head (data/photographs/gender_head.safetensors) labels photographs: gender by what a face network
    says, quality by the generator's discriminator, the face detector and the face parser together.
    """

    count: int = option(400, help="pictures to label, from image 0 on")
    seed: int = option(0, help="image n is made from the seed plus n, as in 01_generate_candidates")
    weights: Path = option(REPOSITORY / BUNDLED_GENERATOR, help="generator whose pictures are labelled")
    network: Path = option(
        REPOSITORY / BUNDLED_IDENTITY_NETWORK,
        help="network of drawn people, or a gender head, relative to the repository; not a judge, or the "
        "filter learns from the judge",
    )
    parser: Path = option(
        REPOSITORY / PHOTOGRAPH_PARSER, help="photographs: face parser, one of three that judge quality"
    )
    bad_share: float = option(0.15, help="photographs: share of pictures that are called bad, 0 to 1")
    out: Path = option(REPOSITORY / BUNDLE, help="folder for the table and its JSON record")
    from_workspace: bool = option(
        False, help="label the candidates of the workspace, and put the table where 02 looks for it"
    )
    overwrite: bool = option(False, help="replace labels that a person made")

    def __post_init__(self) -> None:
        self.need_at_least(1, "count")
        if not 0 < self.bad_share < 1:
            raise ValueError("--bad-share must be more than 0 and less than 1.")
        if self.from_workspace and self.weights != REPOSITORY / BUNDLED_GENERATOR:
            raise ValueError("--from-workspace labels the pictures that are there, so --weights has no say.")


def run(tool: Tool, options: Options) -> None:
    """Make or read the pictures, label them, write table and record."""
    from scripts.stages.filtering.machine_labels import label_by_network

    label_by_network(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
