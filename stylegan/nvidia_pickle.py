"""Networks of NVIDIA's StyleGAN2-ADA program out of its pickles, without running any code from them.

Such a file is a pickle of a table {G, D, G_ema, augment_pipe, training_set_kwargs}. Every network, and every
module in it, is one call of a function of that program with a program text, to be run, and the module's
attributes. Here the names that a pickle asks for stand for functions of this file, which keep the attributes
and drop the text; whatever else it asks for is refused before anything of it is read.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan.stylegan2_generator import MAPPING_LR_MUL

PICKLE_START = b"\x80"
TORCH_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # a number that begins torch's files before the zip archives
HEAD_BYTES = 32
NETWORKS = ("G", "D", "G_ema")
NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
ACTIVATIONS = {"lrelu", "linear"}
STYLEGAN3_MODULE = "SynthesisInput"
TAKE = "Take a StyleGAN2-ADA pickle instead: NVIDIA's ffhq.pkl, or a training's network-snapshot-*.pkl."


class NvidiaPickleError(ValueError):
    """A pickle holds other networks than our StyleGAN2; the message says which and what to take instead."""


@dataclass
class _Module:
    """A module's class and attributes, as the file names them."""

    class_name: str
    attributes: dict[str, Any]

    @property
    def children(self) -> dict[str, _Module]:
        found = self.attributes.get("_modules") or {}
        return {str(name): child for name, child in found.items() if isinstance(child, _Module)}

    def modules(self, prefix: str = "") -> Iterator[tuple[str, _Module]]:
        """The module and all below it, with the beginnings of their entries' names."""
        yield prefix, self
        for name, child in self.children.items():
            yield from child.modules(f"{prefix}{name}.")

    def entries(self) -> dict[str, Tensor]:
        """What `state_dict()` of the network would give. Frozen layers keep their weights as buffers."""
        found: dict[str, Tensor] = {}
        for prefix, module in self.modules():
            for kind in ("_parameters", "_buffers"):
                tensors = module.attributes.get(kind) or {}
                found |= {f"{prefix}{name}": t for name, t in tensors.items() if isinstance(t, Tensor)}
        return found

    def values(self, name: str) -> set[Any]:
        """All values that an attribute has in the network."""
        return {module.attributes[name] for _, module in self.modules() if name in module.attributes}


class _Settings(dict[str, Any]):
    """Stands for `dnnlib.util.EasyDict`, a table with attributes."""


class _NumberType:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """The byte order and what only structured types have, which a plain number needs not."""


def _number(kind: object, content: object) -> float | int:
    if not isinstance(kind, _NumberType) or kind.code not in NUMBERS or not isinstance(content, bytes):
        raise ValueError("numbers of a kind that such files do not have")
    return np.frombuffer(content, dtype=f"<{kind.code}", count=1)[0].item()


def _module(meta: object) -> _Module:
    """Stands for `torch_utils.persistence._reconstruct_persistent_obj`; nobody looks at `module_src`."""
    if not isinstance(meta, Mapping) or not isinstance(meta.get("state"), Mapping):
        raise ValueError("a module without attributes")
    return _Module(str(meta.get("class_name")), dict(meta["state"]))


def _storage(content: bytes) -> Tensor:
    """All numbers of a storage, [n]: a torch file of its own, of the kind that cannot be packed."""
    if TORCH_MAGIC not in content[:HEAD_BYTES]:
        raise ValueError("no storage")
    found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(found, torch.storage.TypedStorage):
        raise ValueError("no storage")
    return torch.tensor([], dtype=found.dtype).set_(found)


def _tensor(numbers: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """A tensor that lies inside its storage and repeats none of the numbers."""
    count, last = math.prod(size), offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride, 0) < 0 or count > numbers.numel() or (count and last >= numbers.numel()):
        raise ValueError("a tensor larger than its storage")
    return numbers.as_strided(size, stride, offset)


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("collections", "OrderedDict"): OrderedDict,
    ("dnnlib.util", "EasyDict"): _Settings,
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            # In torch's words, so that `refused_files` explains both readers' refusals.
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {module}.{name}") from None


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a plain pickle does, and not as a torch file."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return head.startswith(PICKLE_START) and TORCH_MAGIC not in head


def read_nvidia_pickle(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Entries of the networks G, D and G_ema (those there are), and what shapes do not tell.

    Returns:
        {"G_ema": {name: tensor}, ...} and {"config": ..., "discriminator_config": ...}, arguments of our
        StyleGAN2 networks.

    Raises:
        NvidiaPickleError: it holds other networks, or none.
        pickle.UnpicklingError: it asks for a name that is not in `ALLOWED`. Nothing of it has been run.
        Exception: whatever the opcodes of a damaged pickle can lead to.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
    except pickle.UnpicklingError as error:
        if _mentions(path, STYLEGAN3_MODULE):
            raise NvidiaPickleError(
                f"it holds StyleGAN3 networks, which this package does not have. {TAKE}"
            ) from error
        raise
    networks = {
        name: content[name]
        for name in NETWORKS
        if isinstance(content, Mapping) and isinstance(content.get(name), _Module)
    }
    if not networks:
        raise NvidiaPickleError(f"it is a pickle without networks of NVIDIA's program. {TAKE}")
    for name, network in networks.items():
        _check_arithmetic(name, network)
    return {name: network.entries() for name, network in networks.items()}, _metadata(networks)


def _check_arithmetic(name: str, network: _Module) -> None:
    """Refuse what our networks do not do; entries and shapes are compared later."""
    if any(module.class_name == STYLEGAN3_MODULE for _, module in network.modules()):
        raise NvidiaPickleError(
            f"its {name} is a StyleGAN3 network, which this package does not have. {TAKE}"
        )
    if any(network.values("c_dim")):
        raise NvidiaPickleError(f"its {name} draws by class labels, which this package does not do. {TAKE}")
    others = network.values("activation") - ACTIVATIONS
    if others:
        raise NvidiaPickleError(
            f"its {name} has the activation {others.pop()!r}; only lrelu is known. {TAKE}"
        )
    mapping = network.children.get("mapping")
    if mapping is not None:
        gains = {child.attributes.get("bias_gain") for child in mapping.children.values()}
        if gains - {MAPPING_LR_MUL, None}:
            raise NvidiaPickleError(
                f"its {name} has a mapping network with another multiplier than {MAPPING_LR_MUL}. {TAKE}"
            )


def _metadata(networks: Mapping[str, _Module]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for name, network in networks.items():
        found: dict[str, Any] = {}
        clamps = network.values("conv_clamp") - ({None} if name == "D" else set())
        if len(clamps) > 1:
            raise NvidiaPickleError(f"the layers of its {name} are clamped differently. {TAKE}")
        found["conv_clamp"] = next(iter(clamps), None)
        if name == "D":
            groups = [size for size in network.values("group_size") if isinstance(size, int)]
            found |= {"minibatch_std_group_size": groups[0]} if groups else {}
        metadata["discriminator_config" if name == "D" else "config"] = found
    return metadata


def _mentions(path: Path, word: str) -> bool:
    """Whether a text of a pickle is this word; the pickle is looked through, not read."""
    try:
        with path.open("rb") as file:
            return any(argument == word for _, argument, _ in pickletools.genops(file))
    except ValueError:  # cut off
        return False
