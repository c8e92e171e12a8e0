"""Pictures that a person looks at after the segmentation: parsed, unsure and failed faces, with a legend."""

from contextlib import suppress

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from scripts.pipeline import Stage
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import FACE_SHEETS, segmented_path
from segmentation.face_classes import CLASS_NAMES, PALETTE

SHEET, UNSURE_SHEET, FAILED_SHEET = FACE_SHEETS
SHOWN_KINDS = ("face", "parsing_visualization")
PARSED_COUNT, UNSURE_COUNT, FAILED_COUNT = 48, 24, 48
FACE_PX = 112
PAIR_COLUMNS = 6
FAILED_PX = 160
FAILED_COLUMNS = 8
SWATCH_PX = 14
LEGEND_HEIGHT_PX = 24
LEGEND_FONT_PX = 12


def save_sheets(stage: Stage, table: pd.DataFrame) -> None:
    """Write the three contact sheets, from the table of faces and the pictures of the workspace."""
    found = table[table["status"] == "ok"]
    even = np.linspace(0, max(len(found) - 1, 0), min(PARSED_COUNT, len(found))).astype(int)
    parsed = found.iloc[even]
    unsure = found.sort_values(["mean_probability", "img_no"]).head(UNSURE_COUNT)
    stage.write(SHEET, _parsed_sheet(stage, parsed))
    stage.write(UNSURE_SHEET, _parsed_sheet(stage, unsure))
    stage.write(FAILED_SHEET, _failed_sheet(stage, table[table["status"] != "ok"].head(FAILED_COUNT)))


def _parsed_sheet(stage: Stage, rows: pd.DataFrame) -> Image.Image:
    """Faces with their classes beside them, number and mean probability below, and a legend above."""
    if rows.empty:
        return _note("no face was found", 2 * FACE_PX)
    pairs = [
        np.hstack([_thumbnail(stage, segmented_path(kind, n), FACE_PX) for kind in SHOWN_KINDS])
        for n in rows["img_no"]
    ]
    labels = [f"{row.img_no}: mean probability {row.mean_probability:.3f}" for row in rows.itertuples()]
    return with_legend(contact_sheet(pairs, PAIR_COLUMNS, labels))


def _failed_sheet(stage: Stage, rows: pd.DataFrame) -> Image.Image:
    """Pictures without a face or that cannot be read, with the reason below."""
    if rows.empty:
        return _note("no picture failed", FAILED_PX)
    cells = [_thumbnail(stage, relative, FAILED_PX) for relative in rows["img_path"]]
    labels = [f"{row.img_no}: {row.reason}" for row in rows.itertuples()]
    return contact_sheet(cells, FAILED_COLUMNS, labels)


def with_legend(sheet: Image.Image) -> Image.Image:
    """The sheet below a legend of class colours; lines break where the sheet ends."""
    font = ImageFont.load_default(LEGEND_FONT_PX)
    names = [name.replace("_", " ") for name in CLASS_NAMES]
    places, x, line = [], 4, 0
    for name in names:
        width = SWATCH_PX + 4 + int(font.getlength(name)) + 12
        if x > 4 and x + width > sheet.width:
            x, line = 4, line + 1
        places.append((x, line * LEGEND_HEIGHT_PX + 4))
        x += width
    height = (line + 1) * LEGEND_HEIGHT_PX
    whole = Image.new("RGB", (sheet.width, height + sheet.height), "white")
    draw = ImageDraw.Draw(whole)
    for (x, y), name, color in zip(places, names, PALETTE.tolist(), strict=True):
        draw.rectangle((x, y, x + SWATCH_PX, y + SWATCH_PX), fill=tuple(color), outline=(120, 120, 120))
        draw.text((x + SWATCH_PX + 4, y + 1), name, fill=(30, 30, 30), font=font)
    whole.paste(sheet, (0, height))
    return whole


def _thumbnail(stage: Stage, relative: str, size_px: int) -> np.ndarray:
    """The picture, uint8 [size, size, 3], fitted into a grey square; the bare square if it cannot be read."""
    square = Image.new("RGB", (size_px, size_px), (200, 200, 200))
    with suppress(ImageFileError):
        picture = Image.fromarray(read_image(stage.workspace / relative))
        factor = size_px / max(picture.size)
        picture = picture.resize([max(1, round(side * factor)) for side in picture.size])
        square.paste(picture, ((size_px - picture.width) // 2, (size_px - picture.height) // 2))
    return np.asarray(square)


def _note(text: str, width_px: int) -> Image.Image:
    """A white sheet that says something."""
    return contact_sheet([np.full((SWATCH_PX, width_px, 3), 255, np.uint8)], 1, [text])
