"""Regenerate pictures with a fine-tuned generator: choose people by seed, set their properties, sweep the
dials.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import faces
from scripts.pipeline import MissingInputError, Tool, ToolOptions, UsageError, option, run_tool
from scripts.pipeline.layers import nearest

if TYPE_CHECKING:
    import numpy as np

FOLDER = "stylegan_modified/synthesize_results"
MAKERS = {
    "base": "00_fetch_weights",
    "v1": "05_fine_tune_v1",
    "v2": "06_fine_tune_v2",
    "v3": "07_fine_tune_v3",
}
PROPERTY_HELP = "normalised, 0 = mean of the training pictures; not given: the median"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Regenerate pictures: seeds are people, properties are dials."""

    version: Literal["base", "v1", "v2", "v3"] = option("v3", help="generator; base ignores the properties")
    seeds: str = option("0-15", help="people: numbers and ranges, such as 0-15 or 3,7,20-24")
    eyes: float | None = option(None, help=PROPERTY_HELP)
    hair_color: float | None = option(None, help=PROPERTY_HELP)
    hair_length: float | None = option(None, help=PROPERTY_HELP)
    mouth: float | None = option(None, help=PROPERTY_HELP)
    pose: float | None = option(None, help=PROPERTY_HELP)
    background_mean: float | None = option(None, help=PROPERTY_HELP)
    background_std: float | None = option(None, help=PROPERTY_HELP)
    sweep: tuple[str, ...] = option(
        (), help="dials to turn, each property=start:stop:count, such as mouth=-2:2:7"
    )
    show: tuple[str, ...] = option((), help="sweeps to show when neither a property nor --sweep is given")
    trunc_psi: float = option(1.0, help="truncation of w: 1 none, 0 the average person")
    corrections: int = option(1, help="closed-loop corrections of v2 and v3 (0: none)")
    measure: bool = option(True, help="read the pictures with the face parser and write what it measures")
    batch_size: int = option(32, help="pictures per forward pass; does not change a picture")
    scale: int = option(2, help="enlargement of the pictures in grid.png")


@dataclass(frozen=True)
class Request:
    """One picture to make: a person, the properties asked for, the swept one as text, and the given ones as
    text.
    """

    seed: int
    properties: tuple[float, ...]
    label: str
    given: str


def parse_seeds(text: str) -> list[int]:
    """'0-3,7' -> [0, 1, 2, 3, 7]; a malformed text is a `UsageError`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UsageError(
                f"--seeds {text!r} has a part {part!r} that is no number or range. Write 0-15 or 3,7,20-24."
            )
        seeds += range(int(first), int(last or first) + 1)
    if not seeds:
        raise UsageError(f"--seeds {text!r} names nobody. Write 0-15 or 3,7,20-24.")
    return seeds


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


def chosen_properties(options: Options) -> dict[str, float]:
    """The properties given by name."""
    from segmentation.property_table import PROPERTY_NAMES

    return {name: value for name in PROPERTY_NAMES if (value := getattr(options, name)) is not None}


def chosen_sweeps(options: Options) -> tuple[str, ...]:
    """The sweeps asked for, or those that the preset shows when nothing is asked for."""
    return options.sweep or (() if chosen_properties(options) else options.show)


def list_requests(options: Options, median: np.ndarray) -> tuple[list[list[Request]], list[str]]:
    """Rows (people) of requests, and the text above each column."""
    from segmentation.property_table import PROPERTY_NAMES

    chosen, sweeps = chosen_properties(options), chosen_sweeps(options)
    base = {name: float(middle) for name, middle in zip(PROPERTY_NAMES, median, strict=True)} | chosen
    given = "".join(f"_{name}{value:+.2f}" for name, value in chosen.items())
    settings = [("", base)]
    if sweeps:
        settings = [
            (f"{name} {value:+.2f}", {**base, name: value})
            for name, values in map(parse_sweep, sweeps)
            for value in values
        ]
    rows = [
        [
            Request(seed, tuple(values[name] for name in PROPERTY_NAMES), label, given)
            for label, values in settings
        ]
        for seed in parse_seeds(options.seeds)
    ]
    return rows, [label for label, _ in settings]


def generate(tool: Tool, options: Options, requests: list[Request]) -> np.ndarray:
    """Pictures of the requests, uint8 [N, H, W, 3]."""
    import numpy as np
    import torch

    from stylegan.sampling import sample_z, to_uint8

    model = faces.load_generator(tool, options.version)
    extra: dict[str, Any] = {"trunc_psi": options.trunc_psi}
    if options.version in ("v2", "v3"):
        extra["corrections"] = options.corrections
    pictures = []
    with torch.no_grad(), tool.progress(len(requests)) as progress:
        for start in range(0, len(requests), options.batch_size):
            batch = requests[start : start + options.batch_size]
            z = sample_z([request.seed for request in batch], 0, model.z_space_dim).to(tool.device)
            wanted = torch.tensor([request.properties for request in batch]).to(tool.device)
            pictures.append(to_uint8(model(z, wanted, **extra)["image"]))
            progress.update(len(batch))
    return np.concatenate(pictures)


def picture_name(version: str, request: Request) -> str:
    """A name that says what the picture shows, so that the same picture always has the same name."""
    swept = f"_{request.label.replace(' ', '')}" if request.label else ""
    return f"{version}_seed{request.seed:06d}{request.given}{swept}.png"


def run(tool: Tool, options: Options) -> None:
    import pandas as pd

    from scripts.pipeline.pictures import contact_sheet, labelled_grid
    from segmentation.property_table import PROPERTY_NAMES

    needed = {faces.STATISTICS: "04_compute_property_scores"}
    needed[faces.GENERATOR_FILES.get(options.version, faces.BASE)] = MAKERS[options.version]
    for relative, maker in needed.items():
        if not (tool.workspace / relative).exists():
            raise MissingInputError(
                f"it needs {relative}, which is not in {tool.workspace}. {maker} makes it:\n"
                f"    {tool.command(maker)}"
            )
    statistics = faces.load_statistics(tool)
    rows, columns = list_requests(options, sweep_median(statistics))
    requests = [request for row in rows for request in row]
    images = generate(tool, options, requests)
    table = pd.DataFrame(
        {
            "file": [f"{FOLDER}/{picture_name(options.version, request)}" for request in requests],
            "version": options.version,
            "seed": [request.seed for request in requests],
            "label": [request.label for request in requests],
        }
    )
    for index, name in enumerate(PROPERTY_NAMES):
        table[f"{name}_requested"] = [request.properties[index] for request in requests]
    if options.measure:
        values, valid = faces.PropertyJudge(tool, statistics)(images)
        for index, name in enumerate(PROPERTY_NAMES):
            table[f"{name}_measured"] = pd.Series(values[:, index]).where(valid[:, index])
    for relative, image in zip(table["file"], images, strict=True):
        tool.save_image(relative, image)
    tool.write_csv(f"{FOLDER}/images.csv", table.round(4))
    names = [f"seed {row[0].seed}" for row in rows]
    width = len(columns)
    if len(columns) > 1:
        grid = labelled_grid(
            [list(images[i * width : (i + 1) * width]) for i in range(len(rows))],
            names,
            columns,
            options.scale,
        )
    else:
        grid = contact_sheet(images, min(8, len(images)), names, options.scale)
    tool.save_image(f"{FOLDER}/grid.png", grid)
    tool.log(
        f"{len(images)} pictures of {len(rows)} people with {options.version} in {tool.workspace / FOLDER}"
    )
    tool.log(f"  look at: {tool.workspace / FOLDER / 'grid.png'}")
    if options.measure:
        for name in {parse_sweep(text)[0] for text in chosen_sweeps(options)}:
            rows_of = table[table["label"].str.startswith(f"{name} ")]
            r = rows_of[f"{name}_requested"].corr(rows_of[f"{name}_measured"])
            tool.log(f"  {name}: requested against measured r {r:.3f} (n = {len(rows_of)} pictures)")


def sweep_median(statistics: Any) -> np.ndarray:
    """Median of the training scores, float64 [7], normalised."""
    return faces.sweep_levels(statistics)[2]


if __name__ == "__main__":
    run_tool(Options, run)
