"""What validate_judges does: each network looks at faces whose people or genders are known."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnn.identity import load_embedder
from cnn.onnx_networks import GenderJudge
from cnn.verification import share_in_order, verify
from scripts.pipeline import Tool, UsageError, UserError, tables
from scripts.stages.image_files import ImageFileError, read_image
from stylegan.sampling import from_uint8

SUFFIXES = {".png", ".jpg", ".jpeg"}
READ_AT_ONCE = 16
WOMAN = {"1": True, "1.0": True, "female": True, "0": False, "0.0": False, "male": False}
COMMAND = "python scripts/bundle/validate_judges.py --faces FOLDER"


def run(tool: Tool, options: Any) -> None:
    """Read the faces, ask each network, print a table."""
    if options.faces is None:
        raise UsageError(f"It needs a folder of aligned faces. Type\n    {COMMAND}")
    pictures = read_faces(options.faces)
    names = list(pictures)
    pairs = pairs_of_people(names)
    women = known_genders(options.table, names) if options.table else {}
    if len(pairs) < 2 and not women:
        raise UserError(
            "There are neither two people with two pictures each nor known genders, so there is "
            "nothing to measure. Name pictures PERSON_NUMBER.jpg, or give --table."
        )
    images = from_uint8(np.stack(list(pictures.values()))).to(tool.device)
    numbers = {"pictures": str(len(names)), "people with two": str(len(pairs))}
    for path in options.identity if len(pairs) > 1 else ():
        numbers |= identity_numbers(tool, path, images, pairs)
    if women:
        numbers |= gender_numbers(tool, options.gender, images, women)
    for name, value in numbers.items():
        tool.log(f"{name}: {value}")
    tool.finish(numbers, [])


def read_faces(folder: Path) -> dict[str, np.ndarray]:
    """Pictures uint8 [S, S, 3] by file name, in the order of the names.

    Raises:
        UserError: no picture, an unreadable one, or pictures of several sizes.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            try:
                found[path.name] = read_image(path)
            except ImageFileError as error:
                raise UserError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    sizes = {picture.shape[:2] for picture in found.values()}
    if len(sizes) != 1:
        told = "no picture" if not sizes else f"pictures of several sizes ({sorted(sizes)})"
        raise UserError(f"{folder} holds {told}; give --faces the folder faces of scripts/align_photos.py.")
    return found


def pairs_of_people(names: Sequence[str]) -> list[tuple[int, int]]:
    """Places of the first two pictures of everybody who has two."""
    people = defaultdict(list)
    for place, name in enumerate(names):
        people[name.partition("_")[0]].append(place)
    return [(first, second) for first, second, *_ in (p for p in people.values() if len(p) > 1)]


def known_genders(path: Path, names: Sequence[str]) -> dict[int, bool]:
    """Place -> whether it is a woman; an aligned face has the name of its photograph and a number."""
    table = tables.read_csv(path, ("file", "gender"), "Give --table another one.")
    women = {
        str(file): WOMAN[str(gender)]
        for file, gender in zip(table["file"], table["gender"], strict=True)
        if str(gender) in WOMAN
    }
    files = [name if name in women else name.rpartition("_")[0] for name in names]
    return {place: women[file] for place, file in enumerate(files) if file in women}


def read_with(network: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, float]:
    """What a network says of pictures [N, 3, S, S], and milliseconds for each."""
    with torch.inference_mode():
        network(images[:READ_AT_ONCE])  # the first call also chooses kernels
        start = time.perf_counter()
        parts = [network(part) for part in images.split(READ_AT_ONCE)]
        return torch.cat(parts).cpu(), (time.perf_counter() - start) / len(images) * 1000


def identity_numbers(
    tool: Tool, path: Path, images: Tensor, pairs: Sequence[tuple[int, int]]
) -> dict[str, str]:
    """Figures of one network, by name."""
    with tool.foreseen(ValueError, ImportError):
        embedder = load_embedder(path, tool.device)
    descriptors, ms = read_with(embedder.comparable, images)
    first, second = (descriptors[list(places)] for places in zip(*pairs, strict=True))
    found = verify(first, second, embedder.card.threshold)
    told = {name: value for name, value in found._asdict().items() if value is not None}
    return {f"{path.stem} {name}": f"{value:.4f}" for name, value in {**told, "ms": ms}.items()}


def gender_numbers(tool: Tool, path: Path, images: Tensor, women: dict[int, bool]) -> dict[str, str]:
    """Accuracy at one half and area under the curve."""

    with tool.foreseen(ValueError, ImportError):
        judge = GenderJudge(path)
    probabilities, ms = read_with(judge, images[list(women)])
    truth = torch.tensor(list(women.values()))
    right = int(((probabilities > 0.5) == truth).sum())
    numbers = {"right": f"{right} of {len(truth)} ({int(truth.sum())} women)", "ms": f"{ms:.4f}"}
    if 0 < truth.sum() < len(truth):
        numbers["auc"] = f"{share_in_order(probabilities[~truth], probabilities[truth]):.4f}"
    return {f"{path.stem} {name}": value for name, value in numbers.items()}
