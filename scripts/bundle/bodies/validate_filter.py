"""What validate_filter does: the filter's word against the truth of the oracle or of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnn.oracle import read_pictures
from cnn.reliability import Evaluation, evaluate
from scripts.pipeline import MissingInputError, Tool, UserError, records, tables
from scripts.stages import generated_pictures
from scripts.stages.filtering import hand_labels
from scripts.stages.filtering.figures import evaluation_figure
from scripts.stages.filtering.images import CandidateImages
from scripts.stages.workspace import FILTER_TABLE, FILTERS

STAGE = "02_filter_candidates"
RESULT = "cnn/log/validation.json"
FIGURE = "cnn/log/validation_{}.png"
BATCH = 256  # pictures read at once


def run(tool: Tool, options: Any) -> None:
    """Find the truth, compare, write and print."""
    limits = thresholds(filter_options(tool))
    table = judged_candidates(tool)
    if options.truth is None:
        truth, source = truth_of_oracle(tool, options, table), "the oracle"
    else:
        truth, source = truth_of_table(options.truth, table), options.truth.name
    found = {}
    for name in FILTERS:
        with tool.foreseen(ValueError, mend="Generate more candidates."):
            found[name] = evaluate(table[name].to_numpy(), truth[name].to_numpy(), limits[name])
        figure = evaluation_figure(found[name], name, f"ensemble on unlabelled candidates against {source}")
        tool.write(FIGURE.format(name), figure)
    kept = figures_of_kept(table, truth)
    numbers = {name: evaluation.to_dict() for name, evaluation in found.items()}
    tool.write(RESULT, {"truth": source, **numbers, "kept": kept})
    log_figures(tool, found, kept)
    tool.finish(
        {f"{name} AUROC": f"{one.auroc:.4f} (n = {one.count})" for name, one in found.items()},
        [RESULT, *(FIGURE.format(name) for name in found)],
    )
    tool.log(f"written to {tool.workspace / RESULT}; look at {FIGURE.format('quality')} beside it")


def judged_candidates(tool: Tool) -> pd.DataFrame:
    """What the networks said about candidates without labels."""
    path = tool.workspace / FILTER_TABLE
    if not path.is_file():
        raise MissingInputError(f"it needs {FILTER_TABLE}. {STAGE} makes it:\n    {tool.command(STAGE)}")
    columns = ("img_no", "img_path", *FILTERS, "source", "kept", "status")
    table = tables.read_csv(path, columns, f"Make it anew: {tool.command(STAGE, '--force')}")
    return table[(table["source"] == "network") & (table["status"] == "ok")].reset_index(drop=True)


def filter_options(tool: Tool) -> dict[str, Any]:
    """The options under which the filter ran."""
    record = records.read(tool.workspace, STAGE)
    if record is None or record["state"] != "complete":
        raise UserError(f"{STAGE} has not finished in {tool.workspace}. Let it:\n    {tool.command(STAGE)}")
    return record["depends_on"]["options"]


def truth_of_table(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Columns `gender` and `quality` (0 or 1) of the pictures of `table`, from a CSV."""
    known = hand_labels.read_table(path, path).set_index("img_name")
    names = table["img_path"].str.rsplit("/", n=1).str[-1]
    missing = names[~names.isin(known.index)]
    if len(missing):
        raise UserError(
            f"{path} has no row for {len(missing)} pictures ({missing.iloc[0]}, ...), so it cannot judge "
            "them. Give a table of all candidates."
        )
    return known.loc[names, list(FILTERS)].reset_index(drop=True)


def truth_of_oracle(tool: Tool, options: Any, table: pd.DataFrame) -> pd.DataFrame:
    """The same, as the oracle reads the pictures."""

    oracle = generated_pictures.open_oracle(tool, options.oracle)
    images = CandidateImages(tool, table)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in FILTERS}
    with tool.progress(len(table)) as progress:
        for found, pictures in images.batches(table["img_no"].tolist(), BATCH):
            reading = read_pictures(oracle, pictures)
            for name, values in parts.items():
                values.append((reading[name] >= 0).int().numpy())
            progress.update(len(found))
    if images.reasons:
        reason = next(iter(images.reasons.values()))
        raise UserError(f"{len(images.reasons)} candidates can no longer be read: {reason}")
    return pd.DataFrame({name: np.concatenate(values) for name, values in parts.items()})


def thresholds(chosen: dict[str, Any]) -> dict[str, float]:
    """Least probability of woman and of good at which the filter changes its mind."""
    gender = chosen["gender_threshold"]
    return {
        "gender": 1 - gender if chosen["keep"] == "men" else gender,
        "quality": chosen["quality_threshold"],
    }


def figures_of_kept(table: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """Number of kept pictures, and the share of women and of good quality among them."""
    kept = truth[table["kept"] == 1]
    shares = {"women": float(kept["gender"].mean()), "good": float(kept["quality"].mean())}
    return {"count": len(kept), **(shares if len(kept) else {})}


def log_figures(tool: Tool, found: dict[str, Evaluation], kept: dict[str, float]) -> None:
    """Print the figures."""
    for name, evaluation in found.items():
        tool.log(
            f"{name}: AUROC {evaluation.auroc:.4f}, accuracy {evaluation.accuracy:.4f}, expected calibration "
            f"error {evaluation.reliability.expected_calibration_error:.4f} (n = {evaluation.count})"
        )
    quality = found["quality"]
    tool.log(
        f"at threshold {quality.threshold:g}: {quality.found_zeros:.1%} of {quality.confusion[0].sum()} bad "
        f"pictures removed, {quality.lost_ones:.1%} of {quality.confusion[1].sum()} good ones lost"
    )
    if kept["count"]:
        tool.log(f"kept {kept['count']}: {kept['women']:.2%} women, {kept['good']:.2%} good")
