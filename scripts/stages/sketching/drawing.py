"""What 32 does, and what the page to draw on asks for: portraits from sketches that people give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.pipeline import MissingInputError, Tool, UsageError, UserError, tables
from scripts.pipeline.places import REPOSITORY
from scripts.stages.image_files import ImageFileError, read_image, read_label_map
from scripts.stages.pictures import plain_text, short_name
from scripts.stages.regenerating.requests import parse_seeds
from scripts.stages.sheets import labelled_grid
from scripts.stages.sketching.pairs import pair_paths, resized
from scripts.stages.workspace import (
    BUNDLED_SKETCH_NETWORK,
    SEGMENTATION_MODELS,
    SKETCH_DRAWN,
    SKETCH_NETWORK,
    SKETCH_TABLE,
)
from segmentation.face_crop import FaceCropper
from sketch.colors import COLOR_NAMES, color_text, parse_color
from sketch.given_sketches import SketchError, prepared
from sketch.portrait_network import PortraitNetwork, load_network
from stylegan.weights_file import WeightsFileError

EXAMPLES = 4


def open_network(tool: Tool, given: Path | None) -> tuple[PortraitNetwork, Path]:
    """A network and its file: the given one, else that of the workspace, else the bundled one.

    Raises:
        MissingInputError, UserError: there is none, or it holds something else.
    """
    bundled = REPOSITORY / BUNDLED_SKETCH_NETWORK
    places = [given.resolve()] if given else [tool.workspace / SKETCH_NETWORK, bundled]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise MissingInputError(
            f"it needs {places[0]}, which does not exist. Train a network:\n    "
            f"{tool.command('31_train_sketch_to_portrait')}"
        )
    if given is None and path != bundled:
        tool.check_unchanged(SKETCH_NETWORK)
    with tool.foreseen(WeightsFileError):
        return load_network(path, tool.device), path


def given_colors(options: Any) -> dict[str, tuple[int, int, int]]:
    """The colours of the command line; a malformed one is a `UsageError`."""
    given = {name: getattr(options, name) for name in COLOR_NAMES}
    for side in ("background_left", "background_right"):
        given[side] = given[side] or options.background
    try:
        return {name: parse_color(text) for name, text in given.items() if text}
    except ValueError as error:
        raise UsageError(str(error)) from error


def example_sketches(tool: Tool) -> dict[str, Path]:
    """The first sketches of the test split, by number.

    Raises:
        MissingInputError: there are none.
    """
    path = tool.workspace / SKETCH_TABLE
    if path.is_file():
        table = tables.read_csv(path, ("img_no", "split", "status"))
        chosen = table[table["split"].eq("test") & table["status"].eq("ok")]["img_no"].head(EXAMPLES)
        if len(chosen):
            return {f"{n:06d}": tool.workspace / pair_paths(n, "test")[1] for n in map(int, chosen)}
    raise MissingInputError(
        f"it needs a sketch: none was named, and {tool.workspace} has none of its own. Name files:\n    "
        f"{tool.command('32_draw_from_sketch', 'FILE')}\nor make some:\n    "
        f"{tool.command('30_make_sketch_pairs')}"
    )


def read_sketch(tool: Tool, path: Path, size: int) -> np.ndarray:
    """The lines of a file, uint8 [size, size], white on black; what was changed is logged.

    Raises:
        UserError: no picture, or no sketch.
    """
    try:
        found = prepared(read_image(path), size)
    except (ImageFileError, SketchError) as error:
        raise UserError(f"{path.name} cannot be drawn from: {error}.") from error
    for note in found.notes:
        tool.log(f"{plain_text(path.name)}: {note}")
    return found.lines


def faces_found(cropper: FaceCropper, portraits: np.ndarray) -> np.ndarray:
    """In which portraits uint8 [N, S, S, 3] MTCNN sees a face, bool [N]."""
    return np.array([crop is not None for crop in cropper(list(portraits))])


def draw_from_sketches(tool: Tool, options: Any) -> None:
    """Draw and save the portraits, their table and the sheet."""
    seeds, given = parse_seeds(options.seeds), given_colors(options)
    network, path = open_network(tool, options.network)
    if given and not network.config.has_colors:
        raise UserError(
            f"{path} was trained without colours, so {', '.join(given)} would change nothing. Leave them out."
        )
    named = {file.stem: file.resolve() for file in options.files} or example_sketches(tool)
    if options.files and len(named) < len(options.files):
        raise UserError(
            "two files have the same name, so their portraits would overwrite each other. Rename one."
        )
    folder = options.out.resolve().as_posix() if options.out else SKETCH_DRAWN
    size = network.config.size
    if options.files:
        sketches = {name: read_sketch(tool, file, size) for name, file in named.items()}
    else:
        with tool.foreseen(ImageFileError):
            sketches = {name: resized(read_label_map(file), size) for name, file in named.items()}
    models = tool.workspace / SEGMENTATION_MODELS
    cropper = FaceCropper(tool.device, weights=models) if options.measure else None
    rows: list[dict[str, Any]] = []
    grid: list[list[np.ndarray]] = []
    with tool.progress(len(sketches), "sketches") as progress:
        for name, sketch in sketches.items():
            portraits, colors = network.variants(sketch, seeds, given)
            seen = faces_found(cropper, portraits) if cropper else [""] * len(seeds)
            for seed, portrait, person, has_face in zip(seeds, portraits, colors, seen, strict=True):
                file = f"{folder}/{short_name(plain_text(name))}_seed{seed:06d}.png"
                tool.write(file, portrait)
                told = dict(zip(COLOR_NAMES, map(color_text, person), strict=True))
                row = {"file": file, "sketch": plain_text(name), "seed": seed, **told}
                rows.append(row | {"has_face": has_face})
            if cropper and not any(seen):
                tool.log(
                    f"{plain_text(name)}: no face is found in any of its portraits. Is it a face from the "
                    "front, with outline, eyes, nose and mouth, and does it fill the sheet?"
                )
            grid.append([sketch, *portraits])
            progress.update()
    tool.write(f"{folder}/images.csv", pd.DataFrame(rows))
    sheet = labelled_grid(
        grid,
        [plain_text(name) for name in sketches],
        ["sketch", *(f"seed {n}" for n in seeds)],
        options.scale,
    )
    tool.write(f"{folder}/grid.png", sheet)
    numbers = {"portraits": f"{len(rows)} of {len(sketches)} sketches, by {path}"}
    if cropper:
        share = np.mean([row["has_face"] for row in rows])
        numbers["faces found"] = f"{share:.0%} (it says a face, not a good face)"
    tool.finish(numbers, [f"{folder}/grid.png", f"{folder}/images.csv"])
    tool.log(f"look at: {tool.path(f'{folder}/grid.png')}")
    first = str(tool.path(rows[0]["file"]))
    tool.log("turn the dials of this face (v3 must be trained):")
    tool.log(f"    {tool.command('08_regenerate_images', '--version', 'v3', '--from-image', first)}")
    tool.log("or find the person in the generator first, which keeps more of the picture:")
    tool.log(f"    {tool.command('project_photos', first)}")
    if options.files or not (tool.workspace / SKETCH_NETWORK).is_file():
        return
    tool.log(f"next: {tool.command('33_evaluate_sketch_to_portrait')}")
