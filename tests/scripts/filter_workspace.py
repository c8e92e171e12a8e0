"""A workspace that stage 02 can filter in seconds, and a way to run a script in this process."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.pipeline.options import REPOSITORY
from scripts.stages.workspace import LABELS, LABELS_RECORD

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
    pd.DataFrame(candidates).to_csv(root / "stylegan/candidates.csv", index=False)
    write_labels(root, label_table())
    write_record(root)
    return root


def run_in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: object, *arguments: object
) -> tuple[int, str]:
    """Run a script as ``__main__``: exit code and what it wrote to the error stream."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(script), run_name="__main__")
    return exit_info.value.code or 0, capsys.readouterr().err


def label_table() -> pd.DataFrame:
    names = [f"{img_no:06d}.jpg" for img_no in range(LABEL_COUNT)]
    truth = {"quality": TRUE_QUALITY[:LABEL_COUNT], "gender": TRUE_GENDER[:LABEL_COUNT]}
    return pd.DataFrame({"img_name": names, **truth})


def write_labels(root: Path, table: pd.DataFrame) -> None:
    table.to_csv(root / LABELS, index=False)


def write_record(root: Path, **changes: object) -> None:
    record = {"weights_id": WEIGHTS_ID, "seed": 5, "count": LABEL_COUNT, "made_by": "hand"} | changes
    (root / LABELS_RECORD).write_text(json.dumps(record))
