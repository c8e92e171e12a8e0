"""The pictures to label, and what networks say of them, as one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scripts.pipeline import MissingInputError, Tool, UserError, files, records, tables
from scripts.stages.filtering import hand_labels
from scripts.stages.workspace import CANDIDATES, FILTERS, LABELS

FILTER_STAGE = "02_filter_candidates"
GENERATE_STAGE = "01_generate_candidates"
EXAMPLE_COUNT = 3


def load_candidates(tool: Tool) -> pd.DataFrame:
    """Read the table of candidates.

    Returns:
        By ``img_no``: img_path, name (of the file), seed, weights_id, and gender and quality: the
        probabilities of a woman and of a good picture by the networks of 02, which did not learn from it;
        before 02 has finished by those that made first labels; or NaN.

    Raises:
        MissingInputError: there is none.
        UserError: it is empty, or the pictures come from several generators or unrelated seeds.
    """
    path, command = tool.workspace / CANDIDATES, tool.command(GENERATE_STAGE)
    if not path.is_file():
        raise MissingInputError(
            f"it needs {CANDIDATES}, which is not in {tool.workspace}, so there is nothing to label. "
            f"{GENERATE_STAGE} makes it:\n    {command}"
        )
    mend = f"Make it anew:\n    {command} --force"
    table = tables.read_csv(path, ("img_no", "img_path", "seed", "weights_id"), mend)
    if (table["seed"] - table["img_no"]).nunique() != 1 or table["weights_id"].nunique() != 1:
        raise UserError(
            f"{path} is empty or mixes pictures of several generators or first seeds, so labels could not "
            f"say which pictures they belong to. {mend}"
        )
    table = table.set_index("img_no")[["img_path", "seed", "weights_id"]].astype({"weights_id": str})
    table["name"] = table["img_path"].str.rsplit("/", n=1).str[-1]
    found = {name: _probabilities(tool, name) for name in FILTERS}
    first = pd.DataFrame() if all(map(len, found.values())) else _first_labels(tool, table)
    for name, values in found.items():
        known = values if len(values) else first.get(hand_labels.probability_of(name), values)
        table[name] = known.reindex(table.index).astype(float)
    return table


def are_labelled_by(record: hand_labels.LabelRecord, candidates: pd.DataFrame) -> bool:
    """Whether a label table with this record is about these candidates."""
    return (record.weights_id, record.seed) == (candidates["weights_id"].iloc[0], candidates["seed"].min())


def _first_labels(tool: Tool, candidates: pd.DataFrame) -> pd.DataFrame:
    """The label table by ``img_no`` if it is about these candidates, else an empty one."""
    if not (tool.workspace / LABELS).is_file():
        return pd.DataFrame()
    try:
        record = hand_labels.read_record(tool)
    except UserError:  # the session says what is wrong with it
        return pd.DataFrame()
    if not are_labelled_by(record, candidates):
        return pd.DataFrame()
    labels = hand_labels.read_labels(tool)
    return candidates.reset_index().merge(labels, left_on="name", right_on="img_name").set_index("img_no")


def _probabilities(tool: Tool, name: str) -> pd.Series:
    """Out-of-fold estimates of labelled pictures, the ensemble's of others, by ``img_no``.

    Empty if the filter stage has not finished, or judged other candidates.
    """
    found = pd.Series(dtype=float)
    record = records.read(tool.workspace, FILTER_STAGE) or {}
    judged = record.get("depends_on", {}).get("inputs", {}).get(CANDIDATES, "")
    if judged != f"sha256 {files.sha256_file(tool.workspace / CANDIDATES)}":
        return found
    mend = f"Make it anew:\n    {tool.command(FILTER_STAGE, '--force')}"
    sources = {f"cnn/log/{name}_out_of_fold.csv": "probability", f"cnn/inference_result/{name}.csv": name}
    for relative, column in sources.items():
        path = tool.workspace / relative
        if record["state"] == "complete" and path.is_file():
            values = tables.read_csv(path, ("img_no", column), mend).set_index("img_no")[column].dropna()
            found = found.combine_first(values) if len(found) else values
    return found


def judged(candidates: pd.DataFrame) -> pd.DataFrame:
    """Those of which both probabilities are known."""
    return candidates.dropna(subset=list(FILTERS))


def most_uncertain(candidates: pd.DataFrame) -> list[int]:
    """The judged ones, by the information in bits that a person's answer is expected to add."""
    likely = judged(candidates)[list(FILTERS)]
    either = pd.concat([likely, 1 - likely], axis=1)
    bits = -(either * np.log2(either.clip(lower=1e-300))).sum(axis=1)
    return bits.sort_values(ascending=False, kind="stable").index.tolist()


def most_contradicted(candidates: pd.DataFrame, labels: pd.DataFrame, least: float) -> list[int]:
    """Labels that the networks contradict, the most contradicted first.

    Args:
        labels: gender and quality, 0 or 1, by ``img_no``.
        least: farthest distance of a probability from its label that is no contradiction, 0 to 1.
    """
    both = judged(candidates).loc[lambda known: known.index.isin(labels.index), list(FILTERS)]
    distance = (both - labels.loc[both.index]).abs().max(axis=1)
    return distance[distance > least].sort_values(ascending=False, kind="stable").index.tolist()


def check_pictures(tool: Tool, candidates: pd.DataFrame, img_nos: Sequence[int]) -> None:
    """Raise `UserError` if pictures that are to be shown are gone."""
    missing = [path for path in candidates.loc[img_nos, "img_path"] if not (tool.workspace / path).is_file()]
    if missing:
        first_seed = str(candidates["seed"].min())
        raise UserError(
            f"{len(missing)} of the {len(img_nos)} pictures to label vanished "
            f"({', '.join(missing[:EXAMPLE_COUNT])}), so they cannot be shown. Put them back, or generate "
            f"all of them again; labels stay, they belong to weights and seeds:\n    "
            f"{tool.command(GENERATE_STAGE, '--seed', first_seed, '--force')}"
        )
