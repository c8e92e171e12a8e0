"""Figures of a parser: against exact label maps, and against itself on mirrored pictures."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data import portraits
from segmentation.face_classes import CLASS_COUNT, CLASS_NAMES, FaceClass
from segmentation.face_crop import FaceCrop
from segmentation.parser_evaluation import compare_with_truth, parse_mirrored, score_agreement
from segmentation.parsing import parse_faces
from segmentation.property_table import PROPERTY_NAMES
from tests.segmentation.drawn_faces import draw_face


class BrightnessParser(nn.Module):
    """Hair where a picture is dark; elsewhere left or right eye, by the half of the picture."""

    def __init__(self, knows_sides: bool = True) -> None:
        super().__init__()
        self.weight, self.knows_sides = nn.Parameter(torch.zeros(1)), knows_sides

    def forward(self, images: Tensor, tasks: object, precision: object) -> dict[str, Tensor]:
        logits = torch.zeros(len(images), CLASS_COUNT, *images.shape[2:])
        logits[:, FaceClass.HAIR] = -5 * images.mean(dim=1)
        middle = images.shape[3] // 2 if self.knows_sides else 0
        logits[:, FaceClass.LEFT_EYE, :, :middle] = 0.1
        logits[:, FaceClass.RIGHT_EYE, :, middle:] = 0.1
        return {"segmentation": logits}


def test_figures_against_truths_of_two_sizes() -> None:
    fine = np.zeros((2, 8, 8), np.uint8)
    fine[:, :, 4:] = FaceClass.SKIN
    coarse, predicted = fine.copy(), fine.copy()
    coarse[:, :, 4] = FaceClass.BACKGROUND
    predicted[0, :, 4:6] = FaceClass.BACKGROUND
    figures = compare_with_truth(predicted, fine, coarse)
    assert figures.iou[:2] == pytest.approx([64 / 80, 48 / 64])
    assert figures.ceiling[:2] == pytest.approx([64 / 80, 48 / 64])
    assert figures.iou_at_picture_size[:2] == pytest.approx([72 / 88, 40 / 56])
    assert figures.confusion[:2, :2] == pytest.approx(np.array([[1, 0], [0.25, 0.75]]))
    assert (figures.confusion[2:] == 0).all(), "a class without truth has no shares"
    plain = json.loads(json.dumps(figures.to_dict(), allow_nan=False))
    assert plain["mean_iou"] == pytest.approx(0.775)
    assert list(plain["iou"]) == list(CLASS_NAMES)
    assert plain["iou"]["hair"] is None


@pytest.mark.parametrize("knows_sides", [True, False])
def test_agreement_by_way_of_the_mirror(knows_sides: bool) -> None:
    _, image = draw_face(turn=12)
    box = (0.0, 0.0, 224.0, 224.0)
    crop = FaceCrop(box, 1.0, 1, image)
    parser = BrightnessParser(knows_sides).eval()
    predicted = parse_faces(parser, image[None]).label_maps
    agreement = (predicted == parse_mirrored(parser, [image], [crop])).mean()
    if knows_sides:
        assert agreement > 0.97
    else:
        assert agreement < 0.5, "a parser that takes left for right must be found out"


def test_scores_agree_over_the_faces_that_both_can_measure() -> None:
    drawn = portraits.render_many(range(6), 224, processes=1)
    boxes = np.tile((0, 0, 224, 224), (6, 1))
    blind = drawn.label_maps.copy()  # in the first face a mouth is missed
    blind[0][np.isin(blind[0], (FaceClass.UPPER_LIP, FaceClass.INNER_MOUTH, FaceClass.LOWER_LIP))] = (
        FaceClass.SKIN
    )
    found = score_agreement(blind, drawn.label_maps, drawn.images, drawn.images, boxes)
    assert found == pytest.approx(dict.fromkeys(PROPERTY_NAMES, 1.0))
    swapped = drawn.label_maps[::-1]
    assert score_agreement(swapped, drawn.label_maps, drawn.images, drawn.images, boxes)["pose"] < 0.9
