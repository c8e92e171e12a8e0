"""The body of project_photos: faces are sought batch by batch, each is written as soon as it is found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL.PngImagePlugin import PngInfo

from scripts.pipeline import Journal, Tool, files
from scripts.stages.image_files import read_image
from scripts.stages.projecting.faces import BETWEEN, align_faces, generators_frame
from scripts.stages.projecting.measuring import (
    UNLIKE,
    PropertyReader,
    compare_people,
    load_identity_reader,
    mean_error,
    person_of,
    quality,
)
from scripts.stages.projecting.projector import Projector
from scripts.stages.projecting.restoring import load_restorer, restore_all
from scripts.stages.projecting.sheets import save_sheet
from segmentation.face_alignment import Similarity
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import from_uint8, to_uint8
from stylegan_modified.person_files import save_person
from stylegan_modified.projection import ProjectionRecipe

TABLE, SHEET, JOURNAL = "projections.csv", "projections.png", "journal.csv"
READINGS = tuple(f"{name}_{what}" for name in PROPERTY_NAMES for what in ("photo", "projection"))
SIMILARITIES = ("similarity", "similarity_other", "distance")
COLUMNS = (
    *("source", "face", "aligned", "person", "picture", "quality", "flags", "pixel_error", "small_error"),
    *(*SIMILARITIES, "seconds", *READINGS, "restored", "restored_error"),
)


class Seeker:
    """The search and the readings that project_photos makes of each face."""

    def __init__(self, tool: Tool, options: Any) -> None:
        self.tool, self.options = tool, options
        recipe = ProjectionRecipe(options.w_steps, options.wp_steps)
        self.projector = Projector(tool, options.version, recipe, options.tune, options.low_resolution)
        self.properties = PropertyReader(tool) if options.measure else None

    def find_batch(self, output: Path, faces: pd.DataFrame) -> list[dict[str, Any]]:
        """Find some people; their files are written, their rows of the table returned."""
        started = time.monotonic()
        photos = np.stack([read_image(output / "aligned" / name) for name in faces["file"]])
        for found in self.projector.seek(photos):  # noqa: B007  (the last one counts)
            self.tool.check_stop()
        rows = []
        for number, (photo, (_, face)) in enumerate(zip(photos, faces.iterrows(), strict=True)):
            source = {"source": face["source"], "face": int(face["face"])}
            notes = self.projector.notes(**source)
            person = found.person(number, notes)
            stem = PurePosixPath(face["file"]).relative_to("faces").with_suffix("").as_posix()
            row: dict[str, Any] = {**source, "aligned": f"aligned/{face['file']}"}
            row |= {"person": f"people/{stem}.safetensors", "picture": f"pictures/{stem}.png"}
            with files.atomic_path(output / row["person"]) as temporary:
                save_person(temporary, person)
            drawn = self.projector.draw(person)
            files.write(output / row["picture"], drawn, pnginfo=picture_notes(notes))
            rows.append(row | self._measures(photo, drawn))
        seconds = round((time.monotonic() - started) / len(rows), 2)
        return [{**row, "seconds": seconds} for row in rows]

    def _measures(self, photo: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
        """How near a picture comes to the aligned photograph, both uint8; errors of 255 grey levels."""
        row: dict[str, float] = {"pixel_error": mean_error(photo, drawn)}
        against: list[str] = []
        if (shrink := self.projector.shrink) is not None:
            row["small_error"] = mean_error(*to_uint8(shrink(from_uint8(np.stack([photo, drawn])))))
        if self.properties is not None:
            read, against = self.properties(photo, drawn)
            row |= read
        known = {name: round(value, 4) for name, value in row.items() if np.isfinite(value)}
        return {**known, "against": against}


def project_photos(tool: Tool, options: Any, output: Path) -> pd.DataFrame:
    """Find everybody who is missing, then write the table and the sheet and say what came out.

    Returns:
        the table, one row per face.
    """
    if options.force:
        for name in (TABLE, SHEET, JOURNAL, "people", "pictures", "restored"):
            files.remove(output / name)
    restorer = load_restorer(tool, options.restorer) if options.restorer is not None else None
    seeker = Seeker(tool, options)
    frame = generators_frame(tool)
    faces = align_faces(tool, options, output, seeker.projector.size_px, frame)
    steps = (options.w_steps, options.wp_steps, options.tune)
    made_of = (options.version, seeker.projector.weights_sha256, *steps, options.low_resolution)
    shown = [files.sha256_file(output / "aligned" / name) for name in faces["file"]]
    whose = zip(faces["source"], faces["face"].astype(int), shown, strict=True)
    keys = [json.dumps([*who, *made_of]) for who in whose]
    with Journal(output / JOURNAL, ("key", "row"), "key", tool.check_stop) as journal:
        missing = [number for number, key in enumerate(keys) if key not in journal]
        with tool.progress(len(keys), "faces", len(keys) - len(missing)) as progress:
            for start in range(0, len(missing), options.batch_size):
                batch = missing[start : start + options.batch_size]
                for number, row in zip(batch, seeker.find_batch(output, faces.iloc[batch]), strict=True):
                    journal.append({"key": keys[number], "row": json.dumps(row)})
                    progress.update()
        rows = [json.loads(journal.rows[key]["row"]) for key in keys]
    table = finished_table(faces, rows)
    numbers = compare_with_photos(tool, options, seeker.projector, table, output, frame)
    if restorer is not None:
        restore_all(tool, restorer, table, output, frame)
    files.write(output / TABLE, table)
    save_sheet(output / SHEET, output, table)
    tool.count("faces", len(missing), len(keys) - len(missing))
    say(tool, options, table, numbers, output)
    return table


def finished_table(faces: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per face; what speaks against it is what was seen of the photograph and in it."""
    table = pd.DataFrame(rows, columns=[*COLUMNS, "against"])
    both = zip(faces["flags"], table.pop("against"), strict=True)
    table["flags"] = [BETWEEN.join([*filter(None, [seen]), *against]) for seen, against in both]
    return table


def compare_with_photos(
    tool: Tool,
    options: Any,
    projector: Projector,
    table: pd.DataFrame,
    output: Path,
    frame: Similarity | None,
) -> dict[str, str]:
    """Fill in who is shown, and the word for each; returns the figures of the whole set."""
    numbers = {}
    reader = load_identity_reader(tool, options.judge, frame) if options.measure else None
    if reader is not None:
        photos, drawn = (
            [read_image(output / name) for name in table[kind]] for kind in ("aligned", "picture")
        )
        people = [person_of(row, options.people_by_name) for _, row in table.iterrows()]
        limit = reader.stranger_distance(projector)
        compared, auc = compare_people(reader, photos, drawn, people, limit)
        table[list(SIMILARITIES)] = compared[list(SIMILARITIES)]
        unlike = ~compared["alike"]
        table["flags"] = [
            BETWEEN.join(filter(None, [flags, UNLIKE])) if other else flags
            for flags, other in zip(table["flags"], unlike, strict=True)
        ]
        numbers["likenesses"] = f"{(~unlike).sum()} of {len(table)}"
        if auc is not None:
            numbers["identity AUC"] = f"{auc:.4f}"
    table["quality"] = [quality(flags) for flags in table["flags"]]
    return numbers


def picture_notes(notes: Mapping[str, Any]) -> PngInfo:
    """Texts inside a PNG: whose picture it is, and what of it was invented."""
    info = PngInfo()
    for name, value in notes.items():
        info.add_text(name, str(value))
    return info


def say(tool: Tool, options: Any, table: pd.DataFrame, found: Mapping[str, str], output: Path) -> None:
    """What came out, and how to turn somebody's dials."""
    numbers = {"faces": f"{len(table)}", "time": f"{table['seconds'].mean():.1f} s a face"}
    means = {"pixel_error": "of 255", "small_error": "of 255, shrunk", "restored_error": "of 255, shrunk"}
    for column, unit in {**means, "similarity": ""}.items():
        if table[column].notna().any():
            numbers[column.replace("_", " ")] = f"{table[column].mean():.3g} {unit}".strip()
    numbers |= found
    tool.finish(numbers, [str(output / SHEET), str(output / TABLE)])
    for _, row in table[table["flags"] != ""].iterrows():
        tool.log(f"{row['source']}, face {row['face']}: {row['quality']} ({row['flags']})")
    tool.log(", ".join(f"{name} {value}" for name, value in numbers.items()))
    tool.log(f"look at {output / SHEET} and {output / TABLE}")
    first = output / table["person"].iloc[0]
    words = ("--version", options.version, "--person", str(first), "--sweep", "mouth=-1:1:5")
    tool.log(f"next: {tool.command('08_regenerate_images', *words)}")
