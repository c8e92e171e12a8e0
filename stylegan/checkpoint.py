"""Reading and writing of StyleGAN weights.

`load_checkpoint` says what it found: files in the shape that GenForce publishes (`generator`,
`discriminator`, `generator_smooth`), the same tables nested under other names (see `nested_tables`), bare
tables of one network's weights, NVIDIA's pickles, the layouts of other programs (see `layouts`), generators
fine-tuned with a label matrix, and the files written here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from stylegan.interface import Discriminator, Generator
from stylegan.known_networks import (
    DISCRIMINATORS,
    GENERATORS,
    TITLES,
    explain_unknown,
)
from stylegan.nested_tables import find_tables, is_averaged
from stylegan.phases import Architecture
from stylegan.recognition import CheckpointError, Recognised, State, kind_of, recognise
from stylegan.weights_file import (
    WeightsFileError,
    read_json_entry,
    read_weights,
    write_torch,
)

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "build_discriminator",
    "build_generator",
    "fresh_discriminator",
    "load_checkpoint",
    "save_checkpoint",
    "weights_id",
]

NETWORKS = ("generator", "discriminator", "generator_smooth")
# Entries beside the table of a network that belong to it: rosinality's average w, and how far OpenMMLab's
# growing networks had grown.
GROWTH = ("_curr_scale_int", "_curr_transition_weight")
BESIDE = {"generator": ("latent_avg", *GROWTH), "discriminator": GROWTH}
DIALS = "dial_generator"  # what files of `stylegan_modified` hold that a generator alone would lose


@dataclass(frozen=True)
class Checkpoint:
    """Weights that were read from a file."""

    architecture: Architecture
    """Which generation of networks."""
    description: str
    """One sentence: what was found."""
    config: dict[str, Any]
    """Arguments for the generator (empty when there is none)."""
    discriminator_config: dict[str, Any]
    """Arguments for the discriminator (empty when there is none)."""
    generator: State | None = None
    discriminator: State | None = None
    generator_smooth: State | None = None
    notes: tuple[str, ...] = ()
    """Sentences on what the file lacked and how that was made up, and on what was turned."""
    extra: dict[str, Any] = field(default_factory=dict)
    """`metadata` of the file; for conditioned networks `property_count`, `label_size` (columns that the label
    matrix adds to z) and `conditioning` of the discriminator."""

    @property
    def conditioned(self) -> bool:
        """Whether a network takes property values besides."""
        return "property_count" in self.extra


def load_checkpoint(path: Path) -> Checkpoint:
    """Read weights from safetensors or a torch file, whatever the name says, without running code in it.

    Half-precision entries become float32.

    Raises:
        CheckpointError: no such file, a damaged or unsafe one, or weights of another network.
    """
    content, metadata = _read(path)
    try:
        return _interpret(content, metadata)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error


def _interpret(content: Mapping[str, Any], metadata: dict[str, Any]) -> Checkpoint:
    if DIALS in content:
        raise CheckpointError("it holds a generator with dials (v2 or v3), which is more than a StyleGAN.")
    tables = find_tables(content)
    if not tables:
        held = ", ".join(f"`{name}` ({type(value).__name__})" for name, value in content.items())
        raise CheckpointError(f"it holds no table of weights, only {held[:200] or 'nothing'}.")
    found = _recognise_all(tables, metadata)
    generators = [found[name] for name in ("generator", "generator_smooth") if name in found]
    if len(generators) == 2 and generators[0].config != generators[1].config:
        raise CheckpointError("its generator and its averaged generator differ in size.")
    extra: dict[str, Any] = {"metadata": metadata}
    for network in found.values():
        extra |= network.extra
    architectures = {network.architecture for network in found.values()}
    if len(architectures) > 1:
        raise CheckpointError("it mixes networks of StyleGAN v1 and StyleGAN2. Save those of one kind alone.")
    return Checkpoint(
        architecture=architectures.pop(),
        description=_describe(found, extra),
        notes=tuple(dict.fromkeys(note for network in found.values() for note in network.notes)),
        config=generators[0].config if generators else {},
        discriminator_config=found["discriminator"].config if "discriminator" in found else {},
        extra=extra,
        **{name: network.state for name, network in found.items()},
    )


def _recognise_all(tables: Mapping[str, State], metadata: Mapping[str, Any]) -> dict[str, Recognised]:
    """The networks among the tables of a file, by their name in `NETWORKS`."""
    found: dict[str, Recognised] = {}
    places: dict[str, str] = {}
    for place, state in tables.items():
        kind = kind_of(state)
        if kind is None:
            continue
        name = "generator_smooth" if kind == "generator" and is_averaged(place) else kind
        beside = tables.get(place.rpartition(".")[0], {})
        state = {**state, **{name: beside[name] for name in BESIDE[kind] if name in beside}}
        if name in found:
            raise CheckpointError(
                f"it holds two networks of one kind, {places[name]} and `{place}`. Save the wanted one alone."
            )
        stored = metadata.get("discriminator_config" if kind == "discriminator" else "config")
        found[name] = recognise(kind, state, stored)
        places[name] = f"`{place}`" if place else "its own entries"
    if not found:
        raise CheckpointError(explain_unknown(tables.values()))
    return found


def _describe(found: Mapping[str, Recognised], extra: Mapping[str, Any]) -> str:
    titles = {
        "generator": "generator",
        "discriminator": "discriminator",
        "generator_smooth": "averaged generator",
    }
    first = next(iter(found.values()))
    size = first.config["resolution"]
    latent = next(
        (f", z of {n.config['z_space_dim']}" for n in found.values() if "z_space_dim" in n.config), ""
    )
    names = " and ".join(titles[name] for name in NETWORKS if name in found)
    kind = TITLES[first.architecture]
    if "property_count" in extra:
        kind += f" with {extra['property_count']} properties"
    program = f" (file of {first.program})" if first.program else ""
    return f"{kind} at {size}x{size}{latent}: {names}{program}"


def _read(path: Path) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Contents of a weights file, and what it says about itself."""
    try:
        content, entries = read_weights(path)
        metadata = read_json_entry(path, entries, "metadata")
    except WeightsFileError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a table of weights.")
    # Files of the fine-tuned generators have the configuration beside the weights.
    stored = content.get("metadata", {"config": content["config"]} if "config" in content else {})
    return content, metadata or (dict(stored) if isinstance(stored, Mapping) else {})


def build_generator(checkpoint: Checkpoint, smooth: bool = True) -> Generator:
    """The generator of a checkpoint in eval mode; the averaged one if there is one and `smooth`.

    Raises:
        CheckpointError: it holds no generator, or one that takes properties (see `stylegan_modified`).
    """
    state = checkpoint.generator_smooth if smooth else None
    state = state or checkpoint.generator or checkpoint.generator_smooth
    if state is None:
        raise CheckpointError(f"No generator was found ({checkpoint.description}).")
    if "label_size" in checkpoint.extra:
        raise CheckpointError(
            f"{checkpoint.description}: this generator takes properties; an original StyleGAN is needed here."
        )
    generator = GENERATORS[checkpoint.architecture](**checkpoint.config)
    generator.load_state_dict(state, strict=True)
    return generator.eval()


def build_discriminator(checkpoint: Checkpoint) -> Discriminator:
    """The discriminator of a checkpoint in eval mode. CheckpointError as in `build_generator`."""
    if checkpoint.discriminator is None:
        raise CheckpointError(f"No discriminator was found ({checkpoint.description}).")
    if "conditioning" in checkpoint.extra:
        raise CheckpointError(
            f"{checkpoint.description}: this discriminator takes properties; an original one is needed here."
        )
    discriminator = DISCRIMINATORS[checkpoint.architecture](**checkpoint.discriminator_config)
    discriminator.load_state_dict(checkpoint.discriminator, strict=True)
    return discriminator.eval()


def fresh_discriminator(checkpoint: Checkpoint, seed: int = 0) -> Discriminator:
    """An untrained discriminator of the size of a checkpoint's generator, for files that have none."""
    names = ("resolution", "fmaps_base", "fmaps_max", "image_channels")
    config = {name: checkpoint.config[name] for name in names}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DISCRIMINATORS[checkpoint.architecture](**config).eval()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the same folder; flushed and renamed to `path` on success.

    The name is one that `scripts.pipeline.files.remove_leftovers` knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_checkpoint(
    path: Path,
    *,
    generator: Mapping[str, Tensor] | None = None,
    discriminator: Mapping[str, Tensor] | None = None,
    generator_smooth: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write state dicts, atomically, to `.safetensors` or to a torch file.

    Args:
        metadata: plain values; `config` and `discriminator_config` are what `load_checkpoint` reads back.
    """
    given = zip(NETWORKS, (generator, discriminator, generator_smooth), strict=True)
    states = {
        name: {key: value.detach().cpu().contiguous() for key, value in state.items()}
        for name, state in given
        if state is not None
    }
    with atomic_path(path) as temporary:
        if path.suffix == ".safetensors":
            flat = {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}
            temporary.write_bytes(save(flat, metadata={"metadata": json.dumps(metadata or {})}))
        else:
            write_torch(temporary, {**states, "metadata": dict(metadata or {})})


def weights_id(path: Path) -> str:
    """Short name of the weights that images are made with: 16 hexadecimal digits.

    A SHA-256 over the entries of the (averaged) generator, or of the discriminator where there is none, so
    that the same weights have the same name in every file format.
    """
    checkpoint = load_checkpoint(path)
    state = checkpoint.generator_smooth or checkpoint.generator or checkpoint.discriminator or {}
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)};".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:16]
