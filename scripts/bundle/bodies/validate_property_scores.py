"""What validate_property_scores does: scores of drawn portraits against the parameters of the drawing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

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
from segmentation.parser_batches import crop_label_map
from segmentation.property_scores import ALGORITHMS, compute_scores
from segmentation.property_table import PROPERTY_NAMES

RESULT = "segmentation/property_score_results/validation.csv"
BATCH = 256  # portraits drawn and measured at once
DETECTION_BATCH = 32  # pictures
SWEEP_ENDS = (0.05, 0.95)  # shares of the parameter's distribution


class Scores(NamedTuple):
    """Scores of one algorithm for N portraits, float64 [N, 7]; NaN where one cannot be measured."""

    values: np.ndarray
    noisy: np.ndarray
    """The same with wrong pixels in the label maps."""
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
        merged = {}
        for algorithm in ALGORITHMS:
            values, noisy, cpu_s = zip(*(batch[algorithm] for batch in batches), strict=True)
            merged[algorithm] = Scores(np.concatenate(values), np.concatenate(noisy), sum(cpu_s))
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
            shares = boxes / self.options.size
            maps = (crop_label_map(drawn.label_maps[row], box) for row, box in zip(rows, shares, strict=True))
            label_maps = np.stack(list(maps))
        else:
            label_maps = self.segmenter.parse(faces).label_maps
        noisy_maps = with_wrong_pixels(label_maps, self.options.noise, seeds[0])

        def scores_of(maps: np.ndarray, algorithm: int) -> np.ndarray:
            """Of all portraits, also of those without a face."""
            values, valid = compute_scores(maps, faces, algorithm, drawn.images[rows], boxes)
            scores = np.full((len(seeds), values.shape[1]), np.nan)
            scores[rows] = np.where(valid, values, np.nan)
            return scores

        result = {}
        for algorithm in ALGORITHMS:
            started_at = time.process_time()
            values = scores_of(label_maps, algorithm)
            cpu_s = time.process_time() - started_at
            result[algorithm] = Scores(values, scores_of(noisy_maps, algorithm), cpu_s)
        return drawn.truth, result


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


def within_person(values: np.ndarray, truth: np.ndarray) -> float:
    """Median over people of the correlation of a score with the truth while its property is swept.

    Args:
        values: float [people, levels] scores; NaN where there is none.
        truth: float [people, levels].

    Returns:
        the median; a person whose score does not move counts as 0.
    """
    found = []
    for person_values, person_truth in zip(values, truth, strict=True):
        good = ~np.isnan(person_values)
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
            within_person(of_property(one.values, index), of_property(truth, index))
            for index in range(shape[1])
        ]
        for algorithm, one in scores.items()
    }


def judge(scores: Scores, truth: np.ndarray) -> pd.DataFrame:
    """One row per property."""
    rows = []
    for column, name in enumerate(PROPERTY_NAMES):
        good = ~np.isnan(scores.values[:, column])
        values = scores.values[good, column]
        shift = np.nanmean(np.abs(scores.noisy[good, column] - values))
        others_r2, partial_r2, strongest = influence(values, truth[good], column)
        rows.append(
            {
                "property": name,
                "r": np.corrcoef(values, truth[good, column])[0, 1],
                "others_r2": others_r2,
                "others_partial_r2": partial_r2,
                "strongest_other": PROPERTY_NAMES[strongest],
                "noise_shift_sd": shift / values.std(),
                "valid_share": good.mean(),
                "cpu_ms_per_image": scores.cpu_s / len(good) * 1e3,
            }
        )
    return pd.DataFrame(rows)
