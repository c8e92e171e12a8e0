"""Judges a face parser: on held-out portraits or photographs against the truth, on generated pictures against
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from data import portraits
from scripts.pipeline import Tool, UserError
from scripts.stages.generated_pictures import jpeg_round_trip
from scripts.stages.sheets import contact_sheet
from segmentation.face_classes import CLASS_NAMES
from segmentation.face_crop import FaceCrop, FaceCropper
from segmentation.facexformer import FaceXFormer
from segmentation.parser_batches import crop_label_map
from segmentation.parser_evaluation import (
    ParserFigures,
    compare_with_truth,
    parse_mirrored,
    score_agreement,
)
from segmentation.parsing import intersection_over_union, parse_faces, visualize

HELD_OUT_SEED = 3_000_000
PICTURE_SIZE_PX = 128
TRUTH_SIZE_PX = 256
PICTURES_AT_ONCE = 50
SHEET_COUNT = 24

Pictures = Sequence[np.ndarray]
"""uint8 [H, W, 3] each, or label maps uint8 [H, W]."""
Compare = Callable[[Pictures, Sequence[FaceCrop], Sequence[Pictures]], Sequence[Pictures]]
"""Pictures, their faces and their truths -> label maps [224, 224] to hold the parser's answers against."""


def judge_on_portraits(tool: Tool, parser: FaceXFormer, count: int, folder: str) -> dict[str, Any]:
    """Hold the parser against the truth on portraits that it did not see, as stage 03 sees pictures.

    Writes a sheet (face, answer, truth), the confusion matrix and its picture into `folder` of the
    workspace, and prints the figures.

    Args:
        tool: the running script.
        parser: in eval mode, on the tool's device.
        count: portraits.
        folder: workspace-relative.

    Returns:
        the figures of `ParserFigures.to_dict`, `scores_r` (see `score_agreement`), and the share of
        `faces_found`.

    Raises:
        UserError: the detector found no face.
    """

    def batches() -> Iterator[tuple[Pictures, ...]]:
        for part in _parts(count):
            seeds = range(HELD_OUT_SEED + part.start, HELD_OUT_SEED + part.stop)
            drawn = portraits.render_many(seeds, PICTURE_SIZE_PX)
            fine = portraits.render_many(seeds, TRUTH_SIZE_PX).label_maps
            yield [jpeg_round_trip(image) for image in drawn.images], list(fine), list(drawn.label_maps)

    figures = _judge_on_truth(tool, parser, "portraits", count, batches(), folder)
    tool.log(f"Portraits of {PICTURE_SIZE_PX} px; truth drawn at {TRUTH_SIZE_PX} px.")
    return figures


def judge_on_pairs(
    tool: Tool, parser: FaceXFormer, images: np.ndarray, label_maps: np.ndarray, folder: str
) -> dict[str, Any]:
    """The same on pictures uint8 [N, S, S, 3] with masks uint8 [N, S, S], such as photographs."""
    batches = ((list(images[part]), *[list(label_maps[part])] * 2) for part in _parts(len(images)))
    return _judge_on_truth(tool, parser, "pictures", len(images), batches, folder)


def judge_on_generated(tool: Tool, parser: FaceXFormer, images: np.ndarray, folder: str) -> dict[str, Any]:
    """Agreement of the parser with itself after pictures uint8 [N, H, W, 3] are enlarged and mirrored.

    Writes a sheet of the faces with the least agreement (face, answer, answer by way of the mirror) into
    `folder` of the workspace, and prints the figures.

    Returns:
        `count` of faces, `faces_found` as a share, `agreement` as the mean share of equal pixels,
        `agreement_5_percent`, which one face in twenty does not reach, and `agreement_mean_iou`.

    Raises:
        UserError: the detector found no face.
    """
    batches = ((list(images[part]),) for part in _parts(len(images)))
    faces, _, _, predicted, mirrored = _parse(
        tool, parser, "images", len(images), batches,
        lambda pictures, crops, _: [list(parse_mirrored(parser, pictures, crops))],
    )  # fmt: skip
    agreement = (predicted == mirrored).mean(axis=(1, 2))
    least = np.argsort(agreement, kind="stable")[:SHEET_COUNT]
    _save_sheet(tool, f"{folder}/least_agreement.png", faces[least], predicted[least], mirrored[least])
    figures = {
        "count": len(faces),
        "faces_found": len(faces) / len(images),
        "agreement": float(agreement.mean()),
        "agreement_5_percent": float(np.quantile(agreement, 0.05)),
        "agreement_mean_iou": float(np.nanmean(intersection_over_union(mirrored, predicted))),
    }
    tool.log(
        f"Pixels that keep their class when the picture is enlarged and mirrored: {figures['agreement']:.2%} "
        f"(one face in twenty: below {figures['agreement_5_percent']:.2%}); mean IoU of the two masks "
        f"{figures['agreement_mean_iou']:.3f}; {len(faces)} faces in {len(images)} pictures."
    )
    return figures


def _judge_on_truth(
    tool: Tool,
    parser: FaceXFormer,
    unit: str,
    count: int,
    batches: Iterable[tuple[Pictures, ...]],
    folder: str,
) -> dict[str, Any]:
    """Judge on batches of pictures with two truths, one finer than the pictures and one of their own size."""
    faces, boxes, pictures, predicted, fine, own = _parse(tool, parser, unit, count, batches, _cut_truths)
    figures = compare_with_truth(predicted, fine, own)
    some = slice(SHEET_COUNT)
    _save_sheet(tool, f"{folder}/held_out.png", faces[some], predicted[some], fine[some])
    table = pd.DataFrame(figures.confusion.round(6), columns=list(CLASS_NAMES))
    table.insert(0, "truth", CLASS_NAMES)
    tool.write(f"{folder}/confusion.csv", table)
    tool.write(f"{folder}/confusion.png", confusion_figure(figures))
    _log_figures(tool, figures)
    agreement = score_agreement(predicted, fine, faces, pictures, boxes)
    spelt = ", ".join(f"{name} {'unknown' if r is None else f'{r:.3f}'}" for name, r in agreement.items())
    tool.log(f"r of algorithm 3 on these label maps with algorithm 3 on the truth: {spelt}.")
    share = len(faces) / count
    tool.log(f"Faces found in {share:.1%} of {count} held-out pictures.")
    return {**figures.to_dict(), "scores_r": agreement, "faces_found": share}


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, PICTURES_AT_ONCE):
        yield slice(start, min(start + PICTURES_AT_ONCE, count))


def _parse(
    tool: Tool,
    parser: FaceXFormer,
    unit: str,
    count: int,
    batches: Iterable[tuple[Pictures, ...]],
    compare: Compare,
) -> list[np.ndarray]:
    """Faces [N, 224, 224, 3] that were found, their boxes [N, 4] and pictures [N, S, S, 3], the answers
    [N, 224, 224], and what `compare` gives.
    """
    cropper = FaceCropper(tool.device)
    found: list[tuple[np.ndarray, ...]] = []
    with tool.progress(count, unit) as progress:
        for images, *truths in batches:
            seen = [(row, crop) for row, crop in enumerate(cropper(images)) if crop is not None]
            if seen:
                faces = np.stack([crop.image for _, crop in seen])
                pictures, *known = ([part[row] for row, _ in seen] for part in (images, *truths))
                others = compare(pictures, [crop for _, crop in seen], known)
                boxes = [np.array(crop.box) for _, crop in seen]
                answers = parse_faces(parser, faces).label_maps
                found += zip(faces, boxes, pictures, answers, *others, strict=True)
            progress.update(len(images))
    if not found:
        raise UserError(
            f"the detector found no face in any of {count} pictures, so nothing can be said about the "
            "parser. Give more pictures, or a generator that draws faces."
        )
    return [np.stack(part) for part in zip(*found, strict=True)]


def _cut_truths(
    pictures: Pictures, crops: Sequence[FaceCrop], truths: Sequence[Pictures]
) -> list[list[np.ndarray]]:
    boxes = [np.array(crop.box) / len(picture) for picture, crop in zip(pictures, crops, strict=True)]
    return [[crop_label_map(*known) for known in zip(maps, boxes, strict=True)] for maps in truths]


def _save_sheet(tool: Tool, relative: str, faces: np.ndarray, *label_maps: np.ndarray) -> None:
    """Rows of a face and label maps that are drawn over it."""
    columns = [faces, *(visualize(faces, maps) for maps in label_maps)]
    tool.write(relative, contact_sheet(list(np.concatenate(columns, axis=2)), columns=3))


def confusion_figure(figures: ParserFigures) -> Figure:
    """The confusion matrix as a picture: the share of each true class that was given each class."""
    figure = Figure(figsize=(8.5, 8))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.13, right=0.98, bottom=0.13, top=0.95)
    names = [name.replace("_", " ") for name in CLASS_NAMES]
    ConfusionMatrixDisplay(figures.confusion, display_labels=names).plot(
        ax=axes,
        cmap="Blues",
        values_format=".3f",
        xticks_rotation=45,
        colorbar=False,
        im_kw={"vmin": 0, "vmax": 1},
        text_kw={"fontsize": 8},
    )
    axes.set(xlabel="parser", ylabel="truth")
    axes.set_title(f"share of each true class, {figures.count} faces")
    return figure


def _log_figures(tool: Tool, figures: ParserFigures) -> None:
    columns = (figures.iou, figures.iou_at_picture_size, figures.ceiling)
    table = pd.DataFrame(np.stack(columns, axis=1), CLASS_NAMES, ["finer", "of its size", "ceiling"])
    table.loc[f"mean (n = {figures.count})"] = table.mean()
    tool.log(f"IoU against a truth\n{table.to_string(float_format='{:.4f}'.format)}")
