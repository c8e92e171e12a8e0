"""Images to train a generator on: rendered portraits or a folder of pictures, cached as one array."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data import portraits
from scripts.pipeline import Tool, UserError, files
from scripts.pipeline.console import script_command
from scripts.pipeline.files import ArrayFileError, TextFileError, atomic_path, map_array, read_json
from scripts.pipeline.tables import read_csv
from scripts.stages.base_generator.options import Options
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.pictures import find_pictures, read_ahead, some_of, state_of
from segmentation.face_landmarks import FaceFinder
from stylegan.batches import TrainingImages

MINIMUM = 8
ALIGNED, SHEET = "aligned.csv", "contact_sheet.png"
CHUNK = 500
# Of pictures that nobody aligned, so many are searched for faces. A face that is narrower than this share of
# the square is scenery.
SEARCHED_COUNT, SEARCHED_PX, SMALLEST_FACE = 64, 256, 0.25


def load_images(tool: Tool, options: Options, resolution: int, out: Path) -> tuple[TrainingImages, str]:
    """The images to train on, rendered or read once and cached in the folder of the run.

    Returns:
        the images, and what they are: another text for other images.
    """
    if options.folder:
        folders = [folder.resolve() for folder in options.folder]
        pictures, weights, digest = folder_images(folders, resolution, out, tool.log)
        return TrainingImages(
            pictures, order=weighted_order(weights)
        ), f"{len(pictures)} pictures, sha256 {digest[:16]}"
    with tool.foreseen(ValueError, mend="Give a plan that ends at another resolution, or --folder."):
        portraits.check_size(resolution)
    first, count, repeats = options.first_portrait, options.portraits, options.repeat_low_quality
    seeds = range(first, first + count)
    images, latents = portrait_images(tool, options, seeds, resolution, out), portraits.sample_latents(seeds)
    what = f"{count} portraits from seed {first}"
    if repeats > 1:
        what += f", those of low quality {repeats} times"
    return TrainingImages(images, latents, order=repeated_order(first, latents, repeats)), what


def repeated_order(first: int, latents: np.ndarray, repeats: int) -> np.ndarray:
    """Rows of one pass: every portrait once, those of low quality `repeats` times.

    Picture and latent stay a pair, so a generator trained on the pairs shows low quality no more often; it
    learns what it looks like, which one example in twenty hardly teaches.
    """
    quality = [
        portraits.truth(portraits.parameters_from_latent(latent, first + row))[1]
        for row, latent in enumerate(latents)
    ]
    low = np.flatnonzero(np.array(quality) == 0)
    return np.concatenate([np.arange(len(latents)), np.repeat(low, repeats - 1)])


def portrait_images(tool: Tool, options: Options, seeds: range, size: int, folder: Path) -> np.ndarray:
    """Portraits of some seeds as images uint8 [N,size,size,3], rendered once, in pieces, into a folder.

    A later call reads them, and a call after an interruption goes on with the piece that was not finished.
    """
    final = folder / f"portraits_{size}px_{seeds.start}_{len(seeds)}.npy"
    part, progress = final.with_suffix(".part"), final.with_suffix(".json")
    if not final.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            finished = read_json(progress)["finished"]
            images = np.lib.format.open_memmap(part, mode="r+")
        except (FileNotFoundError, ValueError, KeyError):  # not begun, or damaged
            progress.unlink(missing_ok=True)  # it would vouch for portraits that are not drawn yet
            finished, shape = 0, (len(seeds), size, size, 3)
            images = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        while finished < len(seeds):
            piece = seeds[finished : finished + CHUNK]
            drawn = portraits.render_many(piece, size, processes=options.processes)
            images[finished : finished + len(piece)] = drawn.images
            images.flush()
            finished += len(piece)
            files.write(progress, {"finished": finished})
            tool.log(f"rendered {finished} of {len(seeds)} portraits")
            tool.check_stop()
        del images
        part.replace(final)
    progress.unlink(missing_ok=True)
    return _mapped(final)


def _mapped(path: Path) -> np.ndarray:
    """Cached images, read-only; `UserError` if they are damaged."""
    try:
        return map_array(path)
    except ArrayFileError as error:
        raise UserError(f"{error} Remove it and give the same command again: {path}") from error


def folder_images(
    folders: Sequence[Path], size: int, cache: Path, log: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray, str]:
    """All pictures of some folders, upright, cut to their central square and resized.

    Where `align_photos.py` left its table, only the pictures that it calls "ok". A column `weight` there
    says how often a picture is shown, relative to the others.

    Args:
        cache: folder where they are kept, until a name, a size in bytes or a time of change is another one;
            it is not searched for pictures.

    Returns:
        images [N,size,size,3] uint8, their weights [N] (1 where none are given), and the sha256 of both.

    Raises:
        UserError: no such folder, a table of another kind, weights that are none, or too few pictures.
    """
    paths: dict[str, Path] = {}
    weights: list[float] = []
    for number, pictures in enumerate(folders, 1):
        named, weighted = _listed(pictures, cache, log)
        prefix = f"{number}/" if len(folders) > 1 else ""
        paths |= {prefix + name: path for name, path in named.items()}
        weights += weighted
    is_aligned = all((pictures / ALIGNED).is_file() for pictures in folders)
    final = cache / f"pictures_{size}px.npy"
    listing = cache / f"pictures_{size}px.json"
    states = [[*state_of(name, paths[name]), weight] for name, weight in zip(paths, weights, strict=True)]
    if final.exists() and listing.exists():
        with suppress(TextFileError, KeyError):  # a damaged listing vouches for nothing
            cached = read_json(listing)
            if cached["files"] == states:
                return _mapped(final), np.array(cached["weights"]), str(cached["sha256"])
    unaligned = None if is_aligned else UnalignedPictures(len(paths))
    images, kept = [], []
    ahead = read_ahead(paths, lambda name: read_image(paths[name]))
    for (name, picture), weight in zip(ahead, weights, strict=True):
        try:
            pixels = picture.result()
        except ImageFileError as error:
            log(f"left out {name}, {error}")
            continue
        images.append(_square(pixels, size))
        kept.append(weight)
        if unaligned is not None:
            unaligned.add(pixels)
    command = script_command("align_photos", "--photos", str(folders[0]), "--out", "ALIGNED")
    if len(images) < MINIMUM:
        raise UserError(
            f"{', '.join(map(str, folders))} holds {len(images)} usable pictures, and a training needs at "
            f"least {MINIMUM}: fewer are soon known by heart, and the generator would only repeat them. Add "
            f"photographs and cut out their faces:\n    {command}"
        )
    if unaligned is not None:
        log(
            f"{unaligned.describe()}. There is no {ALIGNED}, so the generator learns what the squares show, "
            f"wherever faces are. To cut out the faces of photographs:\n    {command}"
        )
    array = np.stack(images)
    listing.unlink(missing_ok=True)  # beside other images the earlier one would vouch for them
    with atomic_path(final) as temporary:
        np.save(temporary, array)
    digest = hashlib.sha256(array.data)
    if len(set(kept)) > 1:
        digest.update(np.array(kept).data)
    files.write(listing, {"sha256": digest.hexdigest(), "files": states, "weights": kept})
    return _mapped(final), np.array(kept), digest.hexdigest()


def _listed(pictures: Path, cache: Path, log: Callable[[str], None]) -> tuple[dict[str, Path], list[float]]:
    """The pictures of one folder to use, and their weights."""
    found = find_pictures(pictures, cache)
    if (pictures / ALIGNED).is_file():
        return _aligned(pictures / ALIGNED, found.pictures, log)
    found.tell(log)
    return found.pictures, [1.0] * len(found.pictures)


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The central square of a picture uint8 [H, W, 3] as uint8 [size, size, 3]."""
    picture = Image.fromarray(pixels)
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS))


class UnalignedPictures:
    """Counts, of pictures that nobody aligned, how many are cropped and how many of a sample hold a face.

    Args:
        count: pictures that may come.
    """

    def __init__(self, count: int) -> None:
        self._every = max(1, math.ceil(count / SEARCHED_COUNT))
        self._count = self._cropped_count = 0
        self._sample: list[np.ndarray] = []

    def add(self, pixels: np.ndarray) -> None:
        """Count a picture uint8 [H, W, 3]."""
        height, width = pixels.shape[:2]
        if self._count % self._every == 0:
            self._sample.append(_square(pixels, min(SEARCHED_PX, height, width)))
        self._count += 1
        self._cropped_count += height != width

    def describe(self) -> str:
        """What was found, in words; this searches the sample."""
        finder = FaceFinder(rotations="never")
        face_count = 0
        for square in self._sample:
            finder.min_face_px = SMALLEST_FACE * len(square)
            face_count += any(face.probability >= finder.min_probability for face in finder(square))
        return (
            f"{self._cropped_count} of {self._count} pictures were cropped to their central square, and "
            f"{face_count} of {len(self._sample)} that were searched hold a face there"
        )


def _aligned(
    table: Path, paths: Mapping[str, Path], log: Callable[[str], None]
) -> tuple[dict[str, Path], list[float]]:
    """Of the pictures of a folder those that a table of aligned faces calls "ok", and their weights."""
    mend = "Make it again with align_photos.py, or remove it to use every picture of the folder."
    faces = read_csv(table, ("file", "status"), mend)
    usable = faces[faces["status"] == "ok"]
    weights = usable["weight"] if "weight" in usable.columns else np.ones(len(usable))
    try:
        weight_of = {Path(name).as_posix(): float(w) for name, w in zip(usable["file"], weights, strict=True)}
        if not all(0 < weight < math.inf for weight in weight_of.values()):
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(f"The column weight of {table} must hold numbers above zero. {mend}") from None
    found = {name: path for name, path in paths.items() if name in weight_of}
    log(f"{len(found)} of the {len(faces)} faces in {ALIGNED} are usable")
    listed = {*faces["file"], SHEET}
    others = [name for name in paths if name not in listed]
    gone = [name for name in weight_of if name not in paths]
    for names, reason in ((others, f"not in {ALIGNED}"), (gone, f"in {ALIGNED}, but not in the folder")):
        if names:
            log(f"left out {some_of(names)}: {reason}")
    return found, [weight_of[name] for name in found]


def weighted_order(weights: np.ndarray) -> np.ndarray | None:
    """Rows of one pass in which each picture stands as often as its weight [N] says; None: each once."""
    repeats = np.round(weights / weights.min()).astype(int)
    return None if (repeats == 1).all() else np.repeat(np.arange(len(weights)), repeats)
