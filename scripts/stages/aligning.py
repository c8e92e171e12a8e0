"""Faces cut out of photographs, turned and scaled to the frame that the base generator is trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from scripts import short_path
from scripts.pipeline import REPOSITORY, Journal, Tool, UserError, files
from scripts.pipeline.options import results_options
from scripts.pipeline.records import differences
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.pictures import find_pictures, read_ahead, short_name, state_of
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import BUNDLED_GENERATOR
from segmentation.face_alignment import Similarity, cut_out, sharpness
from segmentation.face_landmarks import FaceFinder, FoundFace

FACES, TABLE, SHEET = "faces", "aligned.csv", "contact_sheet.png"
RECORD, JOURNAL = "align_photos.json", "journal.csv"
VERSION = 2
BOX = ("x0", "y0", "x1", "y1")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
COLUMNS = (
    *("source", "face", "file", "status", "reason", *BOX, "probability"),
    *(f"{point}_{axis}" for point in POINTS for axis in "xy"),
    *("angle_deg", "eye_distance_px", "padding", "sharpness"),
)
MAX_SIDE_PX = 32_766  # what OpenCV can resample
SHEET_COUNT, SHEET_COLUMNS, SHEET_FACE_PX = 96, 12, 128
LABEL_BYTES = 24  # of a name below its face on the sheet
TRAINING_START = REPOSITORY / BUNDLED_GENERATOR
TRAINING_PLAN = REPOSITORY / "scripts/presets/training/transfer.toml"


def align(tool: Tool, options: Any) -> None:
    """Align what is missing, then write the table and the contact sheet and say what came out."""
    output = options.out.resolve() if options.out else tool.workspace / "aligned"
    photos = list_photos(tool, options.photos.resolve(), output)
    with tool.alone_in(output, "another --out"):
        prepare_output(tool, options, output)
        table, outdated = align_all(tool, options, output, photos)
        for name in outdated:
            files.remove(output / name)
        files.write(output / TABLE, table)
        usable = table[table["status"] == "ok"]
        counts = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
        tool.log(f"{len(usable)} faces of {options.size} px from {len(photos)} photographs ({counts})")
        if usable.empty:
            raise UserError(
                f"No face is usable. The reasons stand in {output / TABLE}; mend them or the limits."
            )
        save_sheet(output, usable["file"].tolist())
    tool.finish(
        {"faces": f"{len(usable)} usable", "photographs": str(len(photos)), "rows by status": counts},
        [str(output / SHEET), str(output / TABLE)],
    )
    tool.log(f"look at {output / SHEET} and {output / TABLE}")
    start, plan, result = map(short_path, (TRAINING_START, TRAINING_PLAN, output.parent / "base_generator"))
    words = ("--folder", short_path(output), "--init", start, "--plan", plan, "--out", result)
    tool.log(f"next: {tool.command('train_stylegan', *words)}")


def list_photos(tool: Tool, folder: Path, output: Path) -> dict[str, Path]:
    """Pictures of a folder and its subfolders, but not those in `output`: `state_of` as JSON -> path."""
    found = find_pictures(folder, output)
    found.tell(tool.log)
    if not found.pictures:
        raise UserError(
            f"{folder} holds no picture, so there is nothing to align. Give --photos another folder."
        )
    return {json.dumps(state_of(name, path)): path for name, path in found.pictures.items()}


def source_of(key: str) -> str:
    """Path of a photograph relative to its folder, from a key of `list_photos`."""
    source: str = json.loads(key)[0]
    return source


def prepare_output(tool: Tool, options: Any, output: Path, inputs: Mapping[str, str] | None = None) -> None:
    """Start over with --force, go on with the same options, refuse others and folders not made here.

    Args:
        inputs: what else the faces depend on.
    """
    record = output / RECORD
    wanted = {"version": VERSION, "options": results_options(options), "inputs": dict(inputs or {})}
    again = tool.command(tool.name, "--photos", str(options.photos), "--out", str(output), "--force")
    if record.exists() and options.force:
        for name in (FACES, TABLE, SHEET, JOURNAL, RECORD):
            files.remove(output / name)
    elif record.exists():
        with tool.foreseen(ValueError, mend=f"Start over:\n    {again}"):
            changed = differences(files.read_json(record), wanted)
        if changed:
            raise UserError(
                f"{output} was made with other options, so its faces would not match the new ones:\n  "
                + "\n  ".join(changed)
                + f"\nGive the same options, another --out, or start over:\n    {again}"
            )
    elif (output / FACES).exists():
        raise UserError(
            f"{output / FACES} exists and was not made by this script, so it is left alone. "
            "Give --out another folder."
        )
    files.write(record, wanted)


def align_all(
    tool: Tool, options: Any, output: Path, photos: Mapping[str, Path], frame: Similarity | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Work on the photographs that the journal does not have yet; the table of all, sorted by source and
    face, and the files of photographs that are gone or were replaced.

    Args:
        frame: from the pixels of the wanted frame to those of the usual one, both with 256 per side.
    """
    finder = FaceFinder(
        tool.device, options.detection_size, options.min_face / 2, options.min_probability, options.rotations
    )
    journal_file = Journal(output / JOURNAL, ("photo", "faces"), "photo", tool.check_stop)
    with journal_file as journal:
        missing = {key: path for key, path in photos.items() if key not in journal}
        with tool.progress(len(photos), "photographs", len(photos) - len(missing)) as progress:
            for key, photo in read_ahead(missing, lambda key: read_photo(missing[key])):
                source = source_of(key)
                try:
                    rows = align_photo(finder, options, output, source, photo.result(), frame)
                except ImageFileError as error:
                    rows = [{"source": source, "status": "unreadable", "reason": str(error)}]
                journal.append({"photo": key, "faces": json.dumps(rows)})
                progress.update()
        stored = {key: json.loads(row["faces"]) for key, row in journal.rows.items()}
    table = pd.DataFrame([row for key in photos for row in stored[key]], columns=list(COLUMNS))
    table["face"] = table["face"].astype("Int64")
    current = set(table["file"].dropna())
    old = {row["file"] for key in stored.keys() - photos for row in stored[key] if "file" in row}
    for row in table.index[table["file"].notna()]:
        name = table.at[row, "file"]
        if not (output / name).exists():  # a person who deletes a face does not want it
            reason = f"{name} was deleted; --force makes it again"
            table.loc[row, ["file", "status", "reason"]] = [None, "removed", reason]
    return table.sort_values(["source", "face"], ignore_index=True), sorted(old - current)


def read_photo(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB, turned as its EXIF orientation says; `ImageFileError` if it cannot be used."""
    photo = read_image(path)
    if max(photo.shape) > MAX_SIDE_PX:
        raise ImageFileError(f"too large: a side has more than {MAX_SIDE_PX:,} pixels")
    return photo


def align_photo(
    finder: FaceFinder,
    options: Any,
    output: Path,
    source: str,
    photo: np.ndarray,
    frame: Similarity | None = None,
) -> list[dict[str, Any]]:
    """Write the usable faces of a photograph; returns its rows of the table, one at least."""
    faces = finder(photo)
    if not faces:
        return [{"source": source, "status": "no_face", "reason": "the detector finds no face"}]
    rows = []
    for number, face in enumerate(faces[:1] if options.largest_only else faces, 1):
        transform = face.transform if frame is None else face.transform.after(frame)
        aligned, padding = cut_out(photo, transform, options.size)
        row: dict[str, Any] = {"source": source, "face": number}
        row |= {side: round(value, 2) for side, value in zip(BOX, face.box, strict=True)}
        row |= {"probability": round(face.probability, 5)}
        for name, point in zip(POINTS, face.landmarks, strict=True):
            row |= {f"{name}_{axis}": round(float(value), 2) for axis, value in zip("xy", point, strict=True)}
        row |= {
            "angle_deg": round(face.transform.angle_deg, 2),
            "eye_distance_px": round(face.eye_distance_px, 2),
            "padding": round(padding, 4),
            "sharpness": round(sharpness(photo, face.transform), 4),
        }
        status, reason = judge(options, row, face)
        if status == "ok":
            photograph = PurePosixPath(source)
            row["file"] = f"{FACES}/{photograph.with_name(short_name(photograph.name))}_{number}.png"
            files.write(output / row["file"], aligned)
        rows.append(row | {"status": status, "reason": reason})
    return rows


def judge(limits: Any, row: Mapping[str, Any], face: FoundFace) -> tuple[str, str]:
    """Status and reason."""
    if row["probability"] < limits.min_probability:
        return "unsure", f"probability {row['probability']:.3f} is below {limits.min_probability:g}"
    if face.side_px < limits.min_face:
        return "too_small", f"its box has {face.side_px:.0f} px, fewer than {limits.min_face:g}"
    if row["sharpness"] < limits.min_sharpness:
        return "too_blurred", f"sharpness {row['sharpness']:.4f} is below {limits.min_sharpness:g}"
    if row["padding"] > limits.max_padding:
        return "outside", f"{row['padding']:.0%} would lie outside, more than {limits.max_padding:.0%}"
    return "ok", ""


def save_sheet(output: Path, names: Sequence[str]) -> None:
    """Contact sheet of evenly chosen aligned faces, read back from their files."""
    chosen = [names[int(i)] for i in np.linspace(0, len(names) - 1, min(SHEET_COUNT, len(names)))]
    cells = []
    for name in chosen:
        face = Image.fromarray(read_image(output / name))
        cells.append(np.asarray(face.resize((SHEET_FACE_PX, SHEET_FACE_PX), Image.Resampling.LANCZOS)))
    labels = [short_name(name.removeprefix(f"{FACES}/").removesuffix(".png"), LABEL_BYTES) for name in chosen]
    files.write(output / SHEET, contact_sheet(cells, min(SHEET_COLUMNS, len(cells)), labels))
