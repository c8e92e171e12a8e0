"""Label maps, their colours, and the measures of agreement."""

import numpy as np
import pytest
import torch

from data import portraits
from scripts.pipeline import REPOSITORY
from segmentation.face_classes import CLASS_NAMES, PALETTE
from segmentation.facexformer import FaceXFormer, load_facexformer
from segmentation.parsing import (
    best_precision,
    count_pixels,
    intersection_over_union,
    parse_faces,
    visualize,
)
from tests.segmentation.tiny_parser import TINY


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny() -> FaceXFormer:
    torch.manual_seed(0)
    return FaceXFormer(TINY).eval()


def test_parse_is_the_argmax_whatever_the_batch(tiny: FaceXFormer, faces: np.ndarray) -> None:
    label_maps, probability, *_ = parse_faces(tiny, faces, batch_size=2)
    assert label_maps.shape == (5, 224, 224) and label_maps.dtype == np.uint8
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = torch.from_numpy(((faces / 255 - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = tiny(normalized, tasks=("segmentation",))["segmentation"]
    assert (logits.argmax(1).numpy() == label_maps).mean() > 0.999
    chosen = logits.softmax(1).amax(1).mean((1, 2)).numpy()
    np.testing.assert_allclose(probability, chosen, atol=1e-4)
    assert (parse_faces(tiny, faces[3:4]).label_maps[0] == label_maps[3]).mean() > 0.999


def test_parse_refuses_what_it_would_misread(tiny: FaceXFormer, faces: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        parse_faces(tiny, faces.astype(np.float32))
    with pytest.raises(ValueError, match="training mode"):
        parse_faces(FaceXFormer(TINY).train(), faces)


def test_visualization_is_half_picture_half_colour() -> None:
    label_map = np.arange(11, dtype=np.uint8)[None]
    face = np.full((1, 11, 3), 101, np.uint8)
    colors = visualize(face, label_map)
    assert np.abs(colors[0] - (101 + PALETTE.astype(float)) / 2).max() <= 0.5
    assert PALETTE[10].tolist() == [255, 0, 102] and len(CLASS_NAMES) == len(PALETTE) == 11


def test_counts_and_iou() -> None:
    truth = np.array([[0, 0, 1, 1], [0, 0, 10, 10]], np.uint8)
    guess = np.array([[0, 0, 0, 1], [0, 0, 10, 10]], np.uint8)
    assert count_pixels(truth).tolist() == [4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    iou = intersection_over_union(guess, truth)
    np.testing.assert_allclose(iou[[0, 1, 10]], [4 / 5, 1 / 2, 1])
    assert np.isnan(iou[2:10]).all()


def test_further_tasks_come_from_the_same_pass(tiny: FaceXFormer, faces: np.ndarray) -> None:
    plain = parse_faces(tiny, faces[:3], batch_size=2)
    more = parse_faces(tiny, faces[:3], batch_size=2, further_tasks=("headpose", "age"))
    assert np.array_equal(plain.label_maps, more.label_maps) and plain.outputs == {}
    assert {task: output.shape for task, output in more.outputs.items()} == {
        "headpose": (3, 3),
        "age": (3, 8),
    }
    none = parse_faces(tiny, faces[:0], further_tasks=("age",))
    assert none.label_maps.shape == (0, 224, 224) and none.outputs["age"].shape == (0, 8)


def test_mixed_precision_is_another_arithmetic_and_stays_close() -> None:
    """On the bundled parser: the backbone of a random one hardly matters, so nothing could go wrong there."""
    parser = load_facexformer(REPOSITORY / "data/embedded/segmentation_model.safetensors")
    drawn = portraits.render_many([3, 4], 224).images
    exact, rough = (parse_faces(parser, drawn, precision=kind) for kind in (torch.float32, torch.bfloat16))
    again = parse_faces(parser, drawn, batch_size=1)
    error, noise = (np.abs(exact.probabilities - other.probabilities).max() for other in (rough, again))
    assert 10 * noise < error < 0.01
    assert (exact.label_maps == rough.label_maps).mean() > 0.995


@pytest.mark.parametrize("is_native", [True, False])
def test_bfloat16_is_chosen_where_the_device_calculates_in_it(monkeypatch, is_native: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": is_native})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_native)
    expected = torch.bfloat16 if is_native else torch.float32
    assert [best_precision(torch.device(name)) for name in ("cpu", "cuda")] == [expected] * 2
    assert best_precision(torch.device("mps")) == torch.float32
