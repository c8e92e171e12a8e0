"""Larger pictures of who was found, by a face restorer that the user brings."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pandas as pd
from PIL.PngImagePlugin import PngInfo

from cnn.face_restorer import FaceRestorer
from scripts.pipeline import Tool, files
from scripts.stages.image_files import read_image, read_notes
from scripts.stages.projecting.measuring import mean_error, usual_frame
from segmentation.face_alignment import Similarity

FOLDER = "restored"
INVENTED = "invented detail: whatever is finer than {0} x {0} px comes from {1}"
SAME_FRAME = Similarity(1 + 0j, 0j)


def load_restorer(tool: Tool, path: Path) -> FaceRestorer:
    """The network of a file; anything else is a `UserError`."""
    mend = "Give --restorer an ONNX export of GFPGAN, CodeFormer or GPEN, or leave it out."
    with tool.foreseen(ValueError, ImportError, OSError, mend=mend):
        return FaceRestorer(path)


def restore_all(
    tool: Tool, restorer: FaceRestorer, table: pd.DataFrame, output: Path, frame: Similarity | None
) -> None:
    """Restore every picture of the table; fills in the columns `restored` and `restored_error`.

    The face is cut out as `align_photos.py` does, which is how these networks know faces.

    Args:
        frame: see `faces.generators_frame`.
    """
    sha256 = files.sha256_file(restorer.path)
    errors, names = [], []
    with tool.progress(len(table), "restored") as progress:
        for picture in table["picture"]:
            name = f"{FOLDER}/{PurePosixPath(picture).relative_to('pictures')}"
            found = read_image(output / picture)
            side = len(found)
            face = usual_frame(found, frame or SAME_FRAME, restorer.size_px)
            notes = {
                "note": INVENTED.format(side, restorer.path.name),
                "restorer": sha256,
                "restored_from": files.sha256_file(output / picture),
            }
            if not _is_restored(output / name, notes):
                with tool.foreseen(ValueError, mend="Give --restorer another file."):
                    restored = restorer(face)
                info = PngInfo()
                for key, value in notes.items():
                    info.add_text(key, value)
                files.write(output / name, restored, pnginfo=info)
            restored = read_image(output / name)
            errors.append(round(mean_error(_shrunk(restored, side), _shrunk(face, side)), 4))
            names.append(name)
            progress.update()
    table["restored"], table["restored_error"] = names, errors
    tool.log(
        f"restored: {len(restored)} px a side; whatever is finer than the {side} px that were found is "
        f"invented by {restorer.path.name}; shrunk back, its pictures differ by {np.mean(errors):.1f} of 255"
    )


def _is_restored(path: Path, notes: dict[str, str]) -> bool:
    """Whether an earlier run made this very picture."""
    return path.exists() and notes.items() <= read_notes(path).items()


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
