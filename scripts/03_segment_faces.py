"""Find the face in every kept picture and assign a class (skin, eyes, hair) to each of its pixels."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.fast_memory import keep_freed_memory
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, UserError, option, run_stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from segmentation.face_crop import FaceCrop, FaceCropper
    from segmentation.facexformer import FaceXFormer

PICTURES = "stylegan/synthesize_results_filtered"
ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
SEGMENTED = "segmentation/segmentation_results"
FACES = "segmentation/faces.csv"
SHEET = "segmentation/faces_sheet.png"
KINDS = ("face", "parsing", "parsing_visualization")
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png"}
SHEET_COUNT = 48
SHEET_COLUMNS = 6
SHEET_FACE_PX = 112
WRITER_THREADS = 2
# Level 1 is four times faster than zlib's default and costs a tenth more disk.
PNG_LEVEL = 1


@dataclass(frozen=True)
class Options(StageOptions):
    """Find the face in every kept picture and assign a class (skin, eyes, hair) to each of its pixels."""

    parser: str = option(
        "segmentation/models/segmentation_model.safetensors", help="weights of the parser, in the workspace"
    )
    detection_size: int = option(
        160, help="shorter side, in pixels, to which pictures are resized for detection"
    )
    min_face: float = option(0.2, help="smallest face to look for, as a share of the picture's shorter side")
    margin: float = option(0.25, help="widening of the detected box on each side, as a share of its size")
    batch_size: int = option(32, help="pictures detected and parsed at once", affects_results=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError("--batch-size must be at least 1.")
        if not 0 < self.min_face <= 1:
            raise ValueError("--min-face must lie between 0 and 1.")
        if self.detection_size < 48 or self.margin < 0:
            raise ValueError("--detection-size must be at least 48, and --margin must not be negative.")


def inputs(options: Options) -> tuple[Input, ...]:
    """The kept pictures and the parser that the options name."""
    return (
        Input(PICTURES, made_by="02_filter_candidates"),
        Input(ALL_IMAGES, made_by="02_filter_candidates", optional=True),
        Input(options.parser, made_by="00_fetch_weights"),
    )


SPEC = StageSpec(
    name="03_segment_faces",
    inputs=inputs,
    outputs=(FACES, SHEET),
    clears=(SEGMENTED,),
    next_script="04_compute_property_scores",
)


class Segmented(NamedTuple):
    """A face with its label map."""

    crop: "FaceCrop"
    label_map: "np.ndarray"
    mean_probability: float


def columns() -> tuple[str, ...]:
    """Columns of the table of faces."""
    from segmentation.parsing import CLASS_NAMES

    box = ("x0", "y0", "x1", "y1")
    faces = (*box, "probability", "face_count", "mean_probability")
    return ("img_no", "img_path", "status", "reason", *faces, *(f"{name}_pixels" for name in CLASS_NAMES))


def list_pictures(stage: Stage) -> dict[int, str]:
    """Number and workspace-relative path of every kept picture; what the folder holds counts.

    Raises:
        UserError: no picture, a name that is no number, or two pictures of one number.
    """
    found: dict[int, str] = {}
    for path in sorted((stage.workspace / PICTURES).iterdir()):
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        relative = stage.relative(path)
        if not path.stem.isdecimal():
            raise UserError(
                f"{relative} is not named by its number, so its row could not be joined with other tables. "
                "Rename it, for example to 000123.jpg, or move it out of the folder."
            )
        if int(path.stem) in found:
            raise UserError(
                f"{found[int(path.stem)]} and {relative} have the same number, so their results would "
                "overwrite each other. Remove one of them."
            )
        found[int(path.stem)] = relative
    if not found:
        raise UserError(
            f"{PICTURES} holds no picture, so there is nothing to segment. Filter again, perhaps with lower "
            f"thresholds:\n    {stage.command('02_filter_candidates', '--force')}"
        )
    return found


def read_picture(path: Path) -> "np.ndarray | str":
    """uint8 [H, W, 3] RGB, or the reason why the picture cannot be read."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "file is missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return f"{reason}: {str(error).replace(str(path), path.name)}"


def decoded_batches(
    stage: Stage, items: Sequence[tuple[int, str]], size: int
) -> Iterator[list[tuple[int, str, "np.ndarray | str"]]]:
    """Batches of number, path and picture (or reason); the next is decoded while this one is worked on."""

    def decode(batch: Sequence[tuple[int, str]]) -> list[tuple[int, str, "np.ndarray | str"]]:
        return [(img_no, relative, read_picture(stage.workspace / relative)) for img_no, relative in batch]

    batches = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(1) as reader:
        ahead: Future | None = reader.submit(decode, batches[0]) if batches else None
        for following in [*batches[1:], None]:
            if ahead is None:
                return
            decoded = ahead.result()
            ahead = reader.submit(decode, following) if following is not None else None
            yield decoded


def segment(
    cropper: "FaceCropper", parser: "FaceXFormer", pictures: Sequence["np.ndarray"], batch_size: int
) -> list[Segmented | None]:
    """Crop and parse pictures; None where there is no face."""
    import numpy as np

    from segmentation.parsing import parse

    crops = cropper(pictures)
    found = [crop for crop in crops if crop is not None]
    if not found:
        return [None] * len(crops)
    device = next(parser.parameters()).device
    label_maps, probabilities = parse(parser, np.stack([crop.image for crop in found]), batch_size, device)
    parsed = iter(zip(label_maps, probabilities, strict=True))
    return [None if crop is None else Segmented(crop, *next(parsed)) for crop in crops]


def result_path(kind: str, img_no: int) -> str:
    """Workspace-relative path of one of the three pictures of a face."""
    return f"{SEGMENTED}/{kind}_{img_no:06d}.png"


def save_face(stage: Stage, img_no: int, face: Segmented) -> None:
    """Write the crop, the class ids (8 bit grey) and the coloured picture."""
    from segmentation.parsing import visualize

    pictures = (face.crop.image, face.label_map, visualize(face.crop.image, face.label_map))
    for kind, picture in zip(KINDS, pictures, strict=True):
        stage.save_image(result_path(kind, img_no), picture, compress_level=PNG_LEVEL)


def row_of(img_no: int, relative: str, outcome: "Segmented | str | None") -> dict[str, object]:
    """The table's row of a face, of a picture without one (None) or of an unreadable one (the reason)."""
    from segmentation.parsing import count_pixels

    row: dict[str, object] = dict.fromkeys(columns(), "") | {"img_no": img_no, "img_path": relative}
    if outcome is None:
        return row | {"status": "no_face", "reason": "the detector finds no face", "face_count": 0}
    if isinstance(outcome, str):
        return row | {"status": "failed", "reason": outcome}
    crop = outcome.crop
    values = (*(round(side, 3) for side in crop.box), round(crop.probability, 5), crop.face_count)
    values += (round(float(outcome.mean_probability), 5), *count_pixels(outcome.label_map).tolist())
    return row | {"status": "ok"} | dict(zip(columns()[4:], values, strict=True))


def segment_all(
    stage: Stage, options: Options, cropper: "FaceCropper", parser: "FaceXFormer", pictures: dict[int, str]
) -> "pd.DataFrame":
    """Work on what the journal does not have yet; the journal's table, sorted by image number."""
    with (
        stage.journal(columns()) as journal,
        stage.progress(len(pictures)) as progress,
        ThreadPoolExecutor(WRITER_THREADS) as writers,
    ):
        missing = [item for item in pictures.items() if item[0] not in journal]
        progress.update(len(pictures) - len(missing))
        for batch in decoded_batches(stage, missing, options.batch_size):
            readable = [picture for _, _, picture in batch if not isinstance(picture, str)]
            faces = iter(segment(cropper, parser, readable, options.batch_size))
            outcomes = [picture if isinstance(picture, str) else next(faces) for _, _, picture in batch]
            written = [
                writers.submit(save_face, stage, img_no, outcome) if isinstance(outcome, Segmented) else None
                for (img_no, _, _), outcome in zip(batch, outcomes, strict=True)
            ]
            for (img_no, relative, _), outcome, future in zip(batch, outcomes, written, strict=True):
                if future is not None:
                    future.result()
                journal.append(row_of(img_no, relative, outcome))
                progress.update()
        return journal.frame()


def save_sheet(stage: Stage, img_nos: Sequence[int]) -> None:
    """Contact sheet of evenly chosen faces, each with its classes beside it, read back from the files."""
    import numpy as np
    from PIL import Image

    from scripts.pipeline.pictures import contact_sheet

    if not len(img_nos):
        blank = np.full((SHEET_FACE_PX, 2 * SHEET_FACE_PX, 3), 255, np.uint8)
        stage.save_image(SHEET, contact_sheet([blank], 1, ["no face was found"]))
        return
    chosen = [
        int(img_nos[i]) for i in np.linspace(0, len(img_nos) - 1, min(SHEET_COUNT, len(img_nos))).astype(int)
    ]
    pairs = []
    for img_no in chosen:
        halves = []
        for kind in ("face", "parsing_visualization"):
            with Image.open(stage.workspace / result_path(kind, img_no)) as picture:
                halves.append(np.asarray(picture.resize((SHEET_FACE_PX, SHEET_FACE_PX))))
        pairs.append(np.concatenate(halves, axis=1))
    stage.save_image(SHEET, contact_sheet(pairs, SHEET_COLUMNS, [str(img_no) for img_no in chosen]))


def run(stage: Stage, options: Options) -> None:
    """Segment what is missing, then write the table and the contact sheet."""
    from segmentation.face_crop import FaceCropper
    from segmentation.facexformer import FaceXFormerWeightsError, load_facexformer

    keep_freed_memory()
    pictures = list_pictures(stage)
    mend = f"Fetch it anew:\n    {stage.command('00_fetch_weights', '--force')}"
    with stage.foreseen(FaceXFormerWeightsError, mend=mend):
        parser = load_facexformer(stage.workspace / options.parser).to(stage.device)
    cropper = FaceCropper(stage.device, options.detection_size, options.min_face, options.margin)
    table = segment_all(stage, options, cropper, parser, pictures)
    table = table[table["img_no"].isin(pictures)]
    stage.write_csv(FACES, table)
    found = table[table["status"] == "ok"]
    save_sheet(stage, found["img_no"].tolist())
    stage.check_failures(len(table) - len(found), len(table))
    without, unreadable = ((table["status"] == status).sum() for status in ("no_face", "failed"))
    has_eyes = (found[["left_eye_pixels", "right_eye_pixels"]] > 0).all(axis=1)
    stage.finish(
        {
            "faces": f"{len(found)} of {len(table)} pictures; {without} without, {unreadable} unreadable",
            "parser's confidence": f"{found['mean_probability'].mean():.3f}, averaged over all pixels",
            "both eyes found": f"{has_eyes.mean():.1%} of the faces",
        },
        [SHEET, FACES, SEGMENTED],
    )


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
