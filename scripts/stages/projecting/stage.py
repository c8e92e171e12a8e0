"""The body of project_photos: faces are sought batch by batch, each is written as soon as it is found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from cnn.oracle import Oracle, read_pictures
from scripts.pipeline import Journal, Tool, UserError, files
from scripts.stages import networks
from scripts.stages.image_files import read_image
from scripts.stages.projecting.faces import align_faces
from scripts.stages.scores import load_statistics
from scripts.stages.sheets import labelled_grid
from scripts.stages.workspace import FINE_TUNED
from segmentation.property_judge import PropertyJudge
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import from_uint8, sample_z, to_uint8
from stylegan.seeds import CANDIDATES
from stylegan_modified.editing import posterior_mean
from stylegan_modified.perceptual import ConvolutionFeatures, PictureDistance
from stylegan_modified.person_files import ProjectedPerson, own_model, save_person
from stylegan_modified.pivotal_tuning import Change, tune
from stylegan_modified.projection import (
    SPREAD_PEOPLE,
    LatentSpread,
    ProjectionRecipe,
    project,
    shrinking,
)
from stylegan_modified.stylegan_generator_v2 import DialGenerator

TABLE, SHEET, JOURNAL = "projections.csv", "projections.png", "journal.csv"
INVENTED = "invented detail: drawn from a photograph of {} px"
SHEET_ROWS = 48
READINGS = tuple(f"{name}_{what}" for name in PROPERTY_NAMES for what in ("photo", "projection"))
COLUMNS = (
    *("source", "face", "aligned", "person", "picture", "flags", "pixel_error", "small_error", "similarity"),
    *("seconds", *READINGS),
)


class Projector:
    """The networks that seek, and those that judge what was found.

    Raises:
        UserError: a network is missing or damaged.
    """

    def __init__(self, tool: Tool, options: Any) -> None:
        self.tool, self.options = tool, options
        model = networks.load_generator(tool, options.version)
        if not isinstance(model, DialGenerator):
            raise UserError(
                f"{FINE_TUNED[options.version]} has no dials that move a given person: it hears properties "
                "through z alone. Give a generator of this program."
            )
        self.model = model.requires_grad_(False)
        identity = networks.load_identity(tool)
        features = [] if identity is None else [ConvolutionFeatures(identity)]
        self.distance = PictureDistance(features, identity)
        z = sample_z(range(SPREAD_PEOPLE), CANDIDATES.start, model.z_space_dim).to(tool.device)
        with torch.no_grad():
            self.spread = LatentSpread(model.latent(z))
        self.encoder = networks.load_encoder(tool) if options.version == "v3" else None
        self.recipe = ProjectionRecipe(options.w_steps, options.wp_steps)
        self.small_px = options.low_resolution
        self.shrink = shrinking(self.small_px) if self.small_px else None
        self.judge: PropertyJudge | None = None
        self.oracle: Oracle | None = None
        if options.measure:
            self.judge = networks.load_judge(tool, load_statistics(tool))
            self.oracle = networks.load_judging_oracle(tool)
        self.size_px = model.generator.resolution
        self.weights_sha256 = files.sha256_file(tool.workspace / FINE_TUNED[options.version])

    def find(self, pictures: np.ndarray) -> tuple[Tensor, list[Change]]:
        """Latents [N, layers, w_dim] and changes of the generator for aligned faces uint8 [N, S, S, 3]."""
        targets = from_uint8(pictures).to(self.tool.device)
        if self.shrink is not None:
            targets = self.shrink(targets)
        start = None
        if self.encoder is not None and not self.small_px:
            with torch.no_grad():
                start = self.model.latent(posterior_mean(*self.encoder, targets).z)
        generator = self.model.generator
        sought = project(generator, self.spread, self.distance, targets, self.recipe, start, self.shrink)
        wp = torch.empty(0)
        for step in sought:
            self.tool.check_stop()
            wp = step.wp
        return wp, [self._bend(wp[n : n + 1], targets[n : n + 1]) for n in range(len(wp))]

    def _bend(self, wp: Tensor, target: Tensor) -> Change:
        found: Change = {}
        synthesis = self.model.generator.synthesis
        for change, _ in tune(synthesis, wp, target, self.distance, self.options.tune, shrink=self.shrink):
            self.tool.check_stop()
            found = change
        return found

    @torch.no_grad()
    def draw(self, person: ProjectedPerson) -> np.ndarray:
        """Picture uint8 [H, W, 3] of a person."""
        synthesis = own_model(self.model, person).generator.synthesis
        return to_uint8(synthesis(person.wp[None]))[0]

    def measures(self, photo: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
        """How near a picture comes to the aligned photograph, both uint8; errors of 255 grey levels."""
        row: dict[str, Any] = {"pixel_error": mean_error(photo, drawn)}
        if self.shrink is not None:
            row["small_error"] = mean_error(*to_uint8(self.shrink(from_uint8(np.stack([photo, drawn])))))
        if self.judge is not None:
            values, valid = self.judge(np.stack([photo, drawn]))
            for name, read in zip(PROPERTY_NAMES, np.where(valid, values, np.nan).T, strict=True):
                row |= {f"{name}_photo": read[0], f"{name}_projection": read[1]}
        if self.oracle is not None:
            first, second = read_pictures(self.oracle, np.stack([photo, drawn]))["identity"]
            row["similarity"] = float(first @ second)
        return {name: round(float(value), 4) for name, value in row.items() if np.isfinite(value)}


def mean_error(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two pictures uint8 of one size, grey levels of 255."""
    return float(np.abs(first.astype(np.float64) - second).mean())


def project_photos(tool: Tool, options: Any, output: Path) -> None:
    """Find everybody who is missing, then write the table and the sheet and say what came out."""
    if options.force:
        for name in (TABLE, SHEET, JOURNAL, "people", "pictures"):
            files.remove(output / name)
    projector = Projector(tool, options)
    faces = align_faces(tool, options, output, projector.size_px)
    steps = (options.w_steps, options.wp_steps, options.tune)
    made_of = (options.version, projector.weights_sha256, *steps, options.low_resolution)
    keys = [json.dumps([row["source"], int(row["face"]), *made_of]) for _, row in faces.iterrows()]
    with Journal(output / JOURNAL, ("key", "row"), "key", tool.check_stop) as journal:
        missing = [number for number, key in enumerate(keys) if key not in journal]
        with tool.progress(len(keys), "faces", len(keys) - len(missing)) as progress:
            for start in range(0, len(missing), options.batch_size):
                batch = missing[start : start + options.batch_size]
                for number, row in zip(batch, find_batch(projector, output, faces.iloc[batch]), strict=True):
                    journal.append({"key": keys[number], "row": json.dumps(row)})
                    progress.update()
        rows = [json.loads(journal.rows[key]["row"]) for key in keys]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    files.write(output / TABLE, table)
    save_sheet(output, table.head(SHEET_ROWS))
    tool.count("faces", len(missing), len(keys) - len(missing))
    say(tool, options.version, table, output)


def find_batch(projector: Projector, output: Path, faces: pd.DataFrame) -> list[Mapping[str, Any]]:
    """Find some people; their files are written, their rows returned."""
    started = time.monotonic()
    options = projector.options
    photos = np.stack([read_image(output / "aligned" / name) for name in faces["file"]])
    latents, changes = projector.find(photos)
    rows = []
    for photo, wp, change, (_, face) in zip(photos, latents, changes, faces.iterrows(), strict=True):
        notes = {"source": face["source"], "face": int(face["face"]), "version": options.version}
        notes["weights"] = projector.weights_sha256
        if projector.small_px:
            notes["note"] = INVENTED.format(projector.small_px)
        person = ProjectedPerson(wp, change, notes)
        stem = PurePosixPath(face["file"]).relative_to("faces").with_suffix("").as_posix()
        row = {"source": face["source"], "face": int(face["face"]), "aligned": f"aligned/{face['file']}"}
        row |= {"person": f"people/{stem}.safetensors", "picture": f"pictures/{stem}.png"}
        with files.atomic_path(output / row["person"]) as temporary:
            save_person(temporary, person)
        drawn = projector.draw(person)
        files.write(output / row["picture"], drawn, pnginfo=picture_notes(notes))
        rows.append(row | {"flags": face["flags"], **projector.measures(photo, drawn)})
    seconds = round((time.monotonic() - started) / len(rows), 2)
    return [{**row, "seconds": seconds} for row in rows]


def picture_notes(notes: Mapping[str, Any]) -> PngInfo:
    """Texts inside a PNG: whose picture it is, and what of it was invented."""
    info = PngInfo()
    for name, value in notes.items():
        info.add_text(name, str(value))
    return info


def save_sheet(output: Path, table: pd.DataFrame) -> None:
    """Each photograph beside what was found of it."""
    cells: list[np.ndarray] = []
    for _, row in table.iterrows():
        cells += [read_image(output / row[name]) for name in ("aligned", "picture")]
    names = [PurePosixPath(name).stem for name in table["source"]]
    grid = labelled_grid(
        [cells[start : start + 2] for start in range(0, len(cells), 2)], names, ["photograph", "found"]
    )
    files.write(output / SHEET, grid)


def say(tool: Tool, version: str, table: pd.DataFrame, output: Path) -> None:
    """What came out, and how to turn somebody's dials."""
    numbers = {"faces": f"{len(table)}", "time": f"{table['seconds'].mean():.1f} s a face"}
    for column, unit in (("pixel_error", "of 255"), ("small_error", "of 255, shrunk"), ("similarity", "")):
        if table[column].notna().any():
            numbers[column.replace("_", " ")] = f"{table[column].mean():.3g} {unit}".strip()
    tool.finish(numbers, [str(output / SHEET), str(output / TABLE)])
    flagged = table[table["flags"].fillna("") != ""]
    for _, row in flagged.iterrows():
        tool.log(f"{row['source']}, face {row['face']}: {row['flags']}")
    tool.log(", ".join(f"{name} {value}" for name, value in numbers.items()))
    tool.log(f"look at {output / SHEET} and {output / TABLE}")
    first = output / table["person"].iloc[0]
    words = ("--version", version, "--person", str(first), "--sweep", "mouth=-1:1:5")
    tool.log(f"next: {tool.command('08_regenerate_images', *words)}")
