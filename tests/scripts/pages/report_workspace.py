"""A small workspace for tests of the report, with names and reasons that try to be markup."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.pipeline import files, records
from scripts.pipeline.options import plain_value
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import DIALS, PREVIEWS, STRIPS
from segmentation.property_table import PROPERTY_NAMES

SIZE = 64
PEOPLE = 2
HOSTILE = '<script>window.errors.push("run")</script><img src=x onerror="errors.push(1)">&"\''
STAGES = {
    "00_fetch_weights": ("stylegan/stylegan_model.pth",),
    "01_generate_candidates": ("stylegan/candidates.csv",),
    "02_filter_candidates": ("cnn/all_image_quality_and_gender.csv",),
    "03_segment_faces": ("segmentation/faces.csv",),
    "04_compute_property_scores": ("segmentation/property_score_results/all_scores_v3.csv",),
    "05_fine_tune_v1": ("stylegan_modified/train_log_v1.csv",),
    "09_evaluate": ("evaluation/results.json",),
}


def picture(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def write_record(workspace: Path, name: str, **changes: Any) -> None:
    """The record of a stage that was made from what is there now."""
    module = importlib.import_module(f"scripts.{name}")
    given = {"preset": "smoke", "workspace": workspace, "device": HOSTILE}
    if name == "02_filter_candidates":
        given |= {"gender_threshold": 0.7, "quality_threshold": 0.9}
    options = module.Options(**given)
    depends_on = records.dependencies(module.SPEC, options, workspace)
    record = {
        "stage": name,
        "state": "complete",
        "fingerprint": records.fingerprint(depends_on),
        "depends_on": depends_on,
        "options": {
            option: {"value": plain_value(value), "from": "command line" if option in given else "default"}
            for option, value in vars(options).items()
        },
        "command": f"python scripts/{name}.py --preset smoke --workspace {workspace}",
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 12.5,
        "device": "cpu",
        "seeds": {"seed": 7},
        "numbers": {"figure": HOSTILE},
        "counts": {"pictures": {"done": 1234, "skipped": 0, "failed": 0}},
        "attempts": [{"how": "killed"}, {"how": "complete"}],
        "outputs": list(STAGES[name]),
        "versions": {"python": "3.11.7"},
        "commit": "0123456789abcdef",
    }
    records.write(workspace, name, record | changes)
    records.write_outputs(workspace, name, STAGES[name])


def evaluation_entry(value: float) -> dict[str, Any]:
    """Results of one version, with this value for each measure of one number per property."""
    per_property = dict.fromkeys(PROPERTY_NAMES, value)
    entry = dict.fromkeys(("control", "pooled", "slope", "mae"), per_property)
    entry |= {"repeatability": dict.fromkeys(PROPERTY_NAMES, 0.02), "n_latents": PEOPLE}
    entry |= {"response": np.eye(len(PROPERTY_NAMES)).tolist(), "leakage": 0.01, "identity_auc": value}
    entry |= {"women": value, "good_quality": None, "kid": 1.5, "confidence": {}}
    return entry


def make_workspace(workspace: Path) -> Path:
    """All files of a run that ended, but for 06 to 08, which never ran."""
    for names in STAGES.values():
        for name in names:
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
    (workspace / "stylegan/stylegan_model.pth").write_bytes(b"weights")
    numbers = range(10)
    paths = [f"stylegan/synthesize_results/{n:06d}.jpg" for n in numbers]
    basis = pd.DataFrame({"img_no": numbers, "img_path": paths})
    basis.to_csv(workspace / STAGES["01_generate_candidates"][0], index=False)
    filtered = basis.assign(
        gender=[1, 1, 1, 1, 1, 1, 0, 0, 1, 0.9],
        quality=[1, 1, 1, 1, 1, 1, 1, 0, 0.5, 1],
        kept=[1] * 6 + [0] * 4,
        status=["ok"] * 9 + ["failed"],
        reason=[None] * 9 + [HOSTILE],
    )
    filtered.to_csv(workspace / STAGES["02_filter_candidates"][0], index=False)
    faces = basis[:6].assign(status=["ok"] * 5 + ["no_face"], reason=[None] * 5 + ["nothing found"])
    faces.to_csv(workspace / STAGES["03_segment_faces"][0], index=False)
    raw = faces[:5].assign(**{f"{name}_valid_v3": True for name in PROPERTY_NAMES})
    raw.loc[0, "mouth_valid_v3"] = False
    raw.to_csv(workspace / "segmentation/property_score_results/raw_scores.csv", index=False)
    rng = np.random.default_rng(0)
    scores = raw.assign(**{f"{name}_score": rng.normal(size=5) for name in PROPERTY_NAMES})
    scores["valid"] = scores["mouth_valid_v3"]
    scores.to_csv(workspace / STAGES["04_compute_property_scores"][0], index=False)
    steps = np.arange(10, 200, 10)
    log = pd.DataFrame({"step": steps, "d_loss": 1 / steps, "g_loss": np.nan, "odd<name>": 1.0})
    log.loc[5:, "g_loss"] = 2.0
    log.to_csv(workspace / STAGES["05_fine_tune_v1"][0], index=False)
    results = {"base": evaluation_entry(0.5), "v1": evaluation_entry(0.999), "v2": evaluation_entry(0.999)}
    left_out = {"left_out": {"v3": "it has no encoder."}}
    files.write(workspace / "evaluation/results.json", results | left_out)
    for version in results:
        files.write(workspace / STRIPS.format(version), contact_sheet([picture(1)] * 24, columns=12))
    files.write(workspace / DIALS.format("v1"), np.vstack([picture(2), picture(3)]))
    files.write(workspace / "stylegan/candidates_sheet.png", contact_sheet([picture(1)] * 24, columns=12))
    for step in (0, 20, 100):
        files.write(workspace / f"{PREVIEWS}/v1_{step:06d}.png", picture(step))
    for name in STAGES:
        write_record(workspace, name)
    return workspace
