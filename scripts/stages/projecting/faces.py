"""The faces to project: cut out into the frame of the generator, with what speaks against each."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from scripts.align_photos import Options as AlignOptions
from scripts.pipeline import Tool, UserError, files
from scripts.pipeline.tables import read_csv
from scripts.stages.aligning import (
    COLUMNS,
    FACES,
    TABLE,
    align_all,
    list_photos,
    prepare_output,
    read_photo,
    source_of,
)
from scripts.stages.image_files import ImageFileError
from scripts.stages.pictures import short_name
from scripts.stages.scores import read_picture
from scripts.stages.workspace import FACES as DRAWN_FACES
from segmentation.face_alignment import FRAME_PX, Similarity
from segmentation.face_landmarks import FaceFinder

SMALLEST_FACE_PX = 20.0
FRAMED_COUNT, SMALLEST_FACE = 24, 0.2  # pictures of the generator that tell its frame; share of their side
# Beyond these a face is taken, and flagged: what is found of it is less than what it could be.
SMALL_PX, BLURRED, OUTSIDE, TURNED_EYES_PX, TILTED_DEG, GREY_LEVELS = 64.0, 0.02, 0.3, 0.35, 45.0, 3.0
BETWEEN = ", "  # of two flags


def face_limits(tool: Tool, options: Any, folder: Path, output: Path, size_px: int) -> AlignOptions:
    """How `align_photos.py` is asked: for every face that it can find at all."""
    shared = {name: getattr(options, name) for name in ("preset", "workspace", "device", "threads", "quiet")}
    return AlignOptions(
        **shared,
        photos=folder,
        out=output,
        size=size_px,
        min_face=SMALLEST_FACE_PX,
        min_sharpness=0.0,
        max_padding=1.0,
        force=getattr(options, "force", False),
    )


def align_faces(
    tool: Tool, options: Any, output: Path, size_px: int, frame: Similarity | None
) -> pd.DataFrame:
    """The usable faces, with a column `flags`: see `align_photos.py` for the others.

    Args:
        options: of project_photos.
        output: folder for the faces and their table.
        size_px: pixels per side.
        frame: see `generators_frame`.

    Raises:
        UserError: no face is found in any photograph; the reasons stand in the table.
    """
    aligned = output / "aligned"
    given = options.photos.resolve()
    folder = given if given.is_dir() else given.parent
    limits = face_limits(tool, options, folder, aligned, size_px)
    photos = list_photos(tool, folder, output)
    if given != folder:
        photos = {key: path for key, path in photos.items() if path.resolve() == given}
        if not photos:
            raise UserError(f"{options.photos} is no picture. Give a photograph, or a folder of them.")
    spelled = "" if frame is None else f"{frame.factor:.4f} {frame.offset:.2f}"
    depends_on = {"frame of the generator": "taken as they are" if options.aligned else spelled}
    prepare_output(tool, limits, aligned, depends_on)
    if options.aligned:
        table = take_aligned(aligned, photos, size_px)
    else:
        table, _ = align_all(tool, limits, aligned, photos, frame)
    files.write(aligned / TABLE, table)
    for _, row in table[table["status"] != "ok"].iterrows():
        tool.log(f"{row['source']}: left out, {row['reason']}")
    usable = table[table["status"] == "ok"].copy()
    if options.face:
        chosen = usable["face"] == options.face
        for source in usable["source"].unique():
            if not (chosen & (usable["source"] == source)).any():
                count = (usable["source"] == source).sum()
                tool.log(f"{source}: left out, it has no face number {options.face}, only {count}")
        usable = usable[chosen]
    if usable.empty:
        raise UserError(
            f"No face can be used, so nobody can be found. The reasons stand in {aligned / TABLE}; give "
            "photographs that show a face from the front."
        )
    colours = [colour_flags(read_photo(aligned / name)) for name in usable["file"]]
    found = [[] if options.aligned else flags(row) for _, row in usable.iterrows()]
    usable["flags"] = [BETWEEN.join([*a, *b]) for a, b in zip(found, colours, strict=True)]
    return usable.reset_index(drop=True)


def take_aligned(output: Path, photos: dict[str, Path], size_px: int) -> pd.DataFrame:
    """Pictures that are in the generator's frame already, brought to its size; a table as of `align_all`."""
    rows: list[dict[str, Any]] = []
    for key, path in photos.items():
        source = source_of(key)
        row = {"source": source, "face": 1, "status": "unreadable"}
        try:
            photo = read_photo(path)
        except ImageFileError as error:
            rows.append(row | {"reason": str(error)})
            continue
        height, width = photo.shape[:2]
        if height != width:
            reason = f"{width} x {height} px are no square, and --aligned takes pictures as they are"
            rows.append(row | {"status": "outside", "reason": reason})
            continue
        place = PurePosixPath(source)
        name = f"{FACES}/{place.with_name(short_name(place.name))}_1.png"
        picture = Image.fromarray(photo)
        if height != size_px:
            picture = picture.resize((size_px, size_px), Image.Resampling.LANCZOS)
        if not (output / name).exists():
            files.write(output / name, np.asarray(picture))
        rows.append(row | {"file": name, "status": "ok", "reason": ""})
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values("source", ignore_index=True)


def generators_frame(tool: Tool) -> Similarity | None:
    """From the frame of the generator's pictures to that of `align_photos.py`, both with 256 px per side;
    None where the workspace has no faces to tell it by.

    A generator draws faces where those of its training were, at their size. Any other frame asks it for heads
    that it cannot draw.
    """
    if not (tool.workspace / DRAWN_FACES).exists():
        tool.log("no faces of the generator are known here; photographs are framed as align_photos.py does")
        return None
    again = tool.command("03_segment_faces", "--force")
    table = read_csv(tool.workspace / DRAWN_FACES, ("img_path", "status"), again)
    names = table.loc[table["status"] == "ok", "img_path"].head(FRAMED_COUNT)
    pictures = [read_picture(tool, name) for name in names]
    if not pictures:
        return None
    side = len(pictures[0])
    finder = FaceFinder(tool.device, min_face_px=SMALLEST_FACE * side, rotations="never")
    faces = [face.transform for picture in pictures for face in finder(picture)[:1]]
    if not faces:
        return None
    values = np.array([(face.factor, face.offset) for face in faces]) * (FRAME_PX / side)
    factor, offset = np.median(values.real, axis=0) + 1j * np.median(values.imag, axis=0)
    return Similarity(complex(factor), complex(offset)).inverse()


def flags(row: Any) -> list[str]:
    """What speaks against a face, in words; a row of the table of `align_photos.py`."""
    width = row["x1"] - row["x0"]
    found = {
        "small": width < SMALL_PX,
        "blurred": row["sharpness"] < BLURRED,
        "cut off": row["padding"] > OUTSIDE,
        "turned away": row["eye_distance_px"] < TURNED_EYES_PX * width,
        "tilted": abs(row["angle_deg"]) > TILTED_DEG,
    }
    return [name for name, applies in found.items() if applies]


def colour_flags(face: np.ndarray) -> list[str]:
    """The same of the colours of an aligned face uint8 [S, S, 3]: a grey one shows no tint to go by."""
    spread = face.max(axis=2).astype(np.int64) - face.min(axis=2)
    return ["grey"] if spread.mean() < GREY_LEVELS else []
