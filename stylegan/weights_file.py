"""The one reader of weights files: torch files and safetensors, without running code and in bounded memory.

A file is looked at before it is loaded: what it declares must not exceed what it holds. Checksums are
compared too, which torch does not do.
"""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

__all__ = [
    "WeightsFileError",
    "build_to_fit",
    "read_json_entry",
    "read_safetensors",
    "read_torch",
    "write_torch",
]

NetworkT = TypeVar("NetworkT", bound=nn.Module)

ZIP_MAGIC = b"PK\x03\x04"
ZIP_END = struct.Struct("<4s4H2LH")
ZIP_END_MAGIC = b"PK\x05\x06"
LONGEST_COMMENT = 1 << 16
LARGEST_DIRECTORY = 1 << 23  # about 80,000 tensors
LARGEST_PICKLE = 1 << 26
LARGEST_HEADER = 1 << 24
LEGACY_PICKLES = 5  # magic number, protocol, system, contents, keys of the storages; the numbers follow
# A table of weights needs no more than these. Torch allows a few others, of which one can be asked for any
# amount of memory.
SAFE_GLOBALS = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {kind}Storage" for kind in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half")),
    *(f"torch {kind}Storage" for kind in ("Int", "Long", "Short")),
}
# Several entries may share their numbers, as two names of one tensor do; each becomes a copy later.
LARGEST_REPETITION = 4
SMALL_BYTES = 1 << 20
AGAIN = "Get the file again from its source."
# What torch, pickle and zipfile raise on files that are damaged or none of theirs.
DAMAGED = (
    *(OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError),
    *(MemoryError, OverflowError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
)


class WeightsFileError(ValueError):
    """A weights file is missing, damaged, too large for what it is, or could run foreign code."""


def read_torch(path: Path) -> Any:
    """Contents of a torch file: tensors on the CPU, plain values, and tables of them.

    Raises:
        WeightsFileError: no such file, damaged or cut off, compressed, with Python objects besides weights,
            with tensors larger than what the file holds, or with numbers that are not finite.
        PermissionError: it may not be read.
    """
    path = Path(path)
    _check_is_file(path)
    try:
        with path.open("rb") as file:
            is_archive = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
            file.seek(0)
            if is_archive:
                _check_archive(file)
            else:
                for _ in range(LEGACY_PICKLES):
                    _check_globals(file)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except WeightsFileError as error:
        raise WeightsFileError(f"{path} is refused: {error}. {AGAIN}") from error
    except DAMAGED as error:
        reason = "it is damaged, cut off, or no torch file"
        raise WeightsFileError(f"{path} cannot be read: {reason}. {AGAIN}") from error
    _check_tensors(path, _tensors_in(content))
    return content


def write_torch(path: Path, content: Any) -> None:
    """Write a torch file whose bytes depend on the contents alone; the caller makes it atomic.

    Given a path, torch would put the file's name into it, and temporary names differ from run to run.
    """
    with path.open("wb") as file:
        torch.save(content, file)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, on the CPU, and the text entries of the header.

    Raises:
        WeightsFileError: no such file, damaged or cut off, offsets outside the file or over each other, a
            huge header, or numbers that are not finite.
        PermissionError: it may not be read.
    """
    path = Path(path)
    _check_is_file(path)
    try:
        with path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
        if header_bytes > LARGEST_HEADER:
            raise ValueError(f"a header of {header_bytes} bytes")
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
            metadata = file.metadata() or {}
    except PermissionError:
        raise
    except (*DAMAGED, SafetensorError) as error:
        raise WeightsFileError(
            f"{path} cannot be read: it is damaged, cut off, or no safetensors file ({error}). {AGAIN}"
        ) from error
    _check_tensors(path, tensors.values())
    return tensors, metadata


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


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise WeightsFileError(f"There is no weights file {path}.")


def _check_archive(file: IO[bytes]) -> None:
    """The entries of a zip archive as torch writes it: stored, each whole, with the right checksum."""
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise WeightsFileError("its entries are compressed, which no weights file needs")
        if sum(entry.file_size for entry in entries) > file.seek(0, os.SEEK_END):
            raise WeightsFileError("its entries are larger than the file")
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise ValueError("no table of contents")
        with archive.open(pickles[0]) as table:
            _check_globals(table)
        damaged = archive.testzip()
        if damaged is not None:
            raise WeightsFileError(f"it is damaged, its entry {damaged} has another checksum")


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a directory of entries that would itself fill the memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST_COMMENT - ZIP_END.size))
    tail = file.read()
    at = tail.rfind(ZIP_END_MAGIC)
    if at < 0 or len(tail) - at < ZIP_END.size:
        raise ValueError("cut off")
    directory_bytes = ZIP_END.unpack_from(tail, at)[5]
    if directory_bytes > LARGEST_DIRECTORY:
        raise WeightsFileError("it lists more entries than any network has")
    file.seek(0)


def _check_globals(file: IO[bytes]) -> None:
    """Read one pickle without running it; refuse whatever a table of weights does not need."""
    for opcode, argument, _ in pickletools.genops(file):
        is_foreign = opcode.name == "GLOBAL" and argument not in SAFE_GLOBALS
        if is_foreign or opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:
            raise WeightsFileError(
                "it holds Python objects besides weights, and reading those could run foreign code"
            )


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
            raise WeightsFileError(f"{path} is refused: its tensors are larger than the file. {AGAIN}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsFileError(f"{path} is refused: it holds numbers that are not finite. {AGAIN}")
