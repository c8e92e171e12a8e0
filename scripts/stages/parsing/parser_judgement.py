"""Judges a face parser: on held-out portraits or photographs against the truth, on generated pictures against
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from data import portraits
from scripts.pipeline import Tool, UserError
from scripts.pipeline.pictures import contact_sheet
from scripts.stages.generated_pictures import jpeg_round_trip
from segmentation.face_classes import CLASS_NAMES
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import FaceXFormer
from segmentation.parser_evaluation import ParserFigures, compare_with_truth, parse_mirrored
from segmentation.parser_training import crop_label_map
from segmentation.parsing import intersection_over_union, parse_faces, visualize

HELD_OUT_SEED = 3_000_000
PICTURE_SIZE_PX = 128
TRUTH_SIZE_PX = 256
PICTURES_AT_ONCE = 50
SHEET_COUNT = 24
SHEET = "held_out.png"
CONFUSION_TABLE = "confusion.csv"
CONFUSION_FIGURE = "confusion.png"
AGREEMENT_SHEET = "least_agreement.png"


class _KnownFace(NamedTuple):
    """A face whose truth is known: crop uint8 [224, 224, 3] and label maps uint8 [224, 224]."""

    face: np.ndarray
    predicted: np.ndarray
    fine_truth: np.ndarray
    picture_truth: np.ndarray


class _GeneratedFace(NamedTuple):
    """A face of a generated picture and its label maps, as it is and by way of the mirror."""

    face: np.ndarray
    predicted: np.ndarray
    mirrored: np.ndarray


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
        the figures of `ParserFigures.to_dict`, and the share of `faces_found`.

    Raises:
        UserError: the detector found no face.
    """
    cropper = FaceCropper(tool.device)
    found: list[_KnownFace] = []
    with tool.progress(count, "portraits") as progress:
        for start in range(0, count, PICTURES_AT_ONCE):
            stop = min(start + PICTURES_AT_ONCE, count)
            found += _parse_portraits(parser, cropper, range(HELD_OUT_SEED + start, HELD_OUT_SEED + stop))
            progress.update(stop - start)
    figures = _report(tool, found, count, folder)
    tool.log(f"Portraits of {PICTURE_SIZE_PX} px; truth drawn at {TRUTH_SIZE_PX} px.")
    return figures


def judge_on_pairs(
    tool: Tool, parser: FaceXFormer, images: np.ndarray, label_maps: np.ndarray, folder: str
) -> dict[str, Any]:
    """The same on pictures with masks, such as photographs, whose truth has the size of the pictures.

    Args:
        tool, parser, folder: see `judge_on_portraits`.
        images: uint8 [N, S, S, 3].
        label_maps: uint8 [N, S, S].
    """
    cropper = FaceCropper(tool.device)
    found: list[_KnownFace] = []
    with tool.progress(len(images), "pictures") as progress:
        for start in range(0, len(images), PICTURES_AT_ONCE):
            part = slice(start, start + PICTURES_AT_ONCE)
            found += _parse_known(parser, cropper, images[part], (label_maps[part], label_maps[part]))
            progress.update(len(images[part]))
    return _report(tool, found, len(images), folder)


def _report(tool: Tool, found: Sequence[_KnownFace], count: int, folder: str) -> dict[str, Any]:
    """Figures of parsed faces, written and printed; `count` pictures were looked at."""
    _check_found(len(found), count)
    _, predicted, fine_truth, picture_truth = (np.stack(part) for part in zip(*found, strict=True))
    figures = compare_with_truth(predicted, fine_truth, picture_truth)
    rows = [(face.face, face.predicted, face.fine_truth) for face in found[:SHEET_COUNT]]
    _save_sheet(tool, f"{folder}/{SHEET}", rows)
    _save_confusion(tool, figures, folder)
    _log_figures(tool, figures)
    share = len(found) / count
    tool.log(f"Faces found in {share:.1%} of {count} held-out pictures.")
    return {**figures.to_dict(), "faces_found": share}


def _parse_portraits(parser: FaceXFormer, cropper: FaceCropper, seeds: Sequence[int]) -> list[_KnownFace]:

    drawn = portraits.render_many(seeds, PICTURE_SIZE_PX)
    fine_maps = portraits.render_many(seeds, TRUTH_SIZE_PX).label_maps
    images = [jpeg_round_trip(image) for image in drawn.images]
    return _parse_known(parser, cropper, images, (fine_maps, drawn.label_maps))


def _parse_known(
    parser: FaceXFormer,
    cropper: FaceCropper,
    images: Sequence[np.ndarray] | np.ndarray,
    truths: tuple[np.ndarray, np.ndarray],
) -> list[_KnownFace]:
    """Parse pictures whose label maps are known, finely and at the pictures' own size; faces found alone."""
    found = {row: crop for row, crop in enumerate(cropper(list(images))) if crop is not None}
    if not found:
        return []
    predicted = parse_faces(parser, np.stack([crop.image for crop in found.values()])).label_maps
    faces = []
    for (row, crop), label_map in zip(found.items(), predicted, strict=True):
        box = np.array(crop.box) / images[row].shape[0]
        fine, coarse = (crop_label_map(maps[row], box) for maps in truths)
        faces.append(_KnownFace(crop.image, label_map, fine, coarse))
    return faces


def judge_on_generated(tool: Tool, parser: FaceXFormer, images: np.ndarray, folder: str) -> dict[str, Any]:
    """Agreement of the parser with itself after a picture is enlarged and mirrored.

    Writes a sheet of the faces with the least agreement (face, answer, answer by way of the mirror) into
    `folder` of the workspace, and prints the figures.

    Args:
        tool: the running script.
        parser: in eval mode, on the tool's device.
        images: uint8 [N, H, W, 3].
        folder: workspace-relative.

    Returns:
        `count` of faces, `faces_found` as a share, `agreement` as the mean share of equal pixels,
        `agreement_5_percent`, which one face in twenty does not reach, and `agreement_mean_iou`.

    Raises:
        UserError: the detector found no face.
    """
    cropper = FaceCropper(tool.device)
    found: list[_GeneratedFace] = []
    with tool.progress(len(images)) as progress:
        for start in range(0, len(images), PICTURES_AT_ONCE):
            part = images[start : start + PICTURES_AT_ONCE]
            found += _parse_generated(parser, cropper, part)
            progress.update(len(part))
    _check_found(len(found), len(images))
    _, predicted, mirrored = (np.stack(part) for part in zip(*found, strict=True))
    agreement = (predicted == mirrored).mean(axis=(1, 2))
    least = np.argsort(agreement, kind="stable")[:SHEET_COUNT]
    _save_sheet(tool, f"{folder}/{AGREEMENT_SHEET}", [found[row] for row in least])
    figures = {
        "count": len(found),
        "faces_found": len(found) / len(images),
        "agreement": float(agreement.mean()),
        "agreement_5_percent": float(np.quantile(agreement, 0.05)),
        "agreement_mean_iou": float(np.nanmean(intersection_over_union(mirrored, predicted))),
    }
    tool.log(
        f"Pixels that keep their class when the picture is enlarged and mirrored: {figures['agreement']:.2%} "
        f"(one face in twenty: below {figures['agreement_5_percent']:.2%}); mean IoU of the two masks "
        f"{figures['agreement_mean_iou']:.3f}; {len(found)} faces in {len(images)} pictures."
    )
    return figures


def _parse_generated(parser: FaceXFormer, cropper: FaceCropper, images: np.ndarray) -> list[_GeneratedFace]:

    found = {row: crop for row, crop in enumerate(cropper(list(images))) if crop is not None}
    if not found:
        return []
    crops = list(found.values())
    faces = np.stack([crop.image for crop in crops])
    predicted = parse_faces(parser, faces).label_maps
    mirrored = parse_mirrored(parser, list(images[list(found)]), crops)
    return [_GeneratedFace(*row) for row in zip(faces, predicted, mirrored, strict=True)]


def _check_found(found: int, count: int) -> None:
    if not found:
        raise UserError(
            f"the detector found no face in any of {count} pictures, so nothing can be said about the "
            "parser. Give more pictures, or a generator that draws faces."
        )


def _save_sheet(tool: Tool, relative: str, rows: Iterable[Sequence[np.ndarray]]) -> None:
    """Rows of a face and two label maps, which are drawn over it."""
    pictures = [
        np.concatenate([face, *(visualize(face, label_map) for label_map in label_maps)], axis=1)
        for face, *label_maps in rows
    ]
    tool.write(relative, contact_sheet(pictures, columns=3))


def _save_confusion(tool: Tool, figures: ParserFigures, folder: str) -> None:
    """Shares of each true class that were given each class, as a table and as a picture."""
    table = pd.DataFrame(figures.confusion.round(6), columns=list(CLASS_NAMES))
    table.insert(0, "truth", CLASS_NAMES)
    tool.write(f"{folder}/{CONFUSION_TABLE}", table)
    tool.write(f"{folder}/{CONFUSION_FIGURE}", confusion_figure(figures))


def confusion_figure(figures: ParserFigures) -> Figure:
    """The confusion matrix as a picture."""
    figure = Figure(figsize=(8.5, 8), layout="constrained")
    axes = figure.subplots()
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

    truths = ("finer", "of its size", "ceiling")
    columns = (figures.iou, figures.iou_at_picture_size, figures.ceiling)
    tool.log(f"{'IoU against a truth':24}" + "".join(f"{title:>12}" for title in truths))
    for name, *values in zip(CLASS_NAMES, *columns, strict=True):
        tool.log(f"{name.replace('_', ' '):24}" + "".join(f"{value:12.3f}" for value in values))
    means = "".join(f"{np.nanmean(values):12.4f}" for values in columns)
    tool.log(f"{f'mean (n = {figures.count})':24}{means}")
