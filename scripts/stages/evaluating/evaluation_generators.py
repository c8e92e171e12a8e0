"""The generators that stage 09 evaluates, by version: their files, and how their pictures are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.pipeline import Input, Stage, UserError
from scripts.stages import networks, workspace
from scripts.stages.candidate_latents import load_latents
from scripts.stages.scores import read_scores

if TYPE_CHECKING:
    from torch import Tensor, nn

V1_DOCUMENT = "stylegan_modified/stylegan_gen_fine_tuned_v1_document.pth"
HOW_TO_MAKE_V1_DOCUMENT = (
    f"Train it with 05_fine_tune_v1 --recipe document in a workspace of its own, and copy its "
    f"{workspace.FINE_TUNED['v1']} to {V1_DOCUMENT} of this one."
)
BASE_INPUT = Input(workspace.GENERATOR, made_by="00_fetch_weights")
# Only generators with dials need it: those of the document's recipe, and published ones, have none.
CNN_INPUT = Input(workspace.PROPERTY_CNN, made_by="06_fine_tune_v2", optional=True)
ENCODER_INPUT = Input(workspace.ENCODER, made_by="07_fine_tune_v3")
FILES = {
    "base": (BASE_INPUT, workspace.LATENTS_INPUT),
    "v1_document": (Input(V1_DOCUMENT, note=HOW_TO_MAKE_V1_DOCUMENT),),
    "v1": (Input(workspace.FINE_TUNED["v1"], made_by="05_fine_tune_v1"),),
    "v2": (Input(workspace.FINE_TUNED["v2"], made_by="06_fine_tune_v2"), CNN_INPUT),
    "v3": (
        Input(workspace.FINE_TUNED["v3"], made_by="07_fine_tune_v3"),
        ENCODER_INPUT,
        CNN_INPUT,
        BASE_INPUT,  # it makes the pictures that are given to v3
        workspace.IDENTITY_INPUT,  # editing looks for the z of the same person
    ),
}


def has_encoder(version: str) -> bool:
    """Whether a version edits given pictures."""
    return ENCODER_INPUT in FILES[version]


def available_versions(stage: Stage) -> list[str]:
    """Versions whose files are in the workspace."""
    return [
        version
        for version, inputs in FILES.items()
        if all(item.optional or item.locate(stage.workspace).exists() for item in inputs)
    ]


class UnfittedBaseError(UserError):
    """There are too few pictures with scores to fit linear directions."""


class DialledGenerator:
    """A generator with its way to ask for pictures.

    Attributes:
        z_dim: size of z.
    """

    def __init__(self, stage: Stage, version: str, corrections: int) -> None:
        from stylegan_modified.stylegan_generator_v2 import DialGenerator

        self.model = load_version(stage, version)
        self.z_dim: int = self.model.z_space_dim
        self._corrections = corrections if isinstance(self.model, DialGenerator) else None

    def __call__(self, z: Tensor, properties: Tensor | None) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1] of z with properties [N, 7]; None: every dial at rest."""
        if self._corrections is None or properties is None:
            return self.model(z, properties)["image"]
        people, index = z.unique_consecutive(dim=0, return_inverse=True)  # a sweep shows each of them often
        return self.model.turn_to(self.model.person(people)[index], properties, self._corrections)["image"]


def load_version(stage: Stage, version: str) -> nn.Module:
    """The generator of a version, in eval mode on the stage's device."""
    if version == "base":
        return linear_dials(stage)
    if version != "v1_document":
        return networks.load_generator(stage, version)
    from stylegan.checkpoint import CheckpointError
    from stylegan_modified.generator_files import load_conditioned

    with stage.foreseen(CheckpointError, OSError, mend=HOW_TO_MAKE_V1_DOCUMENT):
        return load_conditioned(stage.workspace / V1_DOCUMENT).to(stage.device)


def linear_dials(stage: Stage) -> nn.Module:
    """The base generator with linear directions, fitted on the candidates that have seven valid scores.

    Raises:
        UnfittedBaseError: there are too few of them.
    """
    import torch

    from stylegan_modified.evaluation_baseline import LinearDialGenerator

    generator, _ = networks.load_base(stage)
    rows, scores = read_scores(stage)
    w = load_latents(stage)[torch.tensor(rows)]
    mend = stage.command("01_generate_candidates", "--count", "4000", "--force")
    try:
        model = LinearDialGenerator(generator, w, torch.tensor(scores))
    except ValueError as error:
        raise UnfittedBaseError(f"{error}. More candidates: {mend}") from error
    return model.to(stage.device).eval()
