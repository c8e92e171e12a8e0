"""The faces to project: cut out into the frame of the generator, with what speaks against each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.align_photos import Options as AlignOptions
from scripts.pipeline import Tool, UserError, files
from scripts.pipeline.tables import read_csv
from scripts.stages.aligning import TABLE, align_all, list_photos, prepare_output
from scripts.stages.scores import read_picture
from scripts.stages.workspace import FACES
from segmentation.face_alignment import FRAME_PX, Similarity
from segmentation.face_landmarks import FaceFinder

SMALLEST_FACE_PX = 20.0
FRAMED_COUNT, SMALLEST_FACE = 24, 0.2  # pictures of the generator that tell its frame; share of their side
# Beyond these a face is taken, and flagged: what is found of it is less than what it could be.
SMALL_PX, BLURRED, OUTSIDE, TURNED_EYES_PX = 64.0, 0.02, 0.3, 0.3


def align_faces(tool: Tool, options: Any, output: Path, size_px: int) -> pd.DataFrame:
    """The usable faces, with a column `flags`: see `align_photos.py` for the others.

    Args:
        options: of project_photos.
        output: folder for the faces and their table.
        size_px: pixels per side.

    Raises:
        UserError: no face is found in any photograph; the reasons stand in the table.
    """
    aligned = output / "aligned"
    given = options.photos.resolve()
    folder = given if given.is_dir() else given.parent
    chosen = AlignOptions(
        **{name: getattr(options, name) for name in ("preset", "workspace", "device", "threads", "quiet")},
        photos=folder,
        out=aligned,
        size=size_px,
        largest_only=options.largest_only,
        min_face=SMALLEST_FACE_PX,
        min_sharpness=0.0,
        max_padding=1.0,
        force=options.force,
    )
    photos = list_photos(tool, folder, output)
    if given != folder:
        photos = {key: path for key, path in photos.items() if path.resolve() == given}
        if not photos:
            raise UserError(f"{options.photos} is no picture. Give a photograph, or a folder of them.")
    frame = generators_frame(tool)
    spelled = "" if frame is None else f"{frame.factor:.4f} {frame.offset:.2f}"
    prepare_output(tool, chosen, aligned, {"frame of the generator": spelled})
    table, _ = align_all(tool, chosen, aligned, photos, frame)
    files.write(aligned / TABLE, table)
    usable = table[table["status"] == "ok"].copy()
    for _, row in table[table["status"] != "ok"].iterrows():
        tool.log(f"{row['source']}: left out, {row['reason']}")
    if usable.empty:
        raise UserError(
            f"No face can be used, so nobody can be found. The reasons stand in {aligned / TABLE}; give "
            "photographs that show a face from the front."
        )
    usable["flags"] = [flags(row) for _, row in usable.iterrows()]
    return usable.reset_index(drop=True)


def generators_frame(tool: Tool) -> Similarity | None:
    """From the frame of the generator's pictures to that of `align_photos.py`, both with 256 px per side;
    None where the workspace has no faces to tell it by.

    A generator draws faces where those of its training were, at their size. Any other frame asks it for heads
    that it cannot draw.
    """
    if not (tool.workspace / FACES).exists():
        tool.log("no faces of the generator are known here; photographs are framed as align_photos.py does")
        return None
    again = tool.command("03_segment_faces", "--force")
    table = read_csv(tool.workspace / FACES, ("img_path", "status"), again)
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


def flags(row: pd.Series) -> str:
    """What speaks against a face, in words; empty if nothing does."""
    width = row["x1"] - row["x0"]
    found = {
        "small": width < SMALL_PX,
        "blurred": row["sharpness"] < BLURRED,
        "cut off": row["padding"] > OUTSIDE,
        "turned away": row["eye_distance_px"] < TURNED_EYES_PX * width,
    }
    return ", ".join(name for name, applies in found.items() if applies)
