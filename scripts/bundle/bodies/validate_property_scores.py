"""What validate_property_scores does: scores of drawn portraits against the parameters of the drawing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from data import portraits
from data.portraits import COORDINATES, TRUTH_NAMES, sample_latents
from data.portraits.parameters import PROPERTY_COORDINATES
from scripts.pipeline import Tool
from scripts.stages import networks
from scripts.stages.fast_memory import keep_freed_memory
from segmentation.face_classes import CLASS_COUNT
from segmentation.face_crop import FaceCrop, FaceCropper
from segmentation.parser_training import crop_label_map
from segmentation.property_scores import ALGORITHMS, compute_scores
from segmentation.property_table import PROPERTY_NAMES

RESULT = "segmentation/property_score_results/validation.csv"
BATCH = 256  # portraits drawn and measured at once
DETECTION_BATCH = 32  # pictures
SWEEP_ENDS = (0.05, 0.95)  # shares of the parameter's distribution


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one algorithm for N portraits; not valid where no face was found."""

    values: np.ndarray
    """float64 [N, 7]."""
    valid: np.ndarray
    """bool [N, 7]."""
    noisy_values: np.ndarray
    """The same with wrong pixels in the label maps."""
    noisy_valid: np.ndarray
    cpu_s: float
    """Seconds of one processor for `values`."""


def run(tool: Tool, options: Any) -> None:
    """Draw, cut out, measure, print."""
    keep_freed_memory()
    reader = Reader(tool, options)
    truth, scores = reader(range(options.first_seed, options.first_seed + options.count))
    within = read_sweeps(reader, options) if options.people else {}
    tables = []
    for algorithm, one in scores.items():
        table = judge(one, truth)
        table.insert(0, "algorithm", algorithm)
        table.insert(3, "within_r", within.get(algorithm, float("nan")))
        tables.append(table)
    table = pd.concat(tables)
    tool.write(RESULT, table.round(5))
    tool.log(
        f"{options.count} people, {options.people} of them with each property swept in {options.levels} "
        f"levels, {options.size} px, {options.masks} label maps, {options.noise:.1%} wrong pixels"
    )
    tool.log(table.to_string(index=False, float_format="{:.4f}".format))
    tool.finish({"people": str(options.count)}, [RESULT])
    tool.log(f"written to {tool.workspace / RESULT}")


def with_wrong_pixels(label_maps: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Label maps in which a share of the pixels has a random class."""

    rng = np.random.default_rng(seed)
    wrong = rng.random(label_maps.shape) < share
    noisy = label_maps.copy()
    noisy[wrong] = rng.integers(0, CLASS_COUNT, wrong.sum())
    return noisy


class Reader:
    """Draws portraits, cuts out the faces as the segmentation stage does, and scores them."""

    def __init__(self, tool: Tool, options: Any) -> None:
        self.tool, self.options = tool, options
        self.segmenter = networks.load_segmenter(tool) if options.masks == "parser" else None
        self.cropper = FaceCropper(tool.device) if self.segmenter is None else self.segmenter.cropper

    def __call__(
        self, seeds: Sequence[int], latents: np.ndarray | None = None
    ) -> tuple[np.ndarray, dict[int, Scores]]:
        """Truth float [N, 7] in the order of the properties, and the scores of each algorithm.

        `latents` [N, LATENT_SIZE] replaces those that the seeds give.
        """

        truths, batches = [], []
        with self.tool.progress(len(seeds), "portraits") as progress:
            for start in range(0, len(seeds), BATCH):
                part = slice(start, start + BATCH)
                truth, scores = self._read(seeds[part], None if latents is None else latents[part])
                truths.append(truth)
                batches.append(scores)
                progress.update(len(truth))
        columns = [TRUTH_NAMES.index(name) for name in PROPERTY_NAMES]
        merged = {algorithm: merge([batch[algorithm] for batch in batches]) for algorithm in ALGORITHMS}
        return np.concatenate(truths)[:, columns].astype(np.float64), merged

    def _read(self, seeds: Sequence[int], latents: np.ndarray | None) -> tuple[np.ndarray, dict[int, Scores]]:

        drawn = portraits.render_many(seeds, self.options.size, self.options.processes, latents)
        crops: list[FaceCrop | None] = []
        for start in range(0, len(seeds), DETECTION_BATCH):
            crops += self.cropper(list(drawn.images[start : start + DETECTION_BATCH]))
            self.tool.check_stop()
        found = {row: crop for row, crop in enumerate(crops) if crop is not None}
        rows = list(found)
        faces = np.stack([crop.image for crop in found.values()])
        boxes = np.array([crop.box for crop in found.values()])
        if self.segmenter is None:
            label_maps = np.stack(
                [
                    crop_label_map(drawn.label_maps[row], boxes[i] / self.options.size)
                    for i, row in enumerate(rows)
                ]
            )
        else:
            label_maps = self.segmenter.parse(faces).label_maps
        noisy = with_wrong_pixels(label_maps, self.options.noise, seeds[0])
        pictures = drawn.images[rows]
        return drawn.truth, {
            algorithm: spread(score(algorithm, label_maps, noisy, faces, pictures, boxes), rows, len(seeds))
            for algorithm in ALGORITHMS
        }


def score(
    algorithm: int, label_maps: np.ndarray, noisy: np.ndarray, *pictures_and_boxes: np.ndarray
) -> Scores:
    """Scores with the label maps and with the noisy ones, of faces, whole pictures and boxes."""
    faces, pictures, boxes = pictures_and_boxes
    started_at = time.process_time()
    values, valid = compute_scores(label_maps, faces, algorithm, pictures, boxes)
    cpu_s = time.process_time() - started_at
    return Scores(values, valid, *compute_scores(noisy, faces, algorithm, pictures, boxes), cpu_s)


def spread(scores: Scores, rows: Sequence[int], count: int) -> Scores:
    """The scores of the portraits with a face, `rows`, among all `count`."""

    def among_all(array: np.ndarray, fill: float) -> np.ndarray:
        whole = np.full((count, array.shape[1]), fill, array.dtype)
        whole[rows] = array
        return whole

    values, noisy_values = (among_all(array, np.nan) for array in (scores.values, scores.noisy_values))
    valid, noisy_valid = (among_all(array, False) for array in (scores.valid, scores.noisy_valid))
    return Scores(values, valid, noisy_values, noisy_valid, scores.cpu_s)


def merge(batches: Sequence[Scores]) -> Scores:
    """Scores of several batches, one after the other."""
    return Scores(
        np.concatenate([batch.values for batch in batches]),
        np.concatenate([batch.valid for batch in batches]),
        np.concatenate([batch.noisy_values for batch in batches]),
        np.concatenate([batch.noisy_valid for batch in batches]),
        sum(batch.cpu_s for batch in batches),
    )


def explained(score_column: np.ndarray, truth: np.ndarray) -> float:
    """R2 of a linear regression of a score [N] on true parameters [N, P]: the share of its variance."""
    design = np.column_stack([np.ones(len(truth)), truth])
    coefficients = np.linalg.lstsq(design, score_column, rcond=None)[0]
    residual = score_column - design @ coefficients
    return 1 - (residual**2).sum() / ((score_column - score_column.mean()) ** 2).sum()


def influence(score_column: np.ndarray, truth: np.ndarray, own: int) -> tuple[float, float, int]:
    """What the parameters other than `own` explain of a score [N] beyond what its own explains.

    Returns:
        (share of the score's variance, the same as a share of what its own parameter leaves unexplained - the
        partial R2 -, index of the parameter that explains most).
    """
    by_own, by_all = explained(score_column, truth[:, [own]]), explained(score_column, truth)
    without = [explained(score_column, np.delete(truth, other, axis=1)) for other in range(truth.shape[1])]
    without[own] = np.inf
    return by_all - by_own, (by_all - by_own) / (1 - by_own), int(np.argmin(without))


def within_person(values: np.ndarray, valid: np.ndarray, truth: np.ndarray) -> float:
    """Median over people of the correlation of a score with the truth while its property is swept.

    Args:
        values: float [people, levels] scores.
        valid: bool [people, levels].
        truth: float [people, levels].

    Returns:
        the median; a person whose score does not move counts as 0.
    """
    found = []
    for person_values, good, person_truth in zip(values, valid, truth, strict=True):
        x, y = person_values[good], person_truth[good]
        moves = good.sum() >= 3 and np.ptp(x) > 0
        found.append(np.corrcoef(x, y)[0, 1] if moves else 0.0)
    return float(np.median(found))


def sweep_latents(first_seed: int, people: int, levels: int) -> np.ndarray:
    """Latents of people with one property swept: float32 [people, 7, levels, LATENT_SIZE]."""

    steps = [NormalDist().inv_cdf(share) for share in np.linspace(*SWEEP_ENDS, levels)]
    latents = sample_latents(range(first_seed, first_seed + people))
    swept = np.tile(latents[:, None, None], (1, len(PROPERTY_COORDINATES), levels, 1))
    for index, name in enumerate(PROPERTY_COORDINATES):
        swept[:, index, :, COORDINATES.index(name)] = steps
    return swept


def read_sweeps(reader: Reader, options: Any) -> dict[int, list[float]]:
    """Median correlation within a person, per algorithm and property."""
    swept = sweep_latents(options.first_seed, options.people, options.levels)
    shape = swept.shape[:3]
    seeds = np.repeat(options.first_seed + np.arange(options.people), shape[1] * shape[2]).tolist()
    truth, scores = reader(seeds, swept.reshape(len(seeds), -1))

    def of_property(array: np.ndarray, index: int) -> np.ndarray:
        return array.reshape(*shape, -1)[:, index, :, index]

    return {
        algorithm: [
            within_person(*(of_property(array, index) for array in (one.values, one.valid, truth)))
            for index in range(shape[1])
        ]
        for algorithm, one in scores.items()
    }


def judge(scores: Scores, truth: np.ndarray) -> pd.DataFrame:
    """One row per property."""

    rows = []
    for column, name in enumerate(PROPERTY_NAMES):
        good = scores.valid[:, column]
        values, both = scores.values[good, column], good & scores.noisy_valid[:, column]
        shift = np.abs(scores.noisy_values[both, column] - scores.values[both, column])
        others_r2, partial_r2, strongest = influence(values, truth[good], column)
        rows.append(
            {
                "property": name,
                "r": np.corrcoef(values, truth[good, column])[0, 1],
                "others_r2": others_r2,
                "others_partial_r2": partial_r2,
                "strongest_other": PROPERTY_NAMES[strongest],
                "noise_shift_sd": shift.mean() / values.std(),
                "valid_share": good.mean(),
                "cpu_ms_per_image": scores.cpu_s / len(good) * 1e3,
            }
        )
    return pd.DataFrame(rows)
