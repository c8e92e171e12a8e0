"""A person found in a generator: latents, and how the generator was bent around them, in one small file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from stylegan.weights_file import read_json_entry, read_safetensors
from stylegan_modified.pivotal_tuning import Change, bent
from stylegan_modified.stylegan_generator_v2 import DialGenerator, Person

KIND = "projected person"


@dataclass(frozen=True)
class ProjectedPerson:
    """Somebody who was found by `projection`.

    Attributes:
        wp: [layers, w_dim].
        change: of the synthesis network, see `pivotal_tuning`; empty without tuning.
        notes: plain values: the photograph, the version and the weights that the latents belong to.
    """

    wp: Tensor
    change: Change = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def save_person(path: Path, person: ProjectedPerson) -> None:
    """Write `.safetensors`, the change in half precision; the caller makes it atomic."""
    tensors = {"wp": person.wp.detach().float().cpu().contiguous()}
    for name, parts in person.change.items():
        for place, part in zip(("first", "second"), parts, strict=True):
            tensors[f"change.{place}.{name}"] = part.detach().half().cpu().contiguous()
    save_file(tensors, path, metadata={"metadata": json.dumps({"kind": KIND, **person.notes})})


def load_person(path: Path) -> ProjectedPerson:
    """Read what `save_person` wrote.

    Raises:
        ValueError: missing, damaged, or no such file.
    """
    tensors, entries = read_safetensors(path)
    notes = read_json_entry(path, entries, "metadata")
    if notes.get("kind") != KIND or "wp" not in tensors:
        raise ValueError(f"{path} is no person that project_photos found")
    prefix = "change.first."
    names = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
    change = {
        name: (tensors[prefix + name].float(), tensors[f"change.second.{name}"].float()) for name in names
    }
    return ProjectedPerson(tensors["wp"], change, notes)


def own_model(model: DialGenerator, person: ProjectedPerson) -> DialGenerator:
    """The generator with dials as it draws this person: bent, or the same where nothing was tuned."""
    if not person.change:
        return model
    device = person.wp.device
    change = {name: (first.to(device), second.to(device)) for name, (first, second) in person.change.items()}
    generator = bent(model.generator, change)
    return DialGenerator(generator, model.property_cnn, model.dials, model.neutral).eval()


def as_people(model: DialGenerator, wp: Tensor) -> Person:
    """Latents [N, layers, w_dim] as people whose dials `DialGenerator.turn` turns."""
    image = model.generator.synthesis(wp).float()
    return Person(wp.mean(dim=1), wp, image, model.property_cnn(image).float())
