"""Candidates with labels, for the tests of the filter stage, and how they run it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from scripts.pipeline.places import REPOSITORY
from scripts.stages.workspace import CANDIDATES, LABELS, LABELS_RECORD

SCRIPT = REPOSITORY / "scripts" / "02_filter_candidates.py"
IMAGE_COUNT, LABEL_COUNT = 40, 24
WEIGHTS_ID = "0123456789abcdef"
ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
FILTERED = "stylegan/synthesize_results_filtered"
TRUE_GENDER = np.arange(IMAGE_COUNT) % 2
TRUE_QUALITY = (np.arange(IMAGE_COUNT) % 4 != 1).astype(int)
QUICK = (
    *("--fold-count", 2, "--width", 1 / 32, "--batch-size", 4, "--learning-rate", 0.01, "--max-epochs", 10),
    *("--attempts", 1, "--no-flip", "--shift", 0, "--quality-minority-share", 0, "--threads", 1),
    *("--gender-threshold", 0.5, "--quality-threshold", 0.5),
)


def label_table() -> pd.DataFrame:
    names = [f"{img_no:06d}.jpg" for img_no in range(LABEL_COUNT)]
    truth = {"quality": TRUE_QUALITY[:LABEL_COUNT], "gender": TRUE_GENDER[:LABEL_COUNT]}
    return pd.DataFrame({"img_name": names, **truth})


def write_labels(root: Path, table: pd.DataFrame) -> None:
    table.to_csv(root / LABELS, index=False)


def write_record(root: Path, **changes: object) -> None:
    record = {"weights_id": WEIGHTS_ID, "seed": 5, "count": LABEL_COUNT, "made_by": "hand"} | changes
    (root / LABELS_RECORD).write_text(json.dumps(record))


def make_workspace(root: Path) -> Path:
    """Pictures whose lower half is bright for women and whose top is bright for good quality."""
    (root / "stylegan/synthesize_results").mkdir(parents=True)
    (root / "cnn").mkdir()
    rng = np.random.default_rng(0)
    paths = [f"stylegan/synthesize_results/{img_no:06d}.jpg" for img_no in range(IMAGE_COUNT)]
    for img_no, path in enumerate(paths):
        picture = rng.integers(0, 40, (64, 64, 3))
        picture[32:] += 180 * TRUE_GENDER[img_no]
        picture[:16] += 180 * TRUE_QUALITY[img_no]
        Image.fromarray(picture.astype(np.uint8)).save(root / path, quality=95)
    numbers = np.arange(IMAGE_COUNT)
    candidates = {"img_no": numbers, "img_path": paths, "seed": numbers + 5, "weights_id": WEIGHTS_ID}
    pd.DataFrame(candidates).to_csv(root / CANDIDATES, index=False)
    write_labels(root, label_table())
    write_record(root)
    return root


def filtering(workspace: Path, run_here: Callable) -> Callable[..., str]:
    """A function that filters the workspace; it returns what was written to the error stream."""
    return lambda *words, expect=0: (
        run_here(SCRIPT, "--workspace", workspace, *QUICK, *words, expect=expect).err
    )
