"""Training of the small parser: crops like the detector's, seeded batches, exact resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data import portraits
from segmentation.face_classes import CLASS_NAMES
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import FaceXFormer
from segmentation.parser_batches import MIRRORED_CLASS, ParserBatches, crop_label_map, face_boxes
from segmentation.parser_training import ParserTrainer, ParserTrainingOptions
from tests.process_groups import RecordingSGD, assert_same_gradients, in_processes
from tests.segmentation.tiny_parser import TINY


@pytest.fixture(scope="module")
def drawn():
    return portraits.render_many(range(40, 52), 64)


@pytest.fixture(scope="module")
def batches(drawn) -> ParserBatches:
    return ParserBatches(drawn.images, drawn.label_maps, batch_size=2, seed=5)


def make_training(batches: ParserBatches, steps: int = 4) -> ParserTrainer:
    torch.manual_seed(0)
    return ParserTrainer(FaceXFormer(TINY), batches, ParserTrainingOptions(steps=steps, warmup_steps=1))


def test_boxes_are_where_the_detector_sees_faces(drawn) -> None:
    cropper = FaceCropper(margin=0.0)
    detected = np.array([crop.box for crop in cropper(list(drawn.images))]) / 64
    expected = face_boxes(drawn.label_maps)
    assert np.abs(np.median(detected - expected, axis=0)).max() < 0.03
    assert np.abs(detected - expected).max() < 0.15


def test_batch_depends_on_the_seed_and_the_step(drawn, batches: ParserBatches) -> None:
    again = ParserBatches(drawn.images, drawn.label_maps, batch_size=2, seed=5)
    crops, labels = batches.batch(7)
    assert crops.shape == (2, 224, 224, 3) and crops.dtype == torch.uint8
    assert labels.shape == (2, 224, 224) and int(labels.max()) <= 10
    assert all(torch.equal(a, b) for a, b in zip((crops, labels), again.batch(7), strict=True))
    assert not torch.equal(crops, batches.batch(8)[0])


def test_flipped_labels_keep_left_on_the_left(batches: ParserBatches) -> None:
    swapped = {CLASS_NAMES[a]: CLASS_NAMES[b] for a, b in enumerate(MIRRORED_CLASS) if a != b}
    assert all(b == a.replace("left_", "right_") for a, b in swapped.items() if a.startswith("left"))
    columns = np.arange(224)
    for step in range(6):
        for labels in batches.batch(step)[1].numpy():
            left, right = ((labels == CLASS_NAMES.index(f"{side}_brow")).sum(0) for side in ("left", "right"))
            if left.sum() and right.sum():
                assert (left @ columns) / left.sum() < (right @ columns) / right.sum()


def test_two_processes_train_as_one_does(drawn, tmp_path: Path) -> None:
    """The loss is a ratio of sums over a batch, which here divides unevenly."""
    options = ParserTrainingOptions(steps=4, warmup_steps=1, precision="float32")

    def job() -> dict[str, Any]:
        torch.manual_seed(0)
        three = ParserBatches(drawn.images, drawn.label_maps, batch_size=3, seed=5)
        training = ParserTrainer(FaceXFormer(TINY), three, options)
        optimizer = training.optimizer = RecordingSGD(training.optimizer.param_groups)
        return {"losses": [training.step()["loss"] for _ in range(2)], "gradients": optimizer.seen}

    one, (first, second) = job(), in_processes(2, tmp_path, job)
    assert_same_gradients(first["gradients"], one["gradients"])
    assert first["losses"] == second["losses"] == pytest.approx(one["losses"], rel=1e-5)


def test_resumed_training_equals_an_uninterrupted_one(batches: ParserBatches) -> None:
    whole = make_training(batches)
    losses = [whole.step() for _ in range(4)]
    first = make_training(batches)
    assert [first.step() for _ in range(2)] == losses[:2]
    second = make_training(batches)
    second.load_state_dict(first.state_dict())
    assert [second.step() for _ in range(2)] == losses[2:]
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_crop_of_a_label_map() -> None:
    label_map = np.repeat(np.arange(8, dtype=np.uint8)[:, None], 8, axis=1)
    crop = crop_label_map(label_map, np.array([0.0, 0.25, 1.0, 0.75]))
    assert crop.shape == (224, 224)
    assert np.unique(crop).tolist() == [2, 3, 4, 5]
    assert (np.bincount(crop[:, 0])[2:] == 56).all()
