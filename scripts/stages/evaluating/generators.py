"""The generators that stage 09 evaluates: how their pictures are made."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from cvae.dialled import DialledVAE
from scripts.pipeline import Stage, UserError
from scripts.stages import networks, scores
from scripts.stages.candidate_latents import load_latents
from scripts.stages.evaluating.versions import BASELINES
from stylegan.sampling import sample_z
from stylegan.seeds import PRACTICE
from stylegan_modified.baselines import Baseline, DirectionGenerator, equal_reach, fit_baseline
from stylegan_modified.generator_files import Dialled
from stylegan_modified.stylegan_generator_v2 import DialGenerator

SIZING_PEOPLE, SIZING_REACH, SIZING_LEVELS = 32, 1.0, 3  # sd


class UnfittedBaseError(UserError):
    """There are too few pictures with scores to fit linear directions."""


class DialledGenerator:
    """A generator with its way to ask for pictures."""

    def __init__(self, stage: Stage, version: str, corrections: int) -> None:
        self.version = version
        self.model = load_version(stage, version)
        self.z_dim = self.model.z_space_dim
        self._corrections = corrections

    def __call__(self, z: Tensor, properties: Tensor | None) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1] of z with properties [N, 7], NaN where a person's own shall stay;
        None: every dial at rest.
        """
        if properties is None or isinstance(self.model, DirectionGenerator):
            return self.model(z, properties)["image"]
        if not isinstance(self.model, DialGenerator):
            if properties.isnan().any():
                raise UserError(
                    f"--others own: {self.version} is a conditioned generator, which cannot tell what a "
                    "person has before a dial is turned. Leave it out of --versions, or give --others median."
                )
            return self.model(z, properties)["image"]
        distinct, index = z.unique_consecutive(dim=0, return_inverse=True)  # a sweep shows each of them often
        people = self.model.person(distinct)[index]
        asked = torch.where(properties.isnan(), people.own, properties)
        return self.model.turn_to(people, asked, self._corrections)["image"]


def load_version(stage: Stage, version: str) -> Dialled | DialledVAE | DirectionGenerator:
    """The generator of a version, in eval mode on the stage's device."""
    is_fitted = version == "base" or version in BASELINES
    return fitted_dials(stage, version) if is_fitted else networks.load_generator(stage, version)


def fitted_dials(stage: Stage, version: str) -> DirectionGenerator:
    """The base generator with directions that are fitted on the candidates that have seven valid scores.

    Those of the literature are sized by what the property CNN reads, so that all versions turn equally far.

    Raises:
        UnfittedBaseError: there are too few of them.
    """
    generator, _ = networks.load_base(stage)
    rows, measured = scores.read_scores(stage)
    w = load_latents(stage)[torch.tensor(rows)]
    mend = stage.command("01_generate_candidates", "--count", "4000", "--force")
    try:
        if version == "base":
            return fit_baseline("base", generator, w, torch.tensor(measured)).to(stage.device).eval()
        reader = networks.load_property_cnn(stage).to(stage.device)
        generator, w = generator.requires_grad_(False), w.to(stage.device)
        scored = torch.tensor(measured).to(stage.device)
        model = fit_baseline(cast(Baseline, version), generator, w, scored, reader).eval()
    except ValueError as error:
        raise UnfittedBaseError(f"{error}. More candidates: {mend}") from error
    z = sample_z(range(SIZING_PEOPLE), PRACTICE.start, model.z_space_dim).to(stage.device)
    levels = torch.linspace(-SIZING_REACH, SIZING_REACH, SIZING_LEVELS, device=stage.device)
    return equal_reach(model, z, levels, reader)
