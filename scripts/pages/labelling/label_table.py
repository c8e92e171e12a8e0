"""The document's label table: what lies there already, and writing the journal's answers to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.pages.labelling.answers import FOLDER, Answer, journal_path
from scripts.pages.labelling.candidates import FILTER_STAGE, GENERATE_STAGE, Candidates
from scripts.pipeline import Tool, UserError, files, records, tables
from scripts.stages.filtering import hand_labels
from scripts.stages.workspace import LABELS, LABELS_RECORD

MADE_BY = "hand (label_images)"
TAKEN_OVER = "labels taken over from: "
FEWEST_OF_A_CLASS = 5


@dataclass(frozen=True)
class FoundTable:
    """A label table that lies in the workspace.

    Attributes:
        made_by: what its record says.
        same_pictures: it belongs to these candidates.
        as_exported: it is, byte for byte, an export of this tool.
        labels: seed -> answer; empty unless it belongs to these candidates.
        sha256: of the file.
    """

    made_by: str
    same_pictures: bool
    as_exported: bool
    labels: Mapping[int, Answer]
    sha256: str

    @property
    def by_machine(self) -> bool:
        """True for stand-ins that a network made."""
        return hand_labels.is_machine_made(self.made_by)

    @property
    def is_a_persons(self) -> bool:
        """True for a person's labels of these candidates."""
        return self.same_pictures and not self.by_machine


def find_table(tool: Tool, candidates: Candidates) -> FoundTable | None:
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
    as_exported = record.table_sha256 == sha256
    same_pictures = (record.weights_id, record.seed) == (candidates.weights_id, candidates.first_seed)
    labels = _answers(hand_labels.read_labels(tool), record, candidates) if same_pictures else {}
    return FoundTable(record.made_by, same_pictures, as_exported, labels, sha256)


def _answers(
    table: pd.DataFrame, record: hand_labels.LabelRecord, candidates: Candidates
) -> dict[int, Answer]:
    """Seed -> answer of the rows that name a candidate."""
    numbers = {name: img_no for img_no, name in candidates.names().items()}
    answers = {}
    for name, gender, quality in zip(table["img_name"], table["gender"], table["quality"], strict=True):
        if name in numbers:
            order = "uncertain" if numbers[name] in record.most_uncertain else "number"
            seed = candidates.seeds[numbers[name]]
            answers[seed] = Answer(int(gender), int(quality), order, taken_over=True)
    return answers


def check_replaceable(tool: Tool, found: FoundTable | None, candidates: Candidates) -> None:
    """Raise `UserError` rather than replace a person's labels of other pictures."""
    if found is None or found.same_pictures or found.by_machine:
        return
    here = tool.workspace / LABELS
    if found.made_by == "unknown":
        whose = "labels without a usable JSON record beside them, so nobody knows for which pictures"
        mend = (
            "If they are for these very candidates, write the record (02_filter_candidates says how). If not,"
        )
    else:
        record = hand_labels.read_record(tool)
        whose = f"hand labels of other pictures (weights {record.weights_id} from seed {record.seed} on)"
        mend = "Bring those pictures back"
        if record.weights_id == candidates.weights_id:
            again = tool.command(GENERATE_STAGE, "--seed", str(record.seed), "--force")
            mend += f":\n    {again}\n"
        else:
            mend += ", or use another --workspace,"
        mend += " or"
    raise UserError(
        f"{here} holds {whose}, and an export would replace that work. {mend} label these candidates and "
        f"let the export replace the table (the old one is kept in {FOLDER}):\n    "
        f"{tool.command(tool.name, '--replace')}"
    )


@dataclass(frozen=True)
class Export:
    """What an export wrote.

    Attributes:
        count: rows of the table.
        message: one or two sentences for the person.
        next_command: command to type next.
        table_sha256: the table.
    """

    count: int
    message: str
    next_command: str
    table_sha256: str


def export(tool: Tool, candidates: Candidates, answers: Mapping[int, Answer], origin: str = "") -> Export:
    """Write the label table and its record.

    Args:
        answers: seed -> answer; seeds that are not among the candidates stay in the journal only.
        origin: who made the labels that were taken over from a table, if any.

    Raises:
        UserError: nothing is labelled yet.
    """
    known = {candidates.numbers[seed]: a for seed, a in answers.items() if seed in candidates.numbers}
    labelled = {n: known[n] for n in sorted(known) if not known[n].skipped}
    if not labelled:
        raise UserError("nothing is labelled yet, so there is nothing to export. Label some pictures first.")
    names = candidates.names()
    rows = [(names[n], answer.quality, answer.gender) for n, answer in labelled.items()]
    table, record = tool.path(LABELS), tool.path(LABELS_RECORD)
    kept_as = _keep_old(tool, candidates)
    # Without a record a table is refused; an old record beside a new table would vouch for it wrongly.
    record.unlink(missing_ok=True)
    tables.write_csv(table, pd.DataFrame(rows, columns=list(hand_labels.COLUMNS)))
    table_sha256 = files.sha256_file(table)
    taken_over = sum(answer.taken_over for answer in labelled.values())
    files.write_json(
        record,
        {
            "weights_id": candidates.weights_id,
            "seed": candidates.first_seed,
            "count": len(rows),
            "made_by": MADE_BY + (f"; {taken_over} {TAKEN_OVER}{origin}" if taken_over else ""),
            "skipped": sorted(n for n, answer in known.items() if answer.skipped),
            "most_uncertain": sorted(n for n, answer in labelled.items() if answer.order == "uncertain"),
            "table_sha256": table_sha256,
            "exported": records.now(),
        },
    )
    message = f"{len(rows)} labels are in {LABELS}." + _shortage(list(labelled.values()))
    if kept_as:
        message += f" The table that was there is kept as {kept_as}."
    redo = ["--force"] if records.read(tool.workspace, FILTER_STAGE) else []
    return Export(len(rows), message, tool.command(FILTER_STAGE, *redo), table_sha256)


def restart(tool: Tool, candidates: Candidates) -> str:
    """Set the earlier answers, and a person's table of these pictures, aside; returns where they are now."""
    journal = journal_path(tool.workspace, candidates.weights_id)
    found = find_table(tool, candidates)
    own_table = found is not None and found.is_a_persons
    folder = _copy_aside(
        tool, [*([journal] if journal.is_file() else []), *(_pair(tool) if own_table else [])]
    )
    journal.unlink(missing_ok=True)
    if own_table:
        for path in _pair(tool):
            path.unlink(missing_ok=True)
    return folder


def _pair(tool: Tool) -> list[Path]:
    """The label table and its record."""
    return [tool.workspace / relative for relative in (LABELS, LABELS_RECORD)]


def _keep_old(tool: Tool, candidates: Candidates) -> str:
    """Copy a table that this tool did not write for these pictures; returns where, or an empty text."""
    found = find_table(tool, candidates)
    if found is None or (found.same_pictures and found.as_exported):
        return ""
    return _copy_aside(tool, _pair(tool))


def _copy_aside(tool: Tool, paths: list[Path]) -> str:
    folder = f"{FOLDER}/kept_{time.strftime('%Y%m%d_%H%M%S')}"
    for path in paths:
        if path.is_file():
            files.copy_file(path, tool.workspace / folder / path.name)
    return folder if paths else ""


def _shortage(labelled: list[Answer]) -> str:
    """Which class has too few labels for five folds, as a sentence; empty if none."""
    counts = {
        "man": sum(answer.gender == 0 for answer in labelled),
        "woman": sum(answer.gender == 1 for answer in labelled),
        "bad": sum(answer.quality == 0 for answer in labelled),
        "good": sum(answer.quality == 1 for answer in labelled),
    }
    few = [f"{count} with {name!r}" for name, count in counts.items() if count < FEWEST_OF_A_CLASS]
    if not few:
        return ""
    return f" Five folds need at least {FEWEST_OF_A_CLASS} labels of each class; there are {', '.join(few)}."
