"""The one reader of weights files: torch's, safetensors and NVIDIA's pickles, told apart by their contents.

Torch's safe reader decides what may be read. Checked besides: archives are not packed, tensors are no larger
than the file, and all numbers are finite.
"""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stylegan.nvidia_pickle import NvidiaPickleError, is_pickle, read_nvidia_pickle
from stylegan.refused_files import AGAIN, refusal

NetworkT = TypeVar("NetworkT", bound=nn.Module)
ContentT = TypeVar("ContentT")

# Several entries may share their numbers, as two names of one tensor do; each becomes a copy later.
LARGEST_REPETITION = 4
SMALL_BYTES = 1 << 20
# What torch, zipfile and safetensors raise on files that are damaged or none of theirs.
UNREADABLE = (
    *(OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError),
    *(MemoryError, OverflowError, pickle.UnpicklingError, zipfile.BadZipFile, SafetensorError),
)


class WeightsFileError(ValueError):
    """A weights file is missing, damaged, too large for what it is, or holds more than weights."""


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: with the length of a JSON object, 8 bytes, and the object."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_weights(path: Path) -> tuple[Any, dict[str, str]]:
    """Contents of a weights file of any kind, whatever its name, and the text entries of safetensors.

    Raises:
        WeightsFileError, PermissionError: as `read_torch`, `read_safetensors` and `read_pickle`.
    """
    if path.is_file():
        if is_safetensors(path):
            return read_safetensors(path)
        if is_pickle(path):
            return read_pickle(path)
    return read_torch(path), {}


def read_pickle(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, str]]:
    """Tables of the networks in a pickle of NVIDIA's program, and their configuration as a text entry.

    Raises:
        WeightsFileError: damaged or cut off, other networks, names that such pickles do not need, or numbers
            that are not finite.
        PermissionError: it may not be read.
    """

    def read() -> tuple[dict[str, dict[str, Tensor]], dict[str, str]]:
        tables, metadata = read_nvidia_pickle(path)
        _check_tensors(path, _tensors_in(tables))
        return tables, {"metadata": json.dumps(metadata)}

    return _read(path, read)


def read_torch(path: Path) -> Any:
    """Contents of a torch file: tensors on the CPU, plain values, and tables of them.

    Raises:
        WeightsFileError: no such file, damaged or cut off, packed, with Python objects that torch's safe
            reader refuses, with tensors larger than the file, or with numbers that are not finite.
        PermissionError: it may not be read.
    """

    def read() -> Any:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise WeightsFileError("its entries are compressed, which no weights file needs")
        with warnings.catch_warnings(), path.open("rb") as file:  # of a path, torch reads the suffix
            warnings.simplefilter("ignore")  # about pickles of other programs, which a refusal explains
            # Settings of a training that lie beside its weights: a record of plain values, as a table is.
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(file, map_location="cpu", weights_only=True)
        _check_tensors(path, _tensors_in(content))
        return content

    return _read(path, read)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, on the CPU, and the text entries of the header.

    Raises:
        WeightsFileError: no such file, damaged or cut off, offsets outside the file or over each other, or
            numbers that are not finite.
        PermissionError: it may not be read.
    """

    def read() -> tuple[dict[str, Tensor], dict[str, str]]:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
            metadata = file.metadata() or {}
        _check_tensors(path, tensors.values())
        return tensors, metadata

    return _read(path, read)


def write_torch(path: Path, content: Any) -> None:
    """Write a torch file whose bytes depend on the contents alone; the caller makes it atomic.

    Given a path, torch would put the file's name into it, and temporary names differ from run to run.
    """
    with path.open("wb") as file:
        torch.save(content, file)


def read_json_entry(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """A text entry of `read_safetensors` that holds a JSON object; without the entry an empty one.

    Raises:
        WeightsFileError: it holds something else; `path` is named.
    """
    try:
        value = json.loads(metadata.get(name, "{}"))
    except (ValueError, RecursionError) as error:
        raise WeightsFileError(f"{path}: its entry {name!r} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsFileError(f"{path}: its entry {name!r} is no table of values")
    return value


def build_to_fit(build: Callable[[], NetworkT], state: Mapping[str, Tensor]) -> NetworkT:
    """A network with the weights of a file, in which sizes that the file names take no memory unproved.

    Args:
        build: makes the network of those sizes.
        state: all its entries.

    Raises:
        WeightsFileError: they are not its entries, or of other shapes.
    """
    with torch.device("meta"):
        expected = {name: value.shape for name, value in build().state_dict().items()}
    wrong = [name for name in {*expected, *state} if name not in state or name not in expected]
    wrong += [name for name in expected if name in state and state[name].shape != expected[name]]
    if wrong:
        raise WeightsFileError(f"its entry {wrong[0]!r} does not fit the sizes that it names")
    network = build()
    network.load_state_dict(dict(state), strict=True)
    return network


def _read(path: Path, read: Callable[[], ContentT]) -> ContentT:
    """What `read` returns; its errors as one kind, with the file's name and what to do."""
    if not path.is_file():
        raise WeightsFileError(f"There is no weights file {path}.")
    try:
        return read()
    except PermissionError:
        raise
    except WeightsFileError as error:
        raise WeightsFileError(f"{path} is refused: {error}. {AGAIN}") from error
    except NvidiaPickleError as error:
        raise WeightsFileError(f"{path} is refused: {error}") from error
    except UNREADABLE as error:
        raise WeightsFileError(f"{path} {refusal(path, error)}") from error


def _tensors_in(content: Any) -> Iterator[Tensor]:
    """All tensors of nested tables; every table once, since a table may contain itself."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _check_tensors(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors that repeat few numbers into many, and numbers that no training leaves."""
    allowed = LARGEST_REPETITION * path.stat().st_size + SMALL_BYTES
    for tensor in tensors:
        allowed -= tensor.numel() * tensor.element_size()
        if allowed < 0:
            raise WeightsFileError("its tensors are larger than the file")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsFileError("it holds numbers that are not finite")
