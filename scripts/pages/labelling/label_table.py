"""The document's label table: what lies there already, and writing the journal's answers to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.pages.labelling.answers import FOLDER, Answer, Kind, Order, journal_path
from scripts.pages.labelling.candidates import GENERATE_STAGE, are_labelled_by
from scripts.pipeline import Tool, UserError, files, records
from scripts.stages.filtering import hand_labels
from scripts.stages.workspace import FILTERS, LABELS, LABELS_RECORD

MADE_BY = "hand (label_images)"
TAKEN_OVER = "labels taken over from: "
FEWEST_OF_A_CLASS = 5
CLASSES = (("man", "gender", 0), ("woman", "gender", 1), ("bad", "quality", 0), ("good", "quality", 1))


@dataclass(frozen=True)
class FoundTable:
    """A label table that lies in the workspace.

    Attributes:
        made_by: what its record says.
        same_pictures: it belongs to these candidates.
        as_exported: it is, byte for byte, an export of this tool.
        labels: seed -> answer; empty unless it belongs to these candidates.
        sha256: of the file.
        has_probabilities: networks made it (or the rest of it) for a person to correct, and say how sure they
            are.
    """

    made_by: str
    same_pictures: bool
    as_exported: bool
    labels: Mapping[int, Answer]
    sha256: str
    has_probabilities: bool = False

    @property
    def by_machine(self) -> bool:
        """True for stand-ins that a network made."""
        return hand_labels.is_machine_made(self.made_by)

    @property
    def is_a_persons(self) -> bool:
        """True for a person's labels of these candidates."""
        return self.same_pictures and not self.by_machine


def find_table(tool: Tool, candidates: pd.DataFrame) -> FoundTable | None:
    """Look at the label table of the workspace; None if there is none.

    Raises:
        UserError: it is no table, or has other values than 0 and 1.
    """
    path = tool.workspace / LABELS
    if not path.is_file():
        return None
    sha256 = files.sha256_file(path)
    try:
        record = hand_labels.read_record(tool)
    except UserError:
        return FoundTable("unknown", same_pictures=False, as_exported=False, labels={}, sha256=sha256)
    same_pictures = are_labelled_by(record, candidates)
    labels: dict[int, Answer] = {}
    has_probabilities = False
    if same_pictures:
        table = hand_labels.read_labels(tool)
        columns = [hand_labels.probability_of(name) for name in FILTERS]
        has_probabilities = set(columns) <= set(table)
        if hand_labels.MADE_BY not in table:  # an older one, or a person's own
            by_machine = hand_labels.is_machine_made(record.made_by)
            table[hand_labels.MADE_BY] = hand_labels.MACHINE if by_machine else hand_labels.HAND
        known = candidates.reset_index().merge(table, left_on="name", right_on="img_name")
        for row in known.itertuples():
            kind: Kind = "machine" if row.made_by == hand_labels.MACHINE else "table"
            asked_early = kind == "table" and row.img_no in record.most_uncertain
            order: Order = "uncertain" if asked_early else "number"
            labels[row.seed] = Answer(int(row.gender_y), int(row.quality_y), order, kind)
    as_exported = record.table_sha256 == sha256
    return FoundTable(record.made_by, same_pictures, as_exported, labels, sha256, has_probabilities)


def check_replaceable(tool: Tool, found: FoundTable | None, candidates: pd.DataFrame) -> None:
    """Raise `UserError` rather than replace a person's labels of other pictures."""
    if found is None or found.same_pictures or found.by_machine:
        return
    if found.made_by == "unknown":
        whose = "labels without a usable JSON record beside them, so nobody knows for which pictures"
        mend = (
            "If they are for these very candidates, write the record (02_filter_candidates says how). If not,"
        )
    else:
        record = hand_labels.read_record(tool)
        whose = f"hand labels of other pictures (weights {record.weights_id} from seed {record.seed} on)"
        mend = "Bring those pictures back, or use another --workspace, or"
        if record.weights_id == candidates["weights_id"].iloc[0]:
            again = tool.command(GENERATE_STAGE, "--seed", str(record.seed), "--force")
            mend = f"Bring those pictures back:\n    {again}\n or"
    raise UserError(
        f"{tool.workspace / LABELS} holds {whose}, and an export would replace that work. {mend} label these "
        f"candidates and let the export replace the table (the old one is kept in {FOLDER}):\n    "
        f"{tool.command(tool.name, '--replace')}"
    )


def export(
    tool: Tool, candidates: pd.DataFrame, answers: Mapping[int, Answer], origin: str = ""
) -> tuple[str, str]:
    """Write the label table and its record.

    Args:
        answers: img_no -> answer.
        origin: who made the labels that were taken over from a table, if any.

    Returns:
        (what was written, for the person; SHA-256 of the table).

    Raises:
        UserError: nothing is labelled yet.
    """
    labelled = {n: answers[n] for n in sorted(answers) if not answers[n].skipped}
    if not labelled:
        raise UserError("nothing is labelled yet, so there is nothing to export. Label some pictures first.")
    rows = [(candidates["name"][n], answer.quality, answer.gender) for n, answer in labelled.items()]
    labels = pd.DataFrame(rows, columns=list(hand_labels.COLUMNS))
    if any(answer.by_machine for answer in labelled.values()):
        labels[hand_labels.MADE_BY] = [
            hand_labels.MACHINE if answer.by_machine else hand_labels.HAND for answer in labelled.values()
        ]
        for name in FILTERS:  # the page goes on with the unsure ones
            labels[hand_labels.probability_of(name)] = candidates.loc[list(labelled), name].to_numpy()
    kept_as = _keep_old(tool, candidates)
    table, record = tool.path(LABELS), tool.path(LABELS_RECORD)
    # Without a record a table is refused; an old record beside a new table would vouch for it wrongly.
    record.unlink(missing_ok=True)
    files.write(table, labels)
    sha256 = files.sha256_file(table)
    taken_over = sum(answer.taken_over for answer in labelled.values())
    files.write(
        record,
        {
            "weights_id": candidates["weights_id"].iloc[0],
            "seed": int(candidates["seed"].min()),
            "count": len(labels),
            "made_by": MADE_BY + (f"; {taken_over} {TAKEN_OVER}{origin}" if taken_over else ""),
            "skipped": sorted(n for n, answer in answers.items() if answer.skipped),
            "most_uncertain": sorted(n for n, answer in labelled.items() if answer.order == "uncertain"),
            "table_sha256": sha256,
            "exported": records.now(),
        },
    )
    message = f"{len(labels)} labels are in {LABELS}."
    counts = {name: int((labels[column] == value).sum()) for name, column, value in CLASSES}
    few = [f"{count} with {name!r}" for name, count in counts.items() if count < FEWEST_OF_A_CLASS]
    if few:
        message += f" Five folds need at least {FEWEST_OF_A_CLASS} labels of each class; there are "
        message += f"{', '.join(few)}."
    if kept_as:
        message += f" The table that was there is kept as {kept_as}."
    return message, sha256


def restart(tool: Tool, candidates: pd.DataFrame) -> str:
    """Set the earlier answers, and a person's table of these pictures, aside; returns where they are now."""
    found = find_table(tool, candidates)
    paths = [journal_path(tool.workspace, candidates["weights_id"].iloc[0])]
    if found is not None and found.is_a_persons:
        paths += [tool.workspace / LABELS, tool.workspace / LABELS_RECORD]
    folder = _copy_aside(tool, paths)
    for path in paths:
        path.unlink(missing_ok=True)
    return folder


def _keep_old(tool: Tool, candidates: pd.DataFrame) -> str:
    """Copy a table that this tool did not write for these pictures; returns where, or an empty text."""
    found = find_table(tool, candidates)
    if found is None or (found.same_pictures and found.as_exported):
        return ""
    return _copy_aside(tool, [tool.workspace / LABELS, tool.workspace / LABELS_RECORD])


def _copy_aside(tool: Tool, paths: list[Path]) -> str:
    folder = f"{FOLDER}/kept_{time.strftime('%Y%m%d_%H%M%S')}"
    there = [path for path in paths if path.is_file()]
    for path in there:
        files.copy_file(path, tool.workspace / folder / path.name)
    return folder if there else ""
