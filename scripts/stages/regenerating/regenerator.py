"""Pictures of chosen people with chosen properties: the one way in which scripts make them.

A picture depends on the generator, the person, the properties and two settings of the generator; on the CPU
of one machine the same request, alone in its batch, has the same pixels wherever it is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from scripts.pipeline import Input, MissingInputError, Tool, UserError
from scripts.pipeline.files import sha256_file
from scripts.stages import networks
from scripts.stages.workspace import GENERATORS
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import sample_z, to_uint8
from stylegan_modified.person_files import ProjectedPerson, as_people, load_person, own_model
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v2 import Person as Untouched

SCRIPT = "08_regenerate_images"


def check_files(tool: Tool, needed: Iterable[Input]) -> None:
    """Raise `MissingInputError` with the command that makes what is missing."""
    for item in needed:
        if not item.locate(tool.workspace).exists():
            raise MissingInputError(
                f"it needs {item.path}, which is not in {tool.workspace}. {item.made_by} makes it:\n"
                f"    {tool.command(item.made_by)}"
            )


def exact(value: float) -> str:
    """A number that reads back unchanged, without an exponent, which command lines take for an option."""
    return f"{Decimal(repr(value)):f}"


@dataclass(frozen=True, eq=False)
class GivenPerson:
    """Somebody from a file.

    Attributes:
        path: the file.
        sha256: of the file.
        picture: the person before any dial is turned, uint8 [R, R, 3].
        own: the seven properties that the person has, normalised, as the property CNN reads them.
    """

    path: Path
    sha256: str
    picture: np.ndarray
    own: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Photograph(GivenPerson):
    """A picture that v3's encoder has read.

    Attributes:
        picture: as the encoder saw it.
        framing: how the file was cut to that, in words.
        z: latent of the person, float32 [z_dim] on the CPU.
    """

    framing: str
    z: Tensor


@dataclass(frozen=True, eq=False)
class FoundPerson(GivenPerson):
    """Somebody whom project_photos found in this generator.

    Attributes:
        model: the generator as it draws this person.
        untouched: the person, a batch of one.
        note: what of the person was invented; empty if nothing was.
    """

    model: DialGenerator
    untouched: Untouched
    note: str


Person: TypeAlias = int | GivenPerson
"""A seed, or somebody from a file."""


@dataclass(frozen=True)
class Request:
    """One picture to make: a person with seven normalised properties in the order of the property table."""

    person: Person
    properties: tuple[float, ...]


@dataclass(frozen=True)
class Regenerated:
    """Pictures uint8 [N, H, W, 3], and the properties [N, 7] that the people have before any dial is turned
    (None if the generator does not read them).
    """

    images: np.ndarray
    own: np.ndarray | None


class Regenerator:
    """A generator of the workspace, loaded once.

    Args:
        tool: the running script.
        version: "base" (it ignores the properties), "cvae", "v1", "v2" or "v3".
        trunc_psi: truncation of w; 1 none, 0 the average person.
        corrections: closed-loop corrections of v2 and v3.

    Raises:
        UserError: its file is missing or damaged.
    """

    def __init__(self, tool: Tool, version: str, trunc_psi: float = 1.0, corrections: int = 1) -> None:
        self.tool, self.version = tool, version
        self.trunc_psi, self.corrections = trunc_psi, corrections
        self.model = networks.load_generator(tool, version)
        self._known: tuple[tuple[Person, ...], Untouched] | None = None

    def __call__(self, requests: Sequence[Request]) -> Regenerated:
        """Make pictures in one forward pass. It may be called from several threads."""

        people = tuple(request.person for request in requests)
        wanted = torch.tensor([request.properties for request in requests]).to(self.tool.device)
        with torch.inference_mode():
            if not isinstance(self.model, DialGenerator):
                made = self.model(self._latents(people), wanted, trunc_psi=self.trunc_psi)
                return Regenerated(to_uint8(made["image"]), None)
            first, model = people[0], self.model
            if isinstance(first, FoundPerson):  # a command line names one
                model, untouched = first.model, first.untouched.repeat(len(people))
            else:
                untouched = self._untouched(model, people)
            turned = model.turn_to(untouched, wanted, self.corrections)
            return Regenerated(to_uint8(turned["image"]), untouched.own.float().cpu().numpy())

    def _untouched(self, model: DialGenerator, people: tuple[Person, ...]) -> Untouched:
        """These people before any dial is turned. The last ones are kept: mostly only the dials change."""
        known = self._known
        if known is None or known[0] != people:
            known = self._known = (people, model.person(self._latents(people), self.trunc_psi))
        return known[1]

    def found(self, path: Path) -> FoundPerson:
        """Somebody whom project_photos found.

        Raises:
            UserError: the file is damaged, or belongs to another generator.
        """
        again = self.tool.command("project_photos", "PHOTOS", "--version", self.version)
        with self.tool.foreseen(ValueError, OSError, mend=f"Find the person again:\n    {again}"):
            person = load_person(path)
        notes = person.notes
        if not isinstance(self.model, DialGenerator) or notes.get("weights") != self.weights_sha256:
            raise UserError(
                f"{path} is a person of another generator ({notes.get('version')} of other weights), whose "
                f"latents mean somebody else here. Find the person in this one:\n    {again}"
            )
        return self.as_found(path, person)

    def as_found(self, path: Path, person: ProjectedPerson) -> FoundPerson:
        """A person of this very generator, who stands in a file."""
        assert isinstance(self.model, DialGenerator)
        wp = person.wp[None].to(self.tool.device)
        with torch.no_grad():
            model = own_model(self.model, person)
            untouched = as_people(model, wp)
        own = tuple(untouched.own[0].tolist())
        note, picture = str(person.notes.get("note", "")), to_uint8(untouched.image)[0]
        return FoundPerson(path, sha256_file(path), picture, own, model, untouched, note)

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the generator's file."""
        return sha256_file(GENERATORS[self.version].locate(self.tool.workspace))

    def _latents(self, people: Sequence[Person]) -> Tensor:
        """Latents [N, z_dim] on the device."""

        size = self.model.z_space_dim
        photographs = [person.z for person in people if isinstance(person, Photograph)]
        seeds = [
            person for person in people if isinstance(person, int)
        ]  # a request has one kind or the other
        rows = torch.stack(photographs) if photographs else sample_z(seeds, 0, size)
        return rows.to(self.tool.device)

    def _turned(self, request: Request) -> dict[str, float]:
        """The dials by name; none for the base generator, which has none."""
        return {} if self.version == "base" else dict(zip(PROPERTY_NAMES, request.properties, strict=True))

    def command(self, request: Request, sweep: str = "") -> str:
        """Command line that makes the picture, or the pictures of a sweep such as "mouth=-2:2:7".

        The pictures of a sweep are made one by one, since those of a larger batch differ by rounding.
        """
        words = ["--version", self.version]
        if isinstance(request.person, GivenPerson):
            flag = "--person" if isinstance(request.person, FoundPerson) else "--from-image"
            words += [flag, str(request.person.path)]
        else:
            words += ["--seeds", str(request.person)]
        for name, value in self._turned(request).items():
            words += [f"--{name.replace('_', '-')}", exact(value)]
        if sweep:
            words += ["--sweep", sweep, "--batch-size", "1"]
        words += ["--trunc-psi", exact(self.trunc_psi), "--corrections", str(self.corrections)]
        options = self.tool.options
        if options.device != "auto":
            words += ["--device", options.device]
        if options.threads:
            words += ["--threads", str(options.threads)]
        return self.tool.command(SCRIPT, *words)

    def notes(self, request: Request) -> dict[str, str]:
        """What a PNG of the picture says about itself: settings as JSON, and the command line."""
        person = request.person
        settings = {
            "version": self.version,
            **({"from_image": person.path.name} if isinstance(person, GivenPerson) else {"seed": person}),
            "properties": self._turned(request),
            "trunc_psi": self.trunc_psi,
            "corrections": self.corrections,
            "weights_sha256": self.weights_sha256,
        }
        found = {"Settings": json.dumps(settings), "Command": self.command(request)}
        return found | ({"note": person.note} if isinstance(person, FoundPerson) and person.note else {})

    def metadata(self, request: Request) -> PngInfo:
        """`notes` as Pillow writes them."""
        info = PngInfo()
        for keyword, text in self.notes(request).items():
            (info.add_itxt if keyword == "Command" else info.add_text)(keyword, text)
        return info
