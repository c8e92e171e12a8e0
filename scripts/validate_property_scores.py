"""Measure how well the property scores read portraits whose true properties are known.

For each algorithm and property: the correlation with the truth, how much of the score any other true quantity
explains, and how far wrong pixels in the label map move it.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from data.portraits import PortraitSet

RESULT = "segmentation/property_score_results/validation.csv"
DETECTION_BATCH = 32  # pictures


@dataclass(frozen=True)
class Options(ToolOptions):
    """Measure how well the property scores read portraits whose true properties are known."""

    count: int = option(1000, help="portraits")
    size: int = option(64, help="width and height of a portrait in pixels, 64 to 256")
    first_seed: int = option(500_000, help="seed of the first portrait")
    masks: Literal["true", "parser"] = option("true", help="label maps: the drawing's own, or the parser's")
    noise: float = option(0.002, help="share of the label map's pixels that get a random class")
    processes: int = option(1, help="processes that draw")


class Faces(NamedTuple):
    """Faces of portraits, cut out as the segmentation stage does."""

    label_maps: "np.ndarray"
    crops: "np.ndarray"
    pictures: "np.ndarray"
    boxes: "np.ndarray"
    truth: "np.ndarray"


def cut_label_map(label_map: "np.ndarray", box: "np.ndarray", size: int) -> "np.ndarray":
    """The box (left, top, right, bottom, pixels) of a label map, nearest neighbour: uint8 [size, size]."""
    import numpy as np

    step = (np.arange(size) + 0.5) / size
    columns = (box[0] + step * (box[2] - box[0])).astype(int)
    rows = (box[1] + step * (box[3] - box[1])).astype(int)
    return label_map[np.ix_(rows, columns)]


def cut_faces(tool: Tool, options: Options, portraits: "PortraitSet") -> Faces:
    """Detect, crop and label the faces; portraits without a detected face are left out."""
    import numpy as np

    from segmentation.face_crop import CROP_SIZE_PX, FaceCropper

    cropper = FaceCropper(tool.device)
    crops = []
    for start in range(0, len(portraits.images), DETECTION_BATCH):
        crops += cropper(list(portraits.images[start : start + DETECTION_BATCH]))
        tool.check_stop()
    found = [row for row, crop in enumerate(crops) if crop is not None]
    tool.log(f"{len(found)} of {len(crops)} faces detected")
    images = np.stack([crops[row].image for row in found])
    boxes = np.array([crops[row].box for row in found])
    if options.masks == "parser":
        from scripts.faces import load_parser
        from segmentation.parsing import parse

        label_maps, _ = parse(load_parser(tool), images, device=tool.device)
    else:
        label_maps = np.stack(
            [
                cut_label_map(portraits.label_maps[row], box, CROP_SIZE_PX)
                for row, box in zip(found, boxes, strict=True)
            ]
        )
    return Faces(label_maps, images, portraits.images[found], boxes, portraits.truth[found])


def with_wrong_pixels(label_maps: "np.ndarray", share: float) -> "np.ndarray":
    """Label maps in which a share of the pixels has a random class (seeded)."""
    import numpy as np

    from segmentation.face_classes import CLASS_COUNT

    rng = np.random.default_rng(0)
    wrong = rng.random(label_maps.shape) < share
    noisy = label_maps.copy()
    noisy[wrong] = rng.integers(0, CLASS_COUNT, wrong.sum())
    return noisy


def influences(values: "np.ndarray", truth: "np.ndarray") -> "np.ndarray":
    """Standardised coefficients of a linear regression of values [N] on all true quantities [N, T]: [T]."""
    import numpy as np

    spread = truth.std(axis=0)
    standardized = (truth - truth.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return np.linalg.lstsq(standardized, (values - values.mean()) / values.std(), rcond=None)[0]


def judge(faces: Faces, algorithm: int, noise: float) -> "pd.DataFrame":
    """One row per property."""
    import numpy as np
    import pandas as pd

    from data.portraits import TRUTH_NAMES
    from segmentation.property_scores import compute_scores
    from segmentation.property_table import PROPERTY_NAMES

    label_maps, crops, pictures, boxes, truth = faces
    started_at = time.process_time()
    values, valid = compute_scores(label_maps, crops, algorithm, pictures, boxes)
    milliseconds = (time.process_time() - started_at) / len(crops) * 1e3
    noisy, noisy_valid = compute_scores(
        with_wrong_pixels(label_maps, noise), crops, algorithm, pictures, boxes
    )
    rows = []
    for column, name in enumerate(PROPERTY_NAMES):
        good = valid[:, column]
        score, true_column = values[good, column], TRUTH_NAMES.index(name)
        both = good & noisy_valid[:, column]
        shift = noisy[both, column] - values[both, column]
        others = np.delete(influences(score, truth[good]), true_column)
        other_names = np.delete(np.array(TRUTH_NAMES), true_column)
        strongest = np.abs(others).argmax()
        rows.append(
            {
                "algorithm": algorithm,
                "property": name,
                "r": np.corrcoef(score, truth[good, true_column])[0, 1],
                "valid_share": good.mean(),
                "strongest_other": other_names[strongest],
                "strongest_other_influence": others[strongest],
                "noise_shift_sd": np.sqrt((shift**2).mean()) / score.std(),
                "cpu_ms_per_image": milliseconds,
            }
        )
    return pd.DataFrame(rows)


def run(tool: Tool, options: Options) -> None:
    """Draw, cut out, measure, print."""
    import pandas as pd

    from data import portraits
    from segmentation.property_scores import ALGORITHMS

    seeds = range(options.first_seed, options.first_seed + options.count)
    drawn = portraits.render_many(seeds, options.size, processes=options.processes)
    faces = cut_faces(tool, options, drawn)
    table = pd.concat([judge(faces, algorithm, options.noise) for algorithm in ALGORITHMS])
    tool.write_csv(RESULT, table.round(5))
    tool.log(table.to_string(index=False, float_format="{:.3f}".format))
    tool.log(f"written to {tool.workspace / RESULT}")


if __name__ == "__main__":
    run_tool(Options, run)
