"""Pictures of chosen people with chosen properties: the one way in which scripts make them.

A picture depends on the generator, the person, the properties and two settings of the generator; on one
machine the same request, alone in its batch, has the same pixels wherever it is made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scripts import faces
from scripts.pipeline import Tool, UsageError
from scripts.pipeline.fingerprint import sha256_file
from scripts.pipeline.layers import nearest

if TYPE_CHECKING:
    import numpy as np
    from PIL.PngImagePlugin import PngInfo
    from torch import Tensor

SCRIPT = "08_regenerate_images"
MAKERS = {
    "base": "00_fetch_weights",
    "v1": "05_fine_tune_v1",
    "v2": "06_fine_tune_v2",
    "v3": "07_fine_tune_v3",
}


def generator_file(version: str) -> str:
    """The generator of a version, relative to the workspace."""
    return faces.GENERATOR_FILES.get(version, faces.BASE)


def exact(value: float) -> str:
    """A number that reads back unchanged, without an exponent, which command lines take for an option."""
    return f"{Decimal(repr(value)):f}"


def parse_sweep(text: str) -> tuple[str, list[float]]:
    """'mouth=-2:2:5' -> ('mouth', [-2, -1, 0, 1, 2]); a malformed text is a `UsageError`."""
    from segmentation.property_table import PROPERTY_NAMES

    name, _, values = text.partition("=")
    if name not in PROPERTY_NAMES:
        raise UsageError(f"--sweep {text!r}: there is no property {name!r}. {nearest(name, PROPERTY_NAMES)}")
    try:
        start, stop, count = values.split(":")
        steps = max(int(count) - 1, 1)
        return name, [float(start) + (float(stop) - float(start)) * i / steps for i in range(int(count))]
    except ValueError:
        raise UsageError(
            f"--sweep {text!r} is not property=start:stop:count, such as mouth=-2:2:7."
        ) from None


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture that v3's encoder has read.

    Attributes:
        path: its file.
        picture: as the encoder saw it, uint8 [R, R, 3].
        framing: how the file was cut to that, in words.
        z: latent of the person, float32 [z_dim] on the CPU.
        own: the seven properties that the picture has, normalised, as the property CNN reads them.
    """

    path: Path
    picture: np.ndarray
    framing: str
    z: Tensor
    own: tuple[float, ...]


Person: TypeAlias = int | Photograph
"""A seed, or a photograph."""


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
        version: "base" (it ignores the properties), "v1", "v2" or "v3".
        trunc_psi: truncation of w; 1 none, 0 the average person.
        corrections: closed-loop corrections of v2 and v3.

    Raises:
        UserError: its file is missing or damaged.
    """

    def __init__(self, tool: Tool, version: str, trunc_psi: float = 1.0, corrections: int = 1) -> None:
        from stylegan_modified.stylegan_generator_v2 import DialGenerator

        self.tool, self.version = tool, version
        self.trunc_psi, self.corrections = trunc_psi, corrections
        self.model = faces.load_generator(tool, version)
        self._settings: dict[str, Any] = {"trunc_psi": trunc_psi}
        if isinstance(self.model, DialGenerator):
            self._settings["corrections"] = corrections

    def __call__(self, requests: Sequence[Request]) -> Regenerated:
        """Make pictures in one forward pass."""
        import torch

        from stylegan.sampling import to_uint8

        z = torch.stack([self._latent(request.person) for request in requests]).to(self.tool.device)
        wanted = torch.tensor([request.properties for request in requests]).to(self.tool.device)
        with torch.inference_mode():
            made = self.model(z, wanted, **self._settings)
            own = made["own"].float().cpu().numpy() if "own" in made else None
            return Regenerated(to_uint8(made["image"]), own)

    @cached_property
    def _weights_sha256(self) -> str:
        return sha256_file(self.tool.workspace / generator_file(self.version))

    def _latent(self, person: Person) -> Tensor:
        from stylegan.sampling import sample_z

        if isinstance(person, Photograph):
            return person.z
        return sample_z([person], 0, self.model.z_space_dim)[0]

    def command(self, request: Request, sweep: str = "") -> str:
        """Command line that makes the picture, or the pictures of a sweep such as "mouth=-2:2:7"."""
        from segmentation.property_table import PROPERTY_NAMES

        words = ["--version", self.version]
        if isinstance(request.person, Photograph):
            words += ["--from-image", str(request.person.path)]
        else:
            words += ["--seeds", str(request.person)]
        for name, value in zip(PROPERTY_NAMES, request.properties, strict=True):
            words += [f"--{name.replace('_', '-')}", exact(value)]
        if sweep:
            words += ["--sweep", sweep]
        words += ["--trunc-psi", exact(self.trunc_psi), "--corrections", str(self.corrections)]
        options = self.tool.options
        if options.device != "auto":
            words += ["--device", options.device]
        if options.threads:
            words += ["--threads", str(options.threads)]
        return self.tool.command(SCRIPT, *words)

    def metadata(self, request: Request) -> PngInfo:
        """What a PNG of the picture says about itself: settings as JSON, and the command line."""
        from PIL.PngImagePlugin import PngInfo

        from segmentation.property_table import PROPERTY_NAMES

        person = request.person
        settings = {
            "version": self.version,
            **({"from_image": person.path.name} if isinstance(person, Photograph) else {"seed": person}),
            "properties": dict(zip(PROPERTY_NAMES, request.properties, strict=True)),
            "trunc_psi": self.trunc_psi,
            "corrections": self.corrections,
            "weights_sha256": self._weights_sha256,
        }
        info = PngInfo()
        info.add_text("Settings", json.dumps(settings))
        info.add_itxt("Command", self.command(request))
        return info
