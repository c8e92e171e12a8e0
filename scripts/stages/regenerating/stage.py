"""The body of stage 08: pictures of people with chosen properties, their table and their grid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scripts.pipeline import Input, Tool, files, locks, tables
from scripts.stages import networks, scores
from scripts.stages.image_files import ImageFileError, read_notes
from scripts.stages.pictures import short_name
from scripts.stages.regenerating import photographs
from scripts.stages.regenerating.regenerator import (
    FoundPerson,
    GivenPerson,
    Person,
    Regenerator,
    Request,
    check_files,
    exact,
)
from scripts.stages.regenerating.requests import chosen_properties, chosen_steps, parse_seeds
from scripts.stages.sheets import contact_sheet, labelled_grid
from scripts.stages.workspace import GENERATORS, REGENERATED, REGENERATED_TABLE, STATISTICS_INPUT
from segmentation.property_table import PROPERTY_NAMES

LONGEST_STEM_BYTES = 60  # of a photograph's name in those of its pictures
TABLE = Path(REGENERATED_TABLE).name
GRID_PICTURES = 240  # in grid.png at the most; all others are files of their own


@dataclass(frozen=True)
class Cell:
    """One picture of the grid: what to make, the swept property as text, and its file name."""

    request: Request
    label: str
    name: str


def regenerate(tool: Tool, options: Any) -> None:
    """Make the pictures while nobody changes what they are made of.

    Args:
        options: of 08_regenerate_images.
    """
    needed = needed_inputs(options)
    folder = tool.workspace / output_folder(options)
    with locks.reading(tool.workspace, [item.made_by for item in needed]):
        check_files(tool, needed)
        files.check_writable(folder)
        files.remove_leftovers((tool.workspace, folder))
        make_pictures(tool, options)


def make_pictures(tool: Tool, options: Any) -> None:
    """Make the pictures, their table and the grid."""
    statistics, folder = scores.load_statistics(tool), output_folder(options)
    earlier = read_earlier(tool.workspace / folder / TABLE)
    if far := far_requests(options, statistics.normalized_percentiles()):
        tool.log(
            f"Faces may break: far beyond the training pictures (1st to 99th percentile in brackets) are "
            f"{'; '.join(far)}."
        )
    regenerator = Regenerator(tool, options.version, options.trunc_psi, options.corrections)
    people = list_people(tool, options, regenerator)
    rows, columns = list_cells(options, people, scores.sweep_levels(statistics)[2])
    cells = [cell for row in rows for cell in row]
    settings = grid_settings(tool, options)
    if are_made(regenerator, tool.workspace / folder, cells, earlier, settings):
        made = f"{len(cells)} pictures of {len(rows)} people"
        tool.finish({"pictures": made.replace(" pictures", "")}, [f"{folder}/grid.png"])
        tool.say(f"{made} with {options.version} are in {tool.workspace / folder} already.")
        return
    judge = networks.load_judge(tool, statistics) if options.measure else None
    read: list[tuple[np.ndarray, np.ndarray]] = []
    shown: list[np.ndarray] = []
    shown_rows = rows[: max(1, GRID_PICTURES // len(columns))]
    shown_count = len(shown_rows) * len(columns)
    for images in generate(tool, regenerator, cells, options.batch_size):
        shown += list(images[: shown_count - len(shown)].copy())
        if judge is not None:
            read.append(judge(images))
    table = picture_table(options, cells, read)
    tool.write(f"{folder}/{TABLE}", with_earlier(table.round(4), earlier, tool.workspace / folder))
    given = people[0]
    readings: list[str] = []
    if judge is not None and isinstance(given, GivenPerson):
        readings = [text for both in (judge(given.picture[None]), *read) for text in spelled_readings(*both)]
    notes = PngInfo()
    notes.add_text("Settings", settings)
    grid = picture_grid(shown_rows, columns, shown, options, readings)
    tool.write(f"{folder}/grid.png", grid, pnginfo=notes)
    made = f"{len(cells)} pictures of {len(rows)} people"
    tool.count("pictures", len(cells))
    tool.finish({"pictures": made.replace(" pictures", "")}, [f"{folder}/grid.png"])
    tool.log(f"{made} with {options.version} in {tool.workspace / folder}")
    if len(shown_rows) < len(rows):
        tool.log(f"  grid.png shows the first {len(shown_rows)} people")
    tool.log(f"  look at: {tool.workspace / folder / 'grid.png'}")
    if options.measure:
        for name in dict.fromkeys(name for name, _ in chosen_steps(options)):
            rows_of = table[table["label"].str.startswith(f"{name} ")]
            r = rows_of[f"{name}_requested"].corr(rows_of[f"{name}_measured"])
            tool.log(f"  {name}: requested against measured r {r:.3f} (n = {len(rows_of)} pictures)")


def grid_settings(tool: Tool, options: Any) -> str:
    """What grid and table depend on beside the pictures, as text."""
    judge = networks.recorded_segmentation(tool).to_json() if options.measure else None
    return json.dumps({"scale": options.scale, "judge": judge})


def are_made(
    regenerator: Regenerator,
    folder: Path,
    cells: Sequence[Cell],
    earlier: pd.DataFrame | None,
    settings: str,
) -> bool:
    """Whether the last call made these very pictures of people by seed, with this grid and this table.

    A picture says itself how it was made. The rows of the last call are the first ones of its table.
    """
    if earlier is None or isinstance(cells[0].request.person, GivenPerson):
        return False
    names = [Path(str(name)).name for name in earlier["file"].head(len(cells))]
    if names != [cell.name for cell in cells] or notes_in(folder / "grid.png").get("Settings") != settings:
        return False
    return all(
        text == notes_in(folder / cell.name).get(keyword)
        for cell in cells
        for keyword, text in regenerator.notes(cell.request).items()
    )


def notes_in(path: Path) -> dict[str, str]:
    """`read_notes`; none of a file that is missing or damaged."""
    try:
        return read_notes(path)
    except ImageFileError:
        return {}


def read_earlier(path: Path) -> pd.DataFrame | None:
    """The table of earlier calls; None if there is none, `UserError` if it is damaged."""
    if not path.exists():
        return None
    return tables.read_csv(path, ("file", "version"), f"Move it away and give the same command again: {path}")


def with_earlier(table: pd.DataFrame, earlier: pd.DataFrame | None, folder: Path) -> pd.DataFrame:
    """The rows of this call, then those of earlier ones whose pictures are still in the folder and theirs."""
    if earlier is None:
        return table
    made = set(table["file"])
    is_there = [name not in made and (folder / Path(str(name)).name).is_file() for name in earlier["file"]]
    whole = pd.concat([table, earlier[is_there]], ignore_index=True)
    return whole.astype({"seed": "Int64"}) if "seed" in whole else whole


def far_requests(options: Any, percentiles: np.ndarray) -> list[str]:
    """What is asked for far from the training pictures: beyond an end of their range by more than half of it.

    Args:
        percentiles: [7, P] of the training pictures, normalised; the first and the last are the ends.
    """
    asked = [*chosen_properties(options).items(), *chosen_steps(options)]
    found = []
    for name, (low, *_, high) in zip(PROPERTY_NAMES, percentiles.tolist(), strict=True):
        far = {value for dial, value in asked if dial == name and abs(value - (low + high) / 2) > high - low}
        if far:
            found.append(
                f"{name} {', '.join(f'{value:g}' for value in sorted(far))} ({low:.2f} to {high:.2f})"
            )
    return found


def list_cells(
    options: Any, people: Sequence[Person], median: np.ndarray
) -> tuple[list[list[Cell]], list[str]]:
    """Rows (people) of pictures to make, and the text above each column."""
    chosen, steps = chosen_properties(options), chosen_steps(options)
    given = "".join(f"_{name}{spelled(value)}" for name, value in chosen.items())
    digits = enough_digits(steps)
    turned = {f"{name} {value:+.{digits}f}": {name: value} for name, value in steps} or {"": {}}

    def cell(person: Person, label: str) -> Cell:
        own = person.own if isinstance(person, GivenPerson) else median.tolist()
        values = dict(zip(PROPERTY_NAMES, own, strict=True)) | chosen | turned[label]
        return Cell(
            Request(person, tuple(values.values())),
            label,
            picture_name(options.version, person, given, label),
        )

    return [[cell(person, label) for label in turned] for person in people], list(turned)


def spelled(value: float) -> str:
    """A dial in a file's name: two decimals, more where two would be another value."""
    text = f"{value:+.2f}"
    return text if float(text) == value else ("" if value < 0 else "+") + exact(value)


def enough_digits(steps: Sequence[tuple[str, float]]) -> int:
    """Decimals, at least two, with which the steps of sweeps have names of their own."""
    wanted = len(set(steps))
    enough = (n for n in range(2, 17) if len({(name, f"{value:+.{n}f}") for name, value in steps}) == wanted)
    return next(enough, 17)


def person_name(person: Person) -> str:
    """Who it is, in file names. Photographs of many cameras are called the same, so a part of the content's
    hash tells them apart; the explorer's copies have it in their own names.
    """
    if not isinstance(person, GivenPerson):
        return f"seed{person:06d}"
    digest = person.sha256[:10]
    stem = re.sub(r"[^\w-]+", "-", person.path.stem.removesuffix(f"_{digest}"))
    return f"photo_{short_name(stem, LONGEST_STEM_BYTES)}_{digest}"


def picture_name(version: str, person: Person, given: str, label: str) -> str:
    """A name that says what the picture shows, so that the same picture always has the same name."""
    swept = f"_{label.replace(' ', '')}" if label else ""
    return short_name(f"{version}_{person_name(person)}{given}{swept}") + ".png"


def generate(
    tool: Tool, regenerator: Regenerator, cells: Sequence[Cell], batch_size: int
) -> Iterator[np.ndarray]:
    """The pictures, batch after batch, uint8 [n, H, W, 3]; each is saved before it is given."""
    folder = output_folder(tool.options)
    with tool.progress(len(cells)) as progress:
        for start in range(0, len(cells), batch_size):
            batch = cells[start : start + batch_size]
            images = regenerator([cell.request for cell in batch]).images
            for cell, image in zip(batch, images, strict=True):
                tool.write(f"{folder}/{cell.name}", image, pnginfo=regenerator.metadata(cell.request))
            yield images
            progress.update(len(batch))


def output_folder(options: Any) -> str:
    """Folder of the pictures, relative to the workspace if it is the usual one."""
    return REGENERATED if options.out is None else options.out.resolve().as_posix()


def needed_inputs(options: Any) -> tuple[Input, ...]:
    """What the pictures are made of."""
    of_photographs = photographs.NEEDED if options.from_image is not None else ()
    return STATISTICS_INPUT, GENERATORS[options.version], *of_photographs


def list_people(tool: Tool, options: Any, regenerator: Regenerator) -> list[Person]:
    """The seeds, the photograph, or the person of a file."""
    if options.person is not None:
        return [regenerator.found(options.person.resolve())]
    if options.from_image is None:
        return list(parse_seeds(options.seeds))
    photograph = photographs.PhotographEncoder(tool, regenerator.model)(options.from_image.resolve())
    tool.log(f"{options.from_image}: {photograph.framing}")
    return [photograph]


def picture_table(options: Any, cells: Sequence[Cell], read: Sequence[tuple[Any, Any]]) -> pd.DataFrame:
    """One row per picture: what was asked for and, if `read` is not empty, what the judge reads of it (values
    and valid [n, 7] of each batch), empty where it reads nothing.
    """
    people = [cell.request.person for cell in cells]
    # Elsewhere than in the workspace, the table stands beside the pictures.
    place = f"{REGENERATED}/" if output_folder(options) == REGENERATED else ""
    table = pd.DataFrame({"file": [place + cell.name for cell in cells], "version": options.version})
    if isinstance(people[0], GivenPerson):
        table["from_image"] = [person.path.name for person in people if isinstance(person, GivenPerson)]
    else:
        table["seed"] = people
    table["label"] = [cell.label for cell in cells]
    asked = np.array([cell.request.properties for cell in cells])
    table[[f"{name}_requested" for name in PROPERTY_NAMES]] = np.nan if options.version == "base" else asked
    if read:
        values, valid = (np.concatenate(part) for part in zip(*read, strict=True))
        table[[f"{name}_measured" for name in PROPERTY_NAMES]] = np.where(valid, values, np.nan)
    return table


def spelled_readings(values: np.ndarray, valid: np.ndarray) -> list[str]:
    """What the judge reads from N pictures, values and valid [N, 7], in words for their titles."""
    texts = []
    for row, good in zip(values, valid, strict=True):
        known = zip(PROPERTY_NAMES, row, good, strict=True)
        parts = [f"{name.replace('_', ' ')} {value:+.2f}" for name, value, is_good in known if is_good]
        texts.append("reads " + ", ".join(parts) if parts else "unreadable")
    return texts


def picture_grid(
    rows: Sequence[Sequence[Cell]],
    columns: list[str],
    images: list[np.ndarray],
    options: Any,
    readings: Sequence[str],
) -> Image.Image:
    """Pictures in one: a row per person, or a sheet.

    Somebody from a file comes before the pictures, each with what was read from it (`readings` of this one
    and of the pictures; may be empty).
    """
    width, people, scale = len(columns), [row[0].request.person for row in rows], options.scale
    if isinstance(people[0], GivenPerson):
        titles = ["before", *(label or options.version for label in columns)]
        if readings:
            titles = [f"{title}: {text}" for title, text in zip(titles, readings, strict=True)]
        kind = "found" if isinstance(people[0], FoundPerson) else "photograph"
        return labelled_grid([[people[0].picture, *images]], [kind], titles, scale)
    names = [f"seed {person}" for person in people]
    if width == 1:
        return contact_sheet(images, min(8, len(images)), names, scale)
    return labelled_grid(
        [images[start : start + width] for start in range(0, len(images), width)], names, columns, scale
    )
