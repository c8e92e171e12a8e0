"""Property scores, algorithm 3: in units of the face and steady under wrong pixels, for training labels.

Areas and moments take the place of first and last rows, small parts are looked for around the median of their
pixels, and lengths are divided by lengths of the same face. The entry point is
`property_scores.compute_scores`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from segmentation import mask_measures as measures
from segmentation.face_classes import FaceClass
from segmentation.mask_measures import Region, class_mask

# Smaller regions count as missing; shares of the label map's pixels (5, 50 and 1,004 of 224 x 224).
_MIN_PART_SHARE = 1e-4
_MIN_AREA_SHARE = 1e-3  # of hair and background, which stray pixels all over the picture could stand for
_MIN_FACE_SHARE = 0.02


@dataclass(frozen=True)
class Face:
    """Regions of N faces; lengths in pixels of the label map, float64 [N], NaN where a region is missing.

    A region's width and height are those of an ellipse with its variances: four deviations.
    """

    whole: Region  # skin and everything inside it
    left_eye: Region
    right_eye: Region
    nose: Region
    mouth: Region  # the lips and what they enclose
    inner_mouth_area: np.ndarray
    width: np.ndarray
    height: np.ndarray

    @property
    def eye_y(self) -> np.ndarray:
        """Row of the eyes, the same for open and closed ones.

        It is mostly the upper lid that moves, so the row one deviation below an eye's middle stays in place.
        """
        left, right = (eye.y + np.sqrt(eye.variance_y) for eye in (self.left_eye, self.right_eye))
        return _mean_of_present(left, right)


def measure_v3(
    label_map: np.ndarray,
    image_rgb: np.ndarray,
    pictures: np.ndarray,
    boxes: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Measure the seven properties.

    Args:
        label_map: uint8 [N, H, W], class ids.
        image_rgb: uint8 [N, H, W, 3], the face crops.
        pictures: uint8 [N, PH, PW, 3], the whole pictures.
        boxes: float64 [N, 4], the crops' left, top, right and bottom in pixels of the pictures.

    Returns:
        (values float64 [N], valid bool [N]) of each property, in the order of the property table; NaN if not
        valid.
    """
    face = find_face(label_map)
    hair = class_mask(label_map, FaceClass.HAIR) & ~np.isnan(face.width)[:, None, None]
    background = background_mask(label_map, face, boxes, pictures.shape[1:3])
    values = (
        _eyes(face),
        _trimmed_moments(lit_hair(face, hair), image_rgb, 0.1)[0],
        (hair_end(face, hair) - face.eye_y) / face.width,
        _mouth(face),
        (face.nose.x - face.whole.x) / face.width,  # pose: a turn moves the nose most and the outline least
        *_trimmed_moments(background, pictures, 0.01),
    )
    return [(value, ~np.isnan(value)) for value in values]


def find_face(label_map: np.ndarray) -> Face:
    """Regions of the faces in uint8 [N, H, W]."""
    pixel_count = label_map.shape[1] * label_map.shape[2]
    inside = class_mask(label_map, FaceClass.SKIN, FaceClass.LOWER_LIP)
    whole = _where_large(measures.region(inside), _MIN_FACE_SHARE * pixel_count)
    # An ellipse reaches two standard deviations to each side.
    width, height = 4 * np.sqrt(whole.variance_x), 4 * np.sqrt(whole.variance_y)

    # All parts lie within the face, each in a small window of it.
    _, rows, columns = place = measures.window(inside)
    labels = label_map[place].copy()  # in one piece, in which classes are found faster

    def near(low: FaceClass, high: FaceClass, reach: float) -> tuple[np.ndarray, tuple[slice, ...]]:
        """Pixels of the classes low to high near their median, in a window of `labels`, and the window."""
        mask = class_mask(labels, low, high)
        place = measures.window(mask)
        return measures.near_median(mask[place], reach * width, reach * height), place

    def part(mask: np.ndarray, place: tuple[slice, ...]) -> Region:
        found = _where_large(measures.region(mask), _MIN_PART_SHARE * pixel_count)
        return found.moved(x=columns.start + place[2].start, y=rows.start + place[1].start)

    mouth, mouth_place = near(FaceClass.UPPER_LIP, FaceClass.LOWER_LIP, 0.35)
    inner_mouth = mouth & class_mask(labels[mouth_place], FaceClass.INNER_MOUTH)
    return Face(
        whole=whole,
        left_eye=part(*near(FaceClass.LEFT_EYE, FaceClass.LEFT_EYE, 0.25)),
        right_eye=part(*near(FaceClass.RIGHT_EYE, FaceClass.RIGHT_EYE, 0.25)),
        nose=part(*near(FaceClass.NOSE, FaceClass.NOSE, 0.35)),
        mouth=part(mouth, mouth_place),
        inner_mouth_area=measures.row_counts(inner_mouth).sum(axis=1),
        width=width,
        height=height,
    )


def _where_large(region: Region, min_area: float) -> Region:
    """The region, missing (area 0, moments NaN) where it is smaller than `min_area`."""
    large = region.area >= min_area
    moments = (region.x, region.y, region.variance_x, region.variance_y)
    return Region(np.where(large, region.area, 0.0), *(np.where(large, moment, np.nan) for moment in moments))


def _mean_of_present(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean of two measurements; the other one where one is NaN."""
    return (np.where(np.isnan(first), second, first) + np.where(np.isnan(second), first, second)) / 2


def _eyes(face: Face) -> np.ndarray:
    """Mean height of the eyes over their mean width; 0.02 or so for a closed lid's line, 0.6 wide open."""
    both = (face.left_eye, face.right_eye)
    width = _mean_of_present(*(4 * np.sqrt(eye.variance_x) for eye in both))
    # A turn of the head widens one eye as much as it narrows the other, so both share one width. Half-found
    # lines of closed eyes are too narrow; dividing by their width would make them look open.
    width = np.fmax(width, 0.2 * face.width)
    heights = (np.where(eye.area > 0, eye.area / (np.pi / 4 * width), np.nan) for eye in both)
    return _mean_of_present(*heights) / width


def lit_hair(face: Face, hair: np.ndarray) -> np.ndarray:
    """The hair [N, H, W] whose brightness counts; beside the mouth and below it is often in the shade.

    Where there is no hair above, the other hair counts.
    """
    above_mouth = np.arange(hair.shape[1]) < (face.whole.y + 0.2 * face.height)[:, None]
    enough = _MIN_AREA_SHARE * hair.shape[1] * hair.shape[2]
    has_upper = (measures.row_counts(hair) * above_mouth).sum(axis=1) >= enough
    return hair & (above_mouth | ~has_upper[:, None])[:, :, None]


def hair_end(face: Face, hair: np.ndarray) -> np.ndarray:
    """Last row with a strand of the hair [N, H, W], guessed where that lies below the crop: float64 [N]."""
    per_row = measures.row_counts(hair)
    _, last, present = measures.extents(per_row >= 0.06 * face.width[:, None])
    # Hair that leaves the crop is taken to go on below in proportion to the width at which it leaves.
    # Averaging over a few rows makes the passage gradual.
    bottom_rows = max(1, round(hair.shape[1] / 56))
    return np.where(present, last + 0.15 * per_row[:, -bottom_rows:].mean(axis=1), np.nan)


def _mouth(face: Face) -> np.ndarray:
    """Mean height of the opening between the lips over the face's size; 0 when closed."""
    mouth_width = 4 * np.sqrt(face.mouth.variance_x)
    return face.inner_mouth_area / mouth_width / np.sqrt(face.width * face.height)


def _trimmed_moments(mask: np.ndarray, pictures: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of a region's brightness, 0 to 255, without its darkest and brightest `share`."""
    histograms = measures.brightness_histograms(mask, pictures)
    enough = histograms.sum(axis=1) >= _MIN_AREA_SHARE * mask.shape[1] * mask.shape[2]
    moments = measures.histogram_moments(measures.trim_shares(histograms, share, 1 - share))
    mean, deviation = (np.where(enough, moment, np.nan) for moment in moments)
    return mean, deviation


def background_mask(
    label_map: np.ndarray, face: Face, boxes: np.ndarray, picture_shape: tuple[int, ...]
) -> np.ndarray:
    """Pixels of the whole pictures that are surely background: bool [N, PH, PW].

    Class 0 has neck, ears and clothes as well: pixels below the chin count only the farther out the lower
    they are, and beside the eyes and below only those outside the face's columns count.
    """
    height, width = picture_shape
    geometry = np.stack([face.whole.x, face.whole.y, face.width, face.height, face.eye_y])
    geometry = to_picture(geometry, boxes, label_map.shape[1:])[:, :, None]
    center_x, center_y, face_width, face_height, eye_y = geometry
    aside = np.abs(np.arange(width) + 0.5 - center_x) / face_width
    lowest = center_y + face_height * (0.5 + 0.4 * np.maximum(aside - 0.5, 0))
    lowest = np.where(aside < 0.5, np.fmin(lowest, eye_y - 0.1 * face_height), lowest)
    # Row r counts where its middle r + 0.5 lies above: in whole numbers, which compare faster.
    row_count = np.ceil(np.clip(np.nan_to_num(lowest) - 0.5, 0, height)).astype(np.uint16)
    free = np.arange(height, dtype=np.uint16)[:, None] < row_count[:, None, :]
    # Pixels at the edge of the head mix its colour with the background's.
    reach = max(1, round(height / 56))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    class_0 = class_mask(labels_in_picture(label_map, boxes, picture_shape), FaceClass.BACKGROUND)
    return np.stack([cv2.erode(one, kernel) for one in class_0.view(np.uint8)]).view(bool) & free


def labels_in_picture(label_map: np.ndarray, boxes: np.ndarray, picture_shape: tuple[int, ...]) -> np.ndarray:
    """Label maps laid back over their whole pictures: uint8 [N, PH, PW].

    Outside the box the nearest pixel's class is continued: hair that the crop's edge cuts goes on beyond it.
    """
    size = label_map.shape[1:]
    top_left, extent = boxes[:, 1::-1], boxes[:, :1:-1] - boxes[:, 1::-1]  # (y, x) each
    rows, columns = (
        np.clip(
            (
                (np.arange(picture_shape[axis]) + 0.5 - top_left[:, axis, None])
                / extent[:, axis, None]
                * size[axis]
            ),
            0,
            size[axis] - 1,
        ).astype(np.int64)
        for axis in (0, 1)
    )
    laid_back = [
        one[row].take(column, axis=1) for one, row, column in zip(label_map, rows, columns, strict=True)
    ]
    return np.stack(laid_back)


def to_picture(geometry: np.ndarray, boxes: np.ndarray, label_shape: tuple[int, ...]) -> np.ndarray:
    """Centre x and y, width, height, row of the eyes [5, N]: from the label map's pixels to the picture's."""
    left, top, right, bottom = boxes.T
    scale_x, scale_y = (right - left) / label_shape[1], (bottom - top) / label_shape[0]
    center_x, center_y, width, height, eye_y = geometry
    return np.stack(
        [
            left + center_x * scale_x,
            top + center_y * scale_y,
            width * scale_x,
            height * scale_y,
            top + eye_y * scale_y,
        ]
    )
