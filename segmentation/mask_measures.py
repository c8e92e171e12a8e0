"""Measurements of regions (boolean masks) for a batch of images at once, in numpy.

Brightness is handled as the sum R + G + B, an integer from 0 to 765: a histogram of 766 bins per image holds
a region's brightness exactly, so means, medians and trimmed moments need no sorting.
"""

from dataclasses import dataclass, replace

import numpy as np

BRIGHTNESS_BINS = 3 * 255 + 1
PIXEL_VARIANCE = 1 / 12  # of a position spread evenly over one pixel
_THREE_BYTES = np.dtype("V3")  # a pixel as one item is selected five times as fast as a row of three
_BYTE_MAX = 255  # so many ones add up without overflow in a byte; NumPy adds bytes five times as fast


def class_mask(label_map: np.ndarray, first: int, last: int | None = None) -> np.ndarray:
    """Pixels whose class is `first`, or from `first` to `last`: uint8 [N, H, W] -> bool [N, H, W]."""
    # A member of an enumeration would be compared as an int64 array, at a tenth of the speed.
    if last is None:
        return label_map == int(first)
    return (label_map >= int(first)) & (label_map <= int(last))


def brightness_histograms(mask: np.ndarray, image_rgb: np.ndarray) -> np.ndarray:
    """Histogram of R + G + B over each image's region.

    Args:
        mask: bool [N, H, W], the region.
        image_rgb: uint8 [N, H, W, 3].

    Returns:
        int64 [N, 766]; entry [n, s] counts the region's pixels whose channels sum to s.
    """
    histograms = np.empty((len(mask), BRIGHTNESS_BINS), np.int64)
    for histogram, inside, image in zip(histograms, mask, image_rgb, strict=True):
        pixels = image.reshape(-1).view(_THREE_BYTES)[inside.ravel()].view(np.uint8).reshape(-1, 3)
        brightness = pixels[:, 0].astype(np.uint16)
        brightness += pixels[:, 1]
        brightness += pixels[:, 2]
        histogram[:] = np.bincount(brightness, minlength=BRIGHTNESS_BINS)
    return histograms


def row_counts(mask: np.ndarray) -> np.ndarray:
    """Pixels of the region in each row: bool [N, H, W] -> int64 [N, H]."""
    return _counts(mask, axis=2)


def column_counts(mask: np.ndarray) -> np.ndarray:
    """Pixels of the region in each column: bool [N, H, W] -> int64 [N, W]."""
    return _counts(mask, axis=1)


def _counts(mask: np.ndarray, axis: int) -> np.ndarray:
    cuts = range(_BYTE_MAX, mask.shape[axis], _BYTE_MAX)
    parts = np.split(mask.view(np.uint8), cuts, axis)
    return sum(part.sum(axis=axis, dtype=np.uint8).astype(np.int64) for part in parts)


def window(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """Index of the smallest window that holds the regions of all N images; the rest need not be looked at.

    Args:
        mask: bool [N, H, W].

    Returns:
        slices of images (all of them), rows and columns; of one pixel where there are no regions.
    """
    anywhere = np.any(mask, axis=0)
    return slice(None), _span(np.any(anywhere, axis=1)), _span(np.any(anywhere, axis=0))


def _span(occupied: np.ndarray) -> slice:
    """From the first to the last true position of bool [L]; the first position if there is none."""
    positions = np.flatnonzero(occupied)
    return slice(int(positions[0]), int(positions[-1]) + 1) if len(positions) else slice(0, 1)


def trimmed_histograms(histograms: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Histograms of the values with sorted index start <= index < stop.

    Args:
        histograms: int64 [N, B].
        start: int64 [N], first sorted index kept.
        stop: int64 [N], one past the last sorted index kept; nothing is kept where stop <= start.

    Returns:
        int64 [N, B].
    """
    upper = np.cumsum(histograms, axis=1)
    lower = upper - histograms
    kept = np.minimum(upper, stop[:, None]) - np.maximum(lower, start[:, None])
    return np.maximum(kept, 0)


def trim_shares(histograms: np.ndarray, low_share: float, high_share: float) -> np.ndarray:
    """Histograms of the sorted values from index int(low_share n) up to, without, int(high_share n)."""
    count = histograms.sum(axis=1)
    start = (low_share * count).astype(np.int64)
    stop = (high_share * count).astype(np.int64)
    return trimmed_histograms(histograms, start, stop)


def histogram_moments(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of the channel mean (R + G + B) / 3, range 0 to 255.

    Args:
        histograms: int64 [N, 766] as from `brightness_histograms`.

    Returns:
        (mean, std), each float64 [N]; NaN where a histogram is empty.
    """
    values = np.arange(histograms.shape[1]) / 3
    count = histograms.sum(axis=1)
    safe_count = np.maximum(count, 1)
    mean = histograms @ values / safe_count
    deviation = (values - mean[:, None]) ** 2
    variance = (histograms * deviation).sum(axis=1) / safe_count
    empty = count == 0
    return np.where(empty, np.nan, mean), np.where(empty, np.nan, np.sqrt(variance))


def histogram_median(histograms: np.ndarray) -> np.ndarray:
    """Median of the channel mean, float64 [N]; NaN where a histogram is empty."""
    count = histograms.sum(axis=1)
    start = np.maximum(count - 1, 0) // 2
    middle = trimmed_histograms(histograms, start, count // 2 + 1)
    return histogram_moments(middle)[0]


def extents(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last true position along the last axis.

    Args:
        occupied: bool [..., L].

    Returns:
        (first, last, present): int64, int64 and bool, each [...]. Where nothing is true, first and last are
        0.
    """
    present = np.any(occupied, axis=-1)
    first = occupied.argmax(axis=-1)
    last = occupied.shape[-1] - 1 - occupied[..., ::-1].argmax(axis=-1)
    return first, np.where(present, last, 0), present


def extent_height(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last minus first row of each region: (int64 [N], 0 where it is absent; bool [N], present)."""
    first, last, present = extents(row_counts(mask) > 0)
    return last - first, present


@dataclass(frozen=True)
class Region:
    """Moments of one region in each of N masks, float64 [N] each, in pixels; NaN (area 0) where it is absent.

    Variances include the 1/12 of a pixel's own extent, so that even a single pixel has a width.
    """

    area: np.ndarray
    x: np.ndarray
    y: np.ndarray
    variance_x: np.ndarray
    variance_y: np.ndarray

    def moved(self, x: float, y: float) -> "Region":
        """The same regions with another origin: of a window, for example, in the whole mask."""
        return replace(self, x=self.x + x, y=self.y + y)


def _within_reach(counts: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Positions no farther than `reach` [N] from the median position of `counts` [N, L]: bool [N, L]."""
    running = np.cumsum(counts, axis=1)
    median = (2 * running >= running[:, -1:]).argmax(axis=1)
    distance = np.abs(np.arange(counts.shape[1]) - median[:, None])
    return distance <= np.nan_to_num(reach)[:, None]


def near_median(mask: np.ndarray, reach_x: np.ndarray, reach_y: np.ndarray) -> np.ndarray:
    """The part of each region around its median column and row; leaves out stray pixels elsewhere.

    Args:
        mask: bool [N, H, W].
        reach_x: float64 [N], largest distance kept from the median column, pixels; NaN counts as 0.
        reach_y: float64 [N], the same for rows.

    Returns:
        bool [N, H, W].
    """
    columns = _within_reach(column_counts(mask), reach_x)
    rows = _within_reach(row_counts(mask), reach_y)
    return mask & columns[:, None, :] & rows[:, :, None]


def region(mask: np.ndarray) -> Region:
    """Moments of each region: bool [N, H, W] -> `Region`."""
    per_column, per_row = column_counts(mask), row_counts(mask)
    x, variance_x = _moments(per_column)
    y, variance_y = _moments(per_row)
    return Region(per_row.sum(axis=1).astype(np.float64), x, y, variance_x, variance_y)


def _moments(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the position, weighted by `counts` [N, L]; NaN where all counts are 0."""
    position = np.arange(counts.shape[1], dtype=np.float64)
    total = counts.sum(axis=1)
    total = np.where(total > 0, total, np.nan)
    mean = counts @ position / total
    variance = (counts @ position**2) / total - mean**2
    return mean, variance + PIXEL_VARIANCE


def correlation(mask: np.ndarray) -> np.ndarray:
    """Pearson correlation of x and y over each region's pixels.

    Args:
        mask: bool [N, H, W].

    Returns:
        float64 [N]; NaN where it is undefined (no pixels, a single row or a single column).
    """
    mask = mask[window(mask)]
    whole = region(mask)
    column_offset = np.arange(mask.shape[2]) - np.nan_to_num(whole.x)[:, None]
    row_offset = np.arange(mask.shape[1]) - np.nan_to_num(whole.y)[:, None]
    weighted_columns = np.einsum("nhw,nw->nh", mask.astype(np.float64), column_offset)
    covariance = (weighted_columns * row_offset).sum(axis=1) / np.maximum(whole.area, 1)
    first_column, last_column, _ = extents(np.any(mask, axis=1))
    first_row, last_row, _ = extents(np.any(mask, axis=2))
    defined = (last_column > first_column) & (last_row > first_row)
    product = (whole.variance_x - PIXEL_VARIANCE) * (whole.variance_y - PIXEL_VARIANCE)
    return np.where(defined, covariance / np.sqrt(np.where(defined, product, 1.0)), np.nan)


def longest_chord_cosine(mask: np.ndarray) -> np.ndarray:
    """Horizontal share |dx| / distance of each region's farthest pair of pixels.

    Only each row's outermost pixels can be an end of the farthest pair, so all pairs of rows are compared.
    Among equally distant pairs the one with the largest |dx| counts.

    Args:
        mask: bool [N, H, W].

    Returns:
        float64 [N], 0 to 1; 1 where the region has fewer than two pixels.
    """
    mask = mask[window(mask)]
    left, right, present = extents(mask)
    # Columns of an empty row are moved so that no pair with this row is chosen.
    left = np.where(present, left, mask.shape[2])
    right = np.where(present, right, -1)
    span = np.maximum(right[:, :, None] - left[:, None, :], right[:, None, :] - left[:, :, None])
    rise = np.abs(np.arange(mask.shape[1])[:, None] - np.arange(mask.shape[1])[None, :])
    both = present[:, :, None] & present[:, None, :]
    squared = np.where(both, span**2 + rise**2, -1).reshape(len(mask), -1)
    span = span.reshape(len(mask), -1)
    farthest = (squared * (mask.shape[2] + 1) + span).argmax(axis=1)[:, None]
    chosen_squared = np.take_along_axis(squared, farthest, axis=1)[:, 0]
    chosen_span = np.take_along_axis(span, farthest, axis=1)[:, 0]
    more_than_one = chosen_squared > 0
    return np.where(more_than_one, chosen_span / np.sqrt(np.where(more_than_one, chosen_squared, 1)), 1.0)
