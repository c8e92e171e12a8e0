"""Given pictures of stage 09: pictures that no training saw are encoded, reconstructed and edited."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scripts.pipeline import Stage, UserError
from scripts.stages import networks
from scripts.stages.evaluating.generators import DialledGenerator
from scripts.stages.evaluating.judges import Judges
from scripts.stages.evaluating.versions import CANDIDATES_PER_GIVEN, FIRST_GIVEN, SMALLEST_SEARCH
from scripts.stages.generated_pictures import jpeg_round_trip
from stylegan.interface import Generator
from stylegan.sampling import from_uint8, sample_z, synthesize, to_uint8
from stylegan_modified.editing import Encoded, edit_requests, encode_pictures, posterior_mean
from stylegan_modified.evaluation import render_requests
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator_v3 import Encoder


class GivenPictures:
    """Given pictures of one version: those of the original generator that show a woman in good quality.

    Args:
        stage: the running script; candidate n is made from its seed plus `FIRST_GIVEN` plus n.
        generator: of the version with the encoder.
        judges: shared by all versions.
        levels: float64 [L, 7] settings of each dial.
    """

    def __init__(self, stage: Stage, generator: DialledGenerator, judges: Judges, levels: np.ndarray) -> None:
        self.stage, self.generator, self.judges, self.levels = stage, generator, judges, levels
        options: Any = stage.options
        self.seed, self.batch_size = options.seed + FIRST_GIVEN, options.batch_size
        self._kept: list[np.ndarray] = []
        self._searched = 0
        self._first: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @cached_property
    def _base(self) -> Generator:
        return networks.load_base(self.stage)[0]

    @cached_property
    def _identity(self) -> nn.Module | None:
        return networks.load_identity(self.stage)

    @cached_property
    def _networks(self) -> tuple[Encoder, PropertyCNN]:
        return networks.load_encoder(self.stage)

    def given(self, numbers: range) -> np.ndarray:
        """Given pictures, uint8 [n, H, W, 3], as JPEGs show them.

        Raises:
            UserError: hardly any picture of the original generator can be used.
        """
        limit = max(CANDIDATES_PER_GIVEN * numbers.stop, SMALLEST_SEARCH)
        while len(self._kept) < numbers.stop:
            if self._searched >= limit:
                raise UserError(
                    f"only {len(self._kept)} of {self._searched} pictures of the original generator show a "
                    "woman in good quality, so there is nothing to edit. --editing-pictures 0 leaves it out."
                )
            self._search()
        return np.stack(self._kept[numbers.start : numbers.stop])

    def _search(self) -> None:
        """Keep what is usable of the next candidates."""
        candidates = range(self._searched, self._searched + self.batch_size)
        z = sample_z(candidates, self.seed, self._base.z_space_dim)
        for batch in synthesize(self._base, z, batch_size=self.batch_size):
            images = np.stack([jpeg_round_trip(image) for image in to_uint8(batch["image"])])
            self._kept += list(images[self.judges.would_keep(images)])
        self._searched = candidates.stop

    def _on_device(self, images: np.ndarray) -> Tensor:
        return from_uint8(images).to(self.stage.device)

    def read_given(self, numbers: range) -> dict[str, np.ndarray]:
        """Of each given picture: `z` that the encoder alone finds, `given` properties and, with a judge of
        people, `given_identity`; without being edited.
        """
        images = self.given(numbers)
        found = posterior_mean(*self._networks, self._on_device(images))
        read = {"z": found.z.cpu().numpy(), "given": self.judges.known(images)}
        if self.judges.people.names["identity"]:
            read["given_identity"] = self.judges.read(images)["identity"]
        return read

    def read_edited(self, numbers: range) -> dict[str, np.ndarray]:
        """Of each given picture the error, properties and identity of its reconstruction and its edits."""
        given, copies, edits = self.pictures(numbers)
        found = {
            "error": np.abs(given.astype(np.float64) - copies).mean(axis=(1, 2, 3)),
            "reconstructed": self.judges.known(copies),
            "measured": self.judges.known(edits),
        }
        if self.judges.people.names["identity"]:
            found["reconstructed_identity"] = self.judges.read(copies)["identity"]
            found["edited_identity"] = self.judges.read(edits[:, :, [0, -1]])["identity"]
        return found

    def pictures(self, numbers: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Given pictures and reconstructions, uint8 [n, H, W, 3], and edits [n, 7, L, H, W, 3].

        The first ones are kept: they are read, and shown on the sheet.
        """
        if self._first is not None and numbers.start == 0 and numbers.stop <= len(self._first[0]):
            first, copies, edits = self._first
            return first[: numbers.stop], copies[: numbers.stop], edits[: numbers.stop]
        given = self.given(numbers)
        found: Encoded = encode_pictures(
            self.generator.model, *self._networks, self._on_device(given), self._identity
        )
        turned = edit_requests(found.own, torch.from_numpy(self.levels))
        requests = torch.cat([found.own[:, None], turned.flatten(1, 2)], dim=1).cpu().numpy()
        images = render_requests(self.generator, found.z, requests, self.batch_size)
        found_pictures = given, images[:, 0], images[:, 1:].reshape(*turned.shape[:3], *images.shape[2:])
        if numbers.start == 0:
            self._first = found_pictures
        return found_pictures
