"""The hand labels of the first candidates: reading, checking, and knowing which pictures they are for.

Beside the table lies a JSON file of the same name that records the pictures the labels were made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.pipeline import MissingInputError, Stage, Tool, UserError, files
from scripts.stages.label_tables import numbers_by_name, read_label_table
from scripts.stages.pictures import some_of
from scripts.stages.workspace import CANDIDATES, FILTERS, LABELS, LABELS_RECORD

COLUMNS = ("img_name", "quality", "gender")
LABEL_SCRIPT, MACHINE_LABEL_SCRIPT = "label_images", "make_labels"
MACHINE = "machine"
EARLIER_MACHINE = "oracle"  # workspaces made before the labels had a network of their own
MADE_BY, HAND = "made_by", "hand"  # column of the table, beside `MACHINE`; without it the record tells


@dataclass(frozen=True)
class LabelRecord:
    """What the JSON file beside the table says.

    Attributes:
        weights_id: generator of the labelled pictures.
        seed: seed of image 0.
        count: rows of the table.
        made_by: who labelled, see `is_machine_made`.
        skipped: img_nos that the person left undecided.
        most_uncertain: img_nos that were labelled out of turn.
        table_sha256: the table as it was exported; empty if nobody recorded it.
    """

    weights_id: str
    seed: int
    count: int
    made_by: str
    skipped: frozenset[int] = frozenset()
    most_uncertain: frozenset[int] = frozenset()
    table_sha256: str = ""


def probability_of(name: str) -> str:
    """Column of a machine-made table with the probability of label 1 of a filter."""
    return f"{name}_probability"


def is_machine_made(made_by: str) -> bool:
    """Whether a record's `made_by` says that a network made the labels."""
    return made_by.startswith((MACHINE, EARLIER_MACHINE))


def load_labels(
    stage: Stage, candidates: pd.DataFrame, fold_count: int, label_count: int = 0
) -> pd.DataFrame:
    """Labels that belong to these candidates: columns `img_no`, `gender`, `quality` (0 or 1).

    Args:
        candidates: columns `img_no`, `img_path`, `seed`, `weights_id`.
        fold_count: every class needs at least as many labels.
        label_count: use only the labels of the first pictures; 0 uses all.

    Raises:
        UserError: a column or value is wrong, a picture is labelled twice or not at all, the labels were made
            for other pictures, or a class is too rare.
    """
    labels = read_labels(stage)
    record = read_record(stage)
    if record.count != len(labels):
        raise UserError(
            f"{LABELS} has {len(labels)} rows, but {LABELS_RECORD} says {record.count}, so rows were lost or "
            "added. Bring the complete table back, or correct the count if the change is meant."
        )
    if not len(labels):
        raise UserError(f"{LABELS} has no rows, so there is nothing to learn from. Label some pictures.")
    _check_made_for(stage, record, candidates)
    labels = labels.head(label_count or len(labels))
    numbers = numbers_by_name(candidates)
    unknown = [name for name in labels["img_name"] if name not in numbers]
    if unknown:
        raise UserError(
            f"{LABELS} labels {len(unknown)} pictures that are not in {CANDIDATES} ({some_of(unknown)}), so "
            f"it cannot belong to these candidates. Write names as there, such as {next(iter(numbers))}; if "
            "they are, generate as many candidates as were labelled, or use only the first labels "
            "(--label-count)."
        )
    labels = labels.assign(img_no=labels["img_name"].map(numbers))
    _check_gaps(stage, record, set(labels["img_no"]))
    for name in FILTERS:
        sizes = labels[name].value_counts().reindex([0, 1], fill_value=0)
        if sizes.min() < fold_count:
            raise UserError(
                f"{LABELS} has {sizes[0]} pictures with {name} 0 and {sizes[1]} with {name} 1; each of "
                f"{fold_count} folds needs one of either class to be checked. Label more pictures, or use "
                "fewer folds (--fold-count)."
            )
    return labels[["img_no", *FILTERS]].astype("int64").sort_values("img_no", ignore_index=True)


def read_labels(tool: Tool) -> pd.DataFrame:
    """The label table of the workspace as it stands; errors as `read_table`, and `MissingInputError`."""
    path = tool.workspace / LABELS
    if not path.is_file():
        raise MissingInputError(f"it needs {LABELS}, which is not in {tool.workspace}. {_relabel(tool)}")
    return read_table(path, LABELS)


def read_table(path: Path, source: object) -> pd.DataFrame:
    """`img_name`, `quality` and `gender` (0 or 1) of a CSV, by name; errors as `read_label_table`."""
    mend = "Mend it with an editor, then run the same command again."
    labels = read_label_table(path, FILTERS, source, mend)
    for name in FILTERS:
        wrong = labels[~labels[name].isin([0, 1])]
        if len(wrong):
            first = wrong.iloc[0]
            raise UserError(
                f"{source}: {first['img_name']} has the {name} '{first[name]}'; only 0 and 1 mean something "
                f"(gender 0 = man, 1 = woman; quality 0 = bad, 1 = good). {len(wrong)} rows are wrong: edit "
                "them, then run the same command again."
            )
    return labels


def read_record(tool: Tool) -> LabelRecord:
    """The JSON file beside the table; `UserError` with how to write it if it is missing or damaged."""
    try:
        record = files.read_json(tool.workspace / LABELS_RECORD)
        return LabelRecord(
            weights_id=str(record["weights_id"]),
            seed=int(record["seed"]),
            count=int(record["count"]),
            made_by=str(record.get("made_by", "unknown")),
            skipped=frozenset(map(int, record.get("skipped", ()))),
            most_uncertain=frozenset(map(int, record.get("most_uncertain", ()))),
            table_sha256=str(record.get("table_sha256", "")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{LABELS_RECORD} is missing or damaged ({error}), so nothing tells which pictures {LABELS} was "
            "made for, and labels of other people would teach nonsense. If you labelled these very "
            'candidates, write it: {"weights_id": "...", "seed": ..., "count": ..., "made_by": "hand"}, with '
            f"the weights id and the first seed of {CANDIDATES}. If not, {_relabel(tool)}"
        ) from error


def _relabel(tool: Tool) -> str:
    by_hand = tool.command(LABEL_SCRIPT, "--replace")
    by_machine = tool.command(MACHINE_LABEL_SCRIPT, "--from-workspace")
    return (
        f"label the candidates anew, by hand:\n    {by_hand}\n"
        f"or with a network, which a person may correct:\n    {by_machine}"
    )


def _check_made_for(stage: Stage, record: LabelRecord, candidates: pd.DataFrame) -> None:
    """Refuse labels that were made for the pictures of another generator or other seeds."""
    first = candidates.sort_values("img_no").iloc[0]
    weights_id, seed = str(first["weights_id"]), int(first["seed"])
    if (record.weights_id, record.seed) == (weights_id, seed):
        return
    mend = _relabel(stage)
    if record.weights_id == weights_id:
        again = stage.command("01_generate_candidates", "--seed", str(record.seed), "--force")
        mend = f"generate the labelled pictures:\n    {again}\nor {mend}"
    raise UserError(
        f"{LABELS} was made for the pictures of weights {record.weights_id} from seed {record.seed} on, but "
        f"the candidates come from weights {weights_id} and seed {seed}; labels of other people would teach "
        f"nonsense. To go on, {mend}"
    )


def _check_gaps(tool: Tool, record: LabelRecord, present: set[int]) -> None:
    """Refuse labels `present` (img_nos) without one of the first candidates that was not skipped."""
    end = max(present - record.most_uncertain, default=-1) + 1
    missing = sorted(set(range(end)) - present - record.skipped)
    if missing:
        raise UserError(
            f"{LABELS} skips {len(missing)} of the first {end} candidates (img_no "
            f"{some_of(list(map(str, missing)))}), as if rows had been lost; a choice made by hand would "
            "bias the networks. Remove the rows after the first gap, or label the gaps too:\n    "
            f"{tool.command(LABEL_SCRIPT, '--count', str(end), '--order', 'number')}"
        )
