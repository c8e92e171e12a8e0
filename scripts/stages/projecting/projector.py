"""Seeks the people of aligned faces among the latents of a generator, step by step, so that whoever shows
them can stop at any time: project_photos and the explorer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.pipeline import Tool, UserError, files
from scripts.stages import networks
from scripts.stages.workspace import ENCODER, FINE_TUNED
from stylegan.sampling import from_uint8, sample_z, to_uint8
from stylegan.seeds import CANDIDATES
from stylegan_modified.editing import posterior_mean
from stylegan_modified.perceptual import ConvolutionFeatures, PictureDistance
from stylegan_modified.person_files import ProjectedPerson, own_model
from stylegan_modified.pivotal_tuning import Change, tune
from stylegan_modified.projection import SPREAD_PEOPLE, LatentSpread, ProjectionRecipe, project, shrinking
from stylegan_modified.stylegan_generator_v2 import DialGenerator

INVENTED = "invented detail: drawn from a photograph of {} px"


@dataclass(frozen=True)
class Sought:
    """The people of a batch on the way, or at the end.

    Attributes:
        wp: [N, layers, w_dim].
        changes: of the generator, one for each; empty ones until they are tuned. The search goes on with
            these very tensors: `person` copies them.
        step: steps done; of: steps in all.
    """

    wp: Tensor
    changes: tuple[Change, ...]
    step: int
    of: int

    def person(self, row: int, notes: dict[str, Any]) -> ProjectedPerson:
        """One of them, as far as the search has come, rounded as in a file."""
        pairs = self.changes[row].items()
        change = {name: (_stored(first), _stored(second)) for name, (first, second) in pairs}
        return ProjectedPerson(self.wp[row].clone(), change, notes)


def _stored(part: Tensor) -> Tensor:
    """A part of a change as it comes back from a person's file, so that both draw the same picture."""
    return part.detach().half().float()


class Projector:
    """A generator of the workspace and the networks of the search; no judge is among them.

    Args:
        tool: the running script.
        version: "v2" or "v3".
        recipe: of the search for latents.
        tune_steps: steps in which the generator is bent around each person; 0: it stays.
        small_px: take faces as photographs of so many pixels per side; 0: as they are.

    Raises:
        UserError: a network is missing or damaged, or the generator has no dials for given people.
    """

    def __init__(
        self,
        tool: Tool,
        version: str,
        recipe: ProjectionRecipe | None = None,
        tune_steps: int = 0,
        small_px: int = 0,
    ) -> None:
        self.tool, self.version = tool, version
        self.recipe, self.tune_steps, self.small_px = recipe or ProjectionRecipe(), tune_steps, small_px
        model = networks.load_generator(tool, version)
        if not isinstance(model, DialGenerator):
            raise UserError(
                f"{FINE_TUNED[version]} has no dials that move a given person: it hears properties "
                "through z alone. Give a generator of this program."
            )
        self.model = model.requires_grad_(False)
        self.size_px = model.generator.resolution
        identity = networks.load_identity(tool)
        features = [] if identity is None else [ConvolutionFeatures(identity)]
        self.distance = PictureDistance(features, identity)
        z = sample_z(range(SPREAD_PEOPLE), CANDIDATES.start, model.z_space_dim).to(tool.device)
        with torch.no_grad():
            self.spread = LatentSpread(model.latent(z))
        encoded = (tool.workspace / ENCODER).exists() and (version == "v3" or networks.is_v3_around_v2(tool))
        self.encoder = networks.load_encoder(tool) if encoded else None
        self.shrink = shrinking(small_px) if small_px else None
        self.weights_sha256 = files.sha256_file(tool.workspace / FINE_TUNED[version])

    def notes(self, **others: Any) -> dict[str, Any]:
        """What a person's file and picture say of themselves."""
        invented = {"note": INVENTED.format(self.small_px)} if self.small_px else {}
        return {"version": self.version, "weights": self.weights_sha256, **invented, **others}

    def seek(self, faces: np.ndarray) -> Iterator[Sought]:
        """Seek the people of faces uint8 [N, S, S, 3] in the generator's frame and size.

        The first of what it yields is the start: what the encoder says, or the average person.
        """
        targets = from_uint8(faces).to(self.tool.device)
        start = None
        if self.encoder is not None and not self.small_px:
            with torch.no_grad():
                start = self.model.latent(posterior_mean(*self.encoder, targets).z)
        if self.shrink is not None:
            targets = self.shrink(targets)
        generator, count = self.model.generator, len(faces)
        changes: list[Change] = [{} for _ in range(count)]
        wp = torch.empty(0)
        of = self.recipe.w_steps + self.recipe.wp_steps + count * self.tune_steps
        step = 0
        for found in project(generator, self.spread, self.distance, targets, self.recipe, start, self.shrink):
            wp, step = found.wp, found.step
            yield Sought(wp, tuple(changes), step, of)
        for row in range(count):
            bending = tune(
                generator.synthesis,
                wp[row : row + 1],
                targets[row : row + 1],
                self.distance,
                self.tune_steps,
                shrink=self.shrink,
            )
            for change, _ in bending:
                changes[row] = change
                step += 1
                yield Sought(wp, tuple(changes), step, of)

    @torch.no_grad()
    def draw(self, person: ProjectedPerson) -> np.ndarray:
        """Picture uint8 [S, S, 3] of a person."""
        synthesis = own_model(self.model, person).generator.synthesis
        return to_uint8(synthesis(person.wp[None]))[0]
