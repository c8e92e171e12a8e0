"""The hand labels of the first candidates: reading, checking, and knowing which pictures they are for.

Beside the table lies a JSON file of the same name that records the pictures the labels were made for:
the id of the generator's weights, the seed of image 0, the number of labels, and who made them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.pipeline import Stage, UserError

if TYPE_CHECKING:
    import pandas as pd

LABELS = "cnn/synthesize_results_quality_and_gender.csv"
RECORD = "cnn/synthesize_results_quality_and_gender.json"
COLUMNS = ("img_name", "quality", "gender")
PROPERTIES = ("gender", "quality")
CANDIDATES = "stylegan/candidates.csv"
LABEL_SCRIPT = "make_labels"
EXAMPLE_COUNT = 3


def load_labels(
    stage: Stage, candidates: pd.DataFrame, fold_count: int, label_count: int = 0
) -> pd.DataFrame:
    """Labels that belong to these candidates, checked.

    Args:
        candidates: columns `img_no`, `img_path`, `seed`, `weights_id`.
        fold_count: every class needs at least as many labels.
        label_count: use only the labels of the first pictures; 0 uses all.

    Returns:
        Columns `img_no`, `gender`, `quality` (0 or 1), sorted by `img_no`.

    Raises:
        UserError: a column or value is wrong, a picture is labelled twice or not at all, the labels were made
            for other pictures, or a class is too rare.
    """
    labels = stage.read_csv(LABELS, COLUMNS).sort_values("img_name", ignore_index=True)
    _check_values(labels)
    _check_record_count(stage, labels)
    labels = labels.head(label_count or len(labels)).copy()
    _check_made_for(stage, candidates)
    labels["img_no"] = _image_numbers(labels, candidates)
    _check_gaps(labels)
    _check_classes(labels, fold_count)
    return labels[["img_no", *PROPERTIES]].astype("int64").sort_values("img_no", ignore_index=True)


def _check_values(labels: pd.DataFrame) -> None:
    for name in PROPERTIES:
        wrong = labels[~labels[name].isin([0, 1])]
        if len(wrong):
            first = wrong.iloc[0]
            raise UserError(
                f"{LABELS}: {first['img_name']} has the {name} {first[name]!r}; only 0 and 1 can be learned "
                f"(gender 0 = man, 1 = woman; quality 0 = bad, 1 = good). {len(wrong)} rows are wrong: edit "
                "them, then run the same command again."
            )
    repeated = labels.loc[labels["img_name"].duplicated(), "img_name"]
    if len(repeated):
        raise UserError(
            f"{LABELS}: {repeated.iloc[0]} is labelled more than once, and the rows may contradict each "
            "other. Keep one row per picture, then run the same command again."
        )


def _image_numbers(labels: pd.DataFrame, candidates: pd.DataFrame) -> pd.Series:
    numbers = dict(
        zip(candidates["img_path"].str.rsplit("/", n=1).str[-1], candidates["img_no"], strict=True)
    )
    found = labels["img_name"].map(numbers)
    if found.isna().any():
        unknown = labels.loc[found.isna(), "img_name"].tolist()
        raise UserError(
            f"{LABELS} labels {len(unknown)} pictures that are not in {CANDIDATES} "
            f"({', '.join(map(str, unknown[:EXAMPLE_COUNT]))}), so it cannot belong to these candidates. "
            "Generate as many candidates as were labelled, or use only the first labels (--label-count)."
        )
    return found.astype("int64")


def _check_gaps(labels: pd.DataFrame) -> None:
    if not len(labels):
        raise UserError(f"{LABELS} has no rows, so there is nothing to learn from. Label some pictures.")
    present = set(labels["img_no"])
    missing = [img_no for img_no in range(max(present) + 1) if img_no not in present]
    if missing:
        raise UserError(
            f"{LABELS} skips {len(missing)} of the first {max(present) + 1} candidates (img_no "
            f"{', '.join(map(str, missing[:EXAMPLE_COUNT]))}), as if rows had been lost; a choice made by "
            "hand would bias the networks. Label them too, or remove the rows after the first gap."
        )


def _read_record(stage: Stage) -> tuple[str, int, int]:
    """Weights id, seed of image 0 and number of labels."""
    try:
        record = json.loads((stage.workspace / RECORD).read_text(encoding="utf-8"))
        return str(record["weights_id"]), int(record["seed"]), int(record["count"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{RECORD} is missing or damaged ({error}), so nothing tells which pictures {LABELS} was made "
            "for, and labels of other people would teach nonsense. If you labelled these very candidates, "
            'write it: {"weights_id": "...", "seed": ..., "count": ..., "made_by": "hand"}, with the weights '
            f"id and the first seed of {CANDIDATES}. If not, {_relabel(stage)}"
        ) from error


def _relabel(stage: Stage) -> str:
    command = stage.command(LABEL_SCRIPT, "--from-workspace")
    return f"label the candidates anew, by hand or, drawn portraits only, with the oracle:\n    {command}"


def _check_record_count(stage: Stage, labels: pd.DataFrame) -> None:
    count = _read_record(stage)[2]
    if count != len(labels):
        raise UserError(
            f"{LABELS} has {len(labels)} rows, but {RECORD} says {count}, so rows were lost or added. Bring "
            "the complete table back, or correct the count if the change is meant."
        )


def _check_made_for(stage: Stage, candidates: pd.DataFrame) -> None:
    """Refuse labels that were made for the pictures of another generator or other seeds."""
    first = candidates.sort_values("img_no").iloc[0]
    weights_id, seed = str(first["weights_id"]), int(first["seed"])
    made_for_weights, made_for_seed, _ = _read_record(stage)
    if (made_for_weights, made_for_seed) == (weights_id, seed):
        return
    mend = _relabel(stage)
    if made_for_weights == weights_id:
        again = stage.command("01_generate_candidates", "--seed", str(made_for_seed), "--force")
        mend = f"generate the labelled pictures:\n    {again}\nor {mend}"
    raise UserError(
        f"{LABELS} was made for the pictures of weights {made_for_weights} from seed {made_for_seed} on, but "
        f"the candidates come from weights {weights_id} and seed {seed}; labels of other people would teach "
        f"nonsense. To go on, {mend}"
    )


def _check_classes(labels: pd.DataFrame, fold_count: int) -> None:
    for name in PROPERTIES:
        sizes = labels[name].value_counts().reindex([0, 1], fill_value=0)
        if sizes.min() < fold_count:
            raise UserError(
                f"{LABELS} has {sizes[0]} pictures with {name} 0 and {sizes[1]} with {name} 1; each of "
                f"{fold_count} folds needs one of either class to be checked. Label more pictures, or use "
                "fewer folds (--fold-count)."
            )
