"""The control that a generator reached: each dial turned, read by the judge, and shown in a picture."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from cnn.people_judges import PeopleJudges
from scripts.pipeline import Stage, UserError
from scripts.stages import networks
from scripts.stages.scores import sweep_levels
from scripts.stages.sheets import labelled_grid
from scripts.stages.workspace import CONTROL, PREVIEWS
from segmentation.normalization import ScoreStatistics
from segmentation.property_table import PROPERTY_NAMES
from stylegan import seeds
from stylegan.sampling import sample_z
from stylegan_modified.evaluation import (
    ControlReport,
    Generate,
    Sweep,
    measure_control,
    run_sweep,
)
from stylegan_modified.evaluation_identity import identity_auc
from stylegan_modified.evaluation_summary import without_nan

PREVIEW_SEEDS = tuple(range(4))
SHARES = {"women": "gender", "good_quality": "quality"}
"""Shares of pictures in a control report, and the logits whose sign decides."""


def preview_grid(generate: Generate, statistics: ScoreStatistics, z: Tensor) -> Any:
    """Picture: rows of people, each property at its 5th, 50th and 95th percentile, others at the median."""
    sweep = run_sweep(generate, z, sweep_levels(statistics)[[0, 2, 4]])
    rows = [person.reshape(-1, *person.shape[2:]) for person in sweep.images]
    columns = [f"{name} {level}" for name in PROPERTY_NAMES for level in ("5%", "50%", "95%")]
    return labelled_grid(rows, [f"seed {seed}" for seed in PREVIEW_SEEDS[: len(z)]], columns)


def report_control(
    stage: Stage, generate: Generate, z_dim: int, statistics: ScoreStatistics, version: str, latent_count: int
) -> dict[str, str]:
    """Sweep each property over latents that no training saw, read by stages 3 and 4, and write the result.

    The judges of people that the preset has also say who the sweep pictures show.
    Writes `stylegan_modified/control_<version>.json`.

    Returns:
        The numbers to end the stage with.

    Raises:
        UserError: the judge could not read a single picture.
    """
    z = sample_z(seeds.CONTROL[:latent_count], 0, z_dim).to(stage.device)
    sweep = run_sweep(generate, z, sweep_levels(statistics))
    report = measure_control(sweep, networks.load_judge(stage, statistics))
    if report.readable == 0:
        raise UserError(
            f"the face parser cannot read a single picture of {version}, so its control is unknown. "
            f"Look at {stage.workspace / PREVIEWS} and train again with other settings."
        )
    shown = read_people(networks.load_people_judges(stage), sweep)
    stage.write(CONTROL.format(version), without_nan(report.to_dict() | shown))
    stage.log(
        f"control of {version} on {latent_count} latents (Pearson r, slope, mean absolute error in sd):"
    )
    for name, r in report.r.items():
        stage.log(f"  {name:16} r {r:6.3f}   slope {report.slope[name]:6.3f}   error {report.mae[name]:5.3f}")
    return control_numbers(report, shown)


def read_people(judges: PeopleJudges, sweep: Sweep) -> dict[str, float]:
    """Identity AUC and shares of women and good quality of a sweep, as far as there are judges."""
    shape = sweep.images.shape
    read = judges.read(sweep.images.reshape(-1, *shape[3:]))
    shares = {name: read[logits] > 0 for name, logits in SHARES.items() if logits in read}
    found = {name: float(share.float().mean()) for name, share in shares.items()}
    if "identity" in read:
        people = read["identity"].numpy().reshape(*shape[:3], -1)
        found["identity_auc"] = float(identity_auc(people)[0])
    return found


def control_numbers(report: ControlReport, shown: dict[str, float]) -> dict[str, str]:
    """The numbers of a control report for the end of a stage."""
    values = [r for r in report.r.values() if math.isfinite(r)] or [math.nan]
    unknown = [name for name, r in report.r.items() if not math.isfinite(r)]
    count = f"(n = {report.latent_count} latents)"
    numbers = {
        "control": f"r {min(values):.2f} to {max(values):.2f}, mean {sum(values) / len(values):.2f} {count}",
        "leakage": f"{report.leakage:.3f} sd per sd {count}",
        "readable": f"{100 * report.readable:.1f} % of the pictures",
    }
    if unknown:
        numbers["unknown"] = f"{', '.join(unknown)}: no person's pictures could be read at two settings"
    texts = [f"{name.replace('_', ' ')} {100 * shown[name]:.1f} %" for name in SHARES if name in shown]
    if "identity_auc" in shown:
        texts.insert(0, f"identity AUC {shown['identity_auc']:.3f}")
    if texts:
        numbers["people"] = f"{', '.join(texts)} of the sweep's pictures"
    return numbers
