"""What 20 does: every picture cut and resized, its variants, and the table that says what is whose."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cvae.augmentation import Change, variant
from cvae.conditions import AUGMENTATIONS
from scripts.pipeline import Stage, UserError
from scripts.stages import workspace as at
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.pictures import find_pictures, read_ahead, reader_threads
from scripts.stages.sheets import labelled_grid
from stylegan.seeds import Purpose, derived_seed

FEWEST = 8
JPEG_OPTIONS = {"quality": 100, "subsampling": 0}
CANDIDATES_FOLDER = "candidates"  # in place of the name of a subfolder
CHANGES = AUGMENTATIONS[:-1]  # those of `Change`; pictures are mirrored while they are learned from
SHEET_ROWS = 6


class Source(NamedTuple):
    """A picture to start from: its number, the folder and the file name of its results, and where it lies."""

    number: int
    folder: str
    name: str
    path: Path


def find_sources(stage: Stage, options: Any) -> list[Source]:
    """The pictures of a folder or of stage 01.

    Raises:
        UserError: fewer than 8 pictures.
    """
    if options.pictures is None:
        table = stage.read_csv(at.CANDIDATES, ("img_no", "img_path"))
        places = zip(table["img_no"], table["img_path"], strict=True)
        found = [Source(n, CANDIDATES_FOLDER, Path(p).name, stage.workspace / p) for n, p in places]
        where = at.CANDIDATES
    else:
        pictures = find_pictures(options.pictures, stage.workspace)
        pictures.tell(stage.log)
        found = []
        for number, (name, path) in enumerate(pictures.pictures.items()):
            inner = PurePosixPath(name).parent.as_posix().replace("/", "-").lower()
            folder = options.pictures.resolve().name if inner == "." else inner
            found.append(Source(number, folder, f"{PurePosixPath(name).stem}.jpg", path))
        where = str(options.pictures)
    if len(found) < FEWEST:
        raise UserError(
            f"{where} holds {len(found)} pictures, and a training needs at least {FEWEST}. "
            "Add pictures, or name another folder by --pictures."
        )
    names = pd.Series([f"{source.folder}/{source.name}" for source in found])
    twice = names[names.duplicated()]
    if len(twice):
        raise UserError(
            f"{where} holds pictures whose results would have one name ({twice.iloc[0]}), so "
            "one would be lost. Rename one of them."
        )
    return found


def augment_pictures(stage: Stage, options: Any) -> None:
    """Write resized pictures and variants, the table and a sheet."""
    most = Change(options.brightness, options.saturation, options.crop, options.rotation)
    sources = find_sources(stage, options)
    by_path = {source.path: source for source in sources}
    rows: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    shown: list[list[np.ndarray]] = []

    def write(source: Source, number: int, change: Change, picture: np.ndarray) -> np.ndarray:
        made = variant(picture, change, options.height, options.width)
        stem = Path(source.name).stem + (f"_{number}" if number > 1 else "")
        file = f"{at.VAE_AUGMENTED if number else at.VAE_RESIZED}/{source.folder}/{stem}.jpg"
        stage.write(file, made, **JPEG_OPTIONS)
        inside = source.path.is_relative_to(stage.workspace)
        place = source.path.relative_to(stage.workspace) if inside else source.path
        rows.append(
            {
                "img_no": len(rows),
                "file": file,
                "source": source.number,
                "source_path": place.as_posix(),
                "folder": source.folder,
                "is_augmented": int(number > 0),
                **dict(zip(CHANGES, most.told(change), strict=True)),
            }
        )
        return made

    with stage.progress(len(sources)) as progress:
        for path, reading in read_ahead(by_path, read_image, 16, reader_threads(stage)):
            source = by_path[path]
            try:
                picture = reading.result()
            except ImageFileError as error:
                reasons[source.name] = str(error)
                progress.update()
                continue
            made = [write(source, 0, Change(), picture)]
            for number in range(1, options.variants + 1):
                seed = derived_seed(Purpose.VAE_PICTURE_VARIANTS, options.seed, source.number, number=number)
                made.append(write(source, number, most.draw(seed), picture))
            if len(shown) < SHEET_ROWS:
                shown.append(made)
            progress.update()
    for name, reason in reasons.items():
        stage.log(f"left out {name}: {reason}")
    stage.count("pictures", len(sources) - len(reasons), failed=len(reasons))
    stage.check_failures(len(reasons), len(sources))
    stage.write(at.VAE_PICTURES, pd.DataFrame(rows).round(6))
    columns = ["resized", *(f"variant {n}" for n in range(1, options.variants + 1))]
    stage.write(at.VAE_VARIANT_SHEET, labelled_grid(shown, [""] * len(shown), columns, 2))
    stage.finish(
        {
            "pictures": f"{len(sources) - len(reasons)} of {options.height} x {options.width} px",
            "variants": str(sum(row["is_augmented"] for row in rows)),
        },
        [at.VAE_VARIANT_SHEET],
    )
