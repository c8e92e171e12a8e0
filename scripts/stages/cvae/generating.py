"""What 24 does: pictures of the VAE's decoder with chosen conditions, their table and test_output.png."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cvae.augmentation import Change, variant
from cvae.conditions import CONDITION_NAMES
from cvae.model import ConditionalVAE
from scripts.pipeline import Input, Tool, UsageError, UserError, locks, tables
from scripts.stages import networks
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.folds import MissingReaderError
from scripts.stages.cvae.reading import condition_reader
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.regenerating.regenerator import check_files
from scripts.stages.regenerating.requests import parse_seeds, parse_sweep
from scripts.stages.sheets import contact_sheet, labelled_grid
from stylegan.sampling import from_uint8, sample_z, to_uint8

MOST_SHOWN = 240


def load_vae(tool: Tool, item: Input = at.VAE_INPUT, architecture: str = "") -> ConditionalVAE:
    """The conditional VAE of the workspace, in eval mode on the device."""
    with networks.usable(tool, item) as path:
        return ConditionalVAE.from_checkpoint(networks.read_table(path), architecture).to(tool.device)


def generate(tool: Tool, options: Any) -> None:
    """Make the pictures while nobody trains another network."""
    item = at.GENERATORS["cvae"] if options.from_image is None else at.VAE_INPUT
    with locks.reading(tool.workspace, [item.made_by]):
        check_files(tool, [item, at.CONDITIONS_INPUT])
        model = load_vae(tool, item)
        make(tool, options, model)


def make(tool: Tool, options: Any, model: ConditionalVAE) -> None:
    """Write the pictures, their table and the sheet."""
    names = model.config.condition_names
    usual = medians(tool, names)
    chosen = {n: getattr(options, n) for n in CONDITION_NAMES if getattr(options, n) is not None}
    check_conditions(chosen, names)
    columns: dict[str, dict[str, float]] = {
        f"{name} {value:g}": {name: value}
        for text in options.sweep
        for name, values in [parse_sweep(text, CONDITION_NAMES, "condition", "mouth=0:1:5")]
        for value in values
    } or {"": {}}
    for turned in columns.values():
        check_conditions(turned, names)
    if options.from_image is None:
        people = parse_seeds(options.seeds)
        noise, labels = sample_z(people, 0, model.z_space_dim), [f"seed{n:06d}" for n in people]
        base = [chosen.get(name, usual[name]) for name in names]
    else:
        given = read_picture(options.from_image, model)
        own = usual | read_conditions(tool, given) | chosen
        base = [own[name] for name in names]
        noise = encode(tool, given, model, base)
        labels = [options.from_image.stem]
        changed = dict(map(parse_change, options.change))
        check_conditions(changed, names)
        base = [changed.get(name, value) for name, value in zip(names, base, strict=True)]
    cells = [(n, column) for n in range(len(labels)) for column in columns]
    asked = np.array(
        [[columns[c].get(name, v) for name, v in zip(names, base, strict=True)] for _, c in cells], np.float32
    )
    rows, shown = [], []
    folder = at.VAE_GENERATED if options.out is None else options.out.resolve().as_posix()
    with tool.progress(len(cells)) as progress, torch.inference_mode():
        for part in torch.arange(len(cells)).split(options.batch_size):
            z = noise[[cells[n][0] for n in part]].to(tool.device)
            conditions = torch.from_numpy(asked[part.numpy()]).to(tool.device)
            images = to_uint8(model.decode(z, conditions, options.temperature).picture)
            for n, image in zip(part.tolist(), images, strict=True):
                place, column = cells[n]
                file = f"{labels[place]}{'_' if column else ''}{column.replace(' ', '')}.png"
                tool.write(f"{folder}/{file}", image)
                rows.append({"file": file, "person": labels[place], "column": column})
                shown += [image] if n < MOST_SHOWN else []
            progress.update(len(part))
    table = pd.DataFrame(rows)
    table[list(names)] = asked
    tool.write(f"{folder}/images.csv", table.round(4))
    if options.from_image is not None:
        shown, columns = [given, *shown], {"given": {}, **columns}
    count = len(columns)
    if count > 1:
        whole = len(shown) // count
        grid = [shown[first * count : (first + 1) * count] for first in range(whole)]
        sheet = labelled_grid(grid, labels[:whole], list(columns), options.scale)
    else:
        sheet = contact_sheet(shown, 8, labels[: len(shown)], options.scale)
    tool.write(at.VAE_TEST_OUTPUT, sheet)
    tool.count("pictures", len(cells))
    tool.finish({"pictures": f"{len(cells)} of {len(labels)} people"}, [at.VAE_TEST_OUTPUT])
    tool.log(f"{len(cells)} pictures in {tool.workspace / folder}")
    tool.log(f"  look at: {tool.workspace / at.VAE_TEST_OUTPUT}")


def medians(tool: Tool, names: tuple[str, ...]) -> dict[str, float]:
    """The median of each condition among the training pictures."""
    found = {}
    for name in names:
        path = tool.workspace / at.DECIDED_INPUT.format(name)
        values = tables.read_csv(
            path, (name,), f"Make it anew: {tool.command('22_decide_inputs', '--force')}"
        )
        found[name] = float(values[name].median())
    return found


def check_conditions(values: dict[str, float], names: tuple[str, ...]) -> None:
    """Raise `UsageError` for a condition that the VAE does not know, or one outside 0 to 1."""
    for name, value in values.items():
        if name not in names:
            raise UsageError(f"this VAE has no condition {name!r}: it was trained with {', '.join(names)}.")
        if not 0 <= value <= 1:
            raise UsageError(
                f"{name} {value:g} is outside 0 to 1, and the VAE has seen no such picture. 0 and 1 are the "
                "ends of the training pictures."
            )


def parse_change(text: str) -> tuple[str, float]:
    """'mouth=.9' -> ('mouth', .9); a malformed text is a `UsageError`."""
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"--change {text!r} is not condition=value, such as mouth=.9.")
    return name, number


def read_picture(path: Path, model: ConditionalVAE) -> np.ndarray:
    """A picture in the size of the VAE, uint8 [H, W, 3].

    Raises:
        UserError: it cannot be read.
    """
    try:
        picture = read_image(path)
    except ImageFileError as error:
        raise UserError(
            f"{path} cannot be read ({error}), so there is nothing to encode. Name another picture."
        ) from error
    return variant(picture, Change(), model.config.height, model.config.width)


def read_conditions(tool: Tool, picture: np.ndarray) -> dict[str, float]:
    """The conditions that a picture has itself; none where no network reads them, and then it says so."""
    record = dataset.condition_record(tool)
    try:
        reader = condition_reader(tool, record)
    except MissingReaderError:
        tool.log("no network reads the picture's own conditions; those that are not given are the medians")
        return {}
    with torch.inference_mode():
        read = reader(from_uint8(picture[None]).to(tool.device))[0].clamp(0, 1)
    return dict(zip(record["names"], read.tolist(), strict=True))


@torch.inference_mode()
def encode(tool: Tool, picture: np.ndarray, model: ConditionalVAE, conditions: list[float]) -> torch.Tensor:
    """Noise [1, D] of a picture that has these conditions."""
    image = from_uint8(picture[None]).to(tool.device)
    return model.infer(image, torch.tensor([conditions], device=tool.device)).noise.cpu()
