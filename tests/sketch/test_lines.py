"""Lines of a drawn face: every part, at any size, by an unsteady hand; landmarks, colours, edges."""

import numpy as np
import pytest

from segmentation.face_classes import FaceClass
from sketch.colors import COLOR_NAMES, chosen_colors, color_text, face_colors, mirrored, parse_color
from sketch.landmarks import POINT_NAMES, eye_distance, face_points, landmark_distance
from sketch.lines import (
    Hand,
    draw,
    drawn_by_hand,
    edges,
    placed_label_map,
    strokes_beyond_face,
    strokes_of_face,
    strokes_of_landmarks,
    transformed,
)
from sketch.pairs import SPLITS, pack_strokes, split_of, unpack_strokes
from tests.segmentation.drawn_faces import BACKGROUND_GREY, HAIR_GREY, SKIN_GREY, draw_face

WHOLE = (0.0, 0.0, 1.0, 1.0)


def names(strokes: list) -> list[str]:
    return [stroke.name for stroke in strokes]


def test_every_part_of_a_face_has_its_lines() -> None:
    label_map, _ = draw_face(gap=12)
    for side, left in ((FaceClass.LEFT_BROW, 72), (FaceClass.RIGHT_BROW, 124)):
        label_map[72:78, left : left + 28] = side
    strokes = strokes_of_face(label_map, WHOLE)
    found = names(strokes)
    assert (found.count("eye"), found.count("brow"), found.count("face")) == (2, 2, 1)
    assert {"nose", "lips", "mouth", "hair"} <= set(found)
    mouth = next(stroke for stroke in strokes if stroke.name == "mouth")
    assert mouth.closed and abs(mouth.points[:, 1].mean() * 224 - 155) < 2
    closed = strokes_of_face(draw_face(gap=1)[0], WHOLE)
    assert not next(stroke for stroke in closed if stroke.name == "mouth").closed
    without = strokes_of_face(draw_face(missing=(FaceClass.LEFT_EYE,))[0], WHOLE)
    assert names(without).count("eye") == 1
    assert strokes_of_face(np.zeros((224, 224), np.uint8), WHOLE) == []


def test_lines_lie_where_the_crop_lay_and_scale_with_the_picture() -> None:
    label_map, _ = draw_face()
    box = (0.25, 0.25, 0.75, 0.75)
    inner = strokes_of_face(label_map, box)
    points = np.concatenate([stroke.points for stroke in inner])
    assert points.min() >= 0.25 and points.max() <= 0.75
    small, large = draw(inner, 64), draw(inner, 256)
    assert small.shape == (64, 64) and small.max() > 128
    shrunk = large.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.9
    assert draw(inner, 128, width=0.03).mean() > 1.5 * draw(inner, 128, width=0.01).mean()


def test_where_the_crop_ends_no_line_is_drawn() -> None:
    label_map, picture = draw_face(hair_bottom=223)
    lowest = max(
        stroke.points[:, 1].max() for stroke in strokes_of_face(label_map, WHOLE) if stroke.name == "hair"
    )
    hair = [stroke.points for stroke in strokes_of_face(label_map, WHOLE) if stroke.name == "hair"]
    along_the_end = sum(int((np.abs(points[:, 1] - 1) < 0.008).sum()) for points in hair)
    assert lowest > 0.95 and along_the_end < 4
    picture[200:, 40:184] = 250  # shoulders
    beyond = strokes_beyond_face(picture, label_map, WHOLE)
    assert any(stroke.name == "shoulder" for stroke in beyond)
    placed = placed_label_map(label_map, (0.25, 0.25, 0.75, 0.75), 100)
    assert placed[50, 42] == FaceClass.SKIN and placed[10, 10] == 255


def test_an_unsteady_hand_stays_near_the_lines_and_is_reproducible() -> None:
    strokes = strokes_of_face(draw_face()[0], WHOLE)
    once, again = (drawn_by_hand(strokes, Hand(drop=0), np.random.default_rng(1)) for _ in range(2))
    assert all(np.array_equal(a.points, b.points) for a, b in zip(once, again, strict=True))
    exact = drawn_by_hand(strokes, Hand(0, 0, 0, 0, 0), np.random.default_rng(1))
    apart = [
        np.abs(np.sort(a.points, 0) - np.sort(b.points, 0)).max() for a, b in zip(exact, strokes, strict=True)
    ]
    assert max(apart) < 1e-6
    wobble = [
        np.abs(a.points.mean(axis=0) - b.points.mean(axis=0)).max()
        for a, b in zip(once, strokes, strict=True)
    ]
    assert 0.0005 < np.median(wobble) < 0.05
    few = drawn_by_hand(strokes, Hand(drop=1.0), np.random.default_rng(1))
    assert len(few) == 1, "a sketch never is empty"
    mirrored = transformed(strokes, np.array([[-1, 0, 1], [0, 1, 0]]))
    assert np.allclose(mirrored[0].points[:, 0], 1 - strokes[0].points[:, 0])


def test_strokes_come_back_from_their_file() -> None:
    strokes = strokes_of_face(draw_face()[0], WHOLE)
    again = unpack_strokes(pack_strokes(strokes))
    assert [(one.name, one.closed) for one in again] == [(one.name, one.closed) for one in strokes]
    assert all(np.array_equal(a.points, b.points) for a, b in zip(again, strokes, strict=True))
    assert unpack_strokes(pack_strokes([])) == []


def test_landmarks_of_a_moved_face_are_apart_by_the_move() -> None:
    label_map, _ = draw_face()
    points = face_points(label_map, WHOLE)
    assert points.shape == (len(POINT_NAMES), 2)
    assert np.isnan(points[:6]).all(), "this face has no brows"
    assert abs(eye_distance(points) * 224 - 52) < 1
    moved = face_points(np.roll(label_map, 5, axis=1), WHOLE)
    assert landmark_distance(points, points) == 0
    assert abs(landmark_distance(points, moved) - 5 / 52) < 0.01
    assert np.isnan(landmark_distance(points, np.full_like(points, np.nan)))


def test_the_documents_lines_join_68_landmarks() -> None:
    strokes = strokes_of_landmarks(np.linspace(0, 1, 136).reshape(68, 2))
    assert sum(len(stroke.points) for stroke in strokes) == 68
    assert sum(stroke.closed for stroke in strokes) == 4
    with pytest.raises(ValueError, match="68 landmarks"):
        strokes_of_landmarks(np.zeros((5, 2)))


def test_colours_are_those_of_the_regions() -> None:
    label_map, picture = draw_face()
    picture[-14:] = (200, 10, 10)
    picture[:, -30:] = (10, 10, 200)
    colors = dict(zip(COLOR_NAMES, face_colors(picture, label_map, WHOLE), strict=True))
    assert np.allclose(colors["hair"], HAIR_GREY) and np.allclose(colors["skin"], SKIN_GREY)
    assert np.allclose(colors["background_left"], BACKGROUND_GREY) and np.allclose(
        colors["clothes"], (200, 10, 10)
    )
    assert color_text(colors["clothes"]) == "#c80a0a" and parse_color("#C80A0A") == (200, 10, 10)
    with pytest.raises(ValueError, match="#rrggbb"):
        parse_color("brown")
    there = np.array([colors[name] for name in COLOR_NAMES])
    sides = dict(zip(COLOR_NAMES, mirrored(there), strict=True))
    assert np.allclose(colors["background_right"], (10, 10, 200))
    assert np.allclose(sides["background_left"], (10, 10, 200)) and np.allclose(sides["hair"], HAIR_GREY)
    label_map[:, label_map.shape[1] // 2 :] = FaceClass.SKIN  # no background there: the other side's
    alone = dict(zip(COLOR_NAMES, face_colors(picture, label_map, WHOLE), strict=True))
    assert np.allclose(alone["background_right"], alone["background_left"])
    palette = np.arange(30, dtype=np.uint8).reshape(2, 5, 3)
    assert chosen_colors(palette, 7, {"skin": (9, 9, 9)})[1].tolist() == [9, 9, 9]


@pytest.mark.parametrize("kind", ["xdog", "canny"])
def test_edges_of_any_picture(kind: str) -> None:
    _, picture = draw_face()
    lines = edges(picture, kind)
    assert lines.shape == picture.shape[:2] and lines.dtype == np.uint8
    assert 0.002 < (lines > 128).mean() < 0.3


def test_a_person_has_one_split_whatever_the_data_set() -> None:
    splits = [split_of(str(number)) for number in range(2000)]
    assert split_of("17") == splits[17]
    for name, share in SPLITS.items():
        assert abs(splits.count(name) / 2000 - share) < 0.03
