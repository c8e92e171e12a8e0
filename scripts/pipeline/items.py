"""Stages that make items (`img_no`) batch by batch, in one process or, under torchrun, in several.

The batches are those of one fixed grid; process r of n takes the batches r, r + n, ... A batch that was
interrupted is calculated again as a whole. So every item is calculated in the same company, and the result is
the same byte for byte however many processes made it (on machines that round alike).

Each process appends to a journal of its own. The first one adds the rows of the others to its own, at the
end and, where a run was killed, at the start of the next one, and writes the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.pipeline import files
from scripts.pipeline.journal import Journal
from scripts.pipeline.options import StageOptions, option
from scripts.pipeline.stage import Stage
from scripts.pipeline.torchrun import place_among_processes, wait_for_all

if TYPE_CHECKING:
    import pandas as pd

JOURNAL = "journal"


@dataclass(frozen=True)
class ItemOptions(StageOptions):
    """Options of a stage that makes items."""

    batch_size: int = option(32, help="items calculated at once", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "batch_size")


@dataclass(frozen=True)
class ItemWork:
    """What a stage does with its items, apart from how they are divided.

    Attributes:
        columns: of the journal and the table, ``img_no`` among them.
        keys: all items (``img_no``) in order.
        files: workspace-relative files that a row vouches for; an item without them is made again.
        make: makes the items of the batches, and appends a row for each that the journal lacks. It runs in
            every process, so it writes by `files.write`, not by `Stage.write`.
        finish: writes tables and pictures from the rows of all items.
        unit: what the items are, plural.
    """

    columns: Callable[[Any], Sequence[str]]
    keys: Callable[[Stage, Any], Sequence[int]]
    files: Callable[[Mapping[str, str]], Sequence[str]]
    make: Callable[[Stage, Any, Sequence[Sequence[int]], Journal], None]
    finish: Callable[[Stage, Any, pd.DataFrame], None]
    unit: str = "images"


def run_items(stage: Stage, options: ItemOptions, work: ItemWork) -> None:
    """Make the items of this process that are missing; the first process then finishes the stage."""
    place = place_among_processes()
    rank, count = (place.rank, place.count) if place else (0, 1)
    columns, keys = work.columns(options), work.keys(stage, options)

    def share(rows: Mapping[int, Mapping[str, str]]) -> list[Sequence[int]]:
        """Batches of this process with an item whose row or files are not there."""
        starts = range(rank * options.batch_size, len(keys), count * options.batch_size)
        batches = [keys[start : start + options.batch_size] for start in starts]

        def is_made(key: int) -> bool:
            return key in rows and all((stage.workspace / name).exists() for name in work.files(rows[key]))

        return [batch for batch in batches if not all(map(is_made, batch))]

    if rank > 0:
        wait_for_all()
        merged = Journal(stage.folder / f"{JOURNAL}.csv", columns)
        merged.read()
        with stage.journal(columns, name=f"{JOURNAL}_{rank}") as journal:
            work.make(stage, options, share(merged.rows), journal)
        wait_for_all()
        return
    with stage.journal(columns) as journal:
        _take_rows_of_others(stage, journal)
        wait_for_all()
        known = set(journal.rows)
        work.make(stage, options, share(journal.rows), journal)
        wait_for_all()
        _take_rows_of_others(stage, journal)
        failed = {key for key in keys if journal.rows[key].get("status", "ok") != "ok"}
        skipped = (set(keys) & known) - failed
        stage.count(work.unit, len(set(keys) - failed - skipped), len(skipped), len(failed))
        table = journal.frame()
    work.finish(stage, options, table[table["img_no"].isin(set(keys))].reset_index(drop=True))


def _take_rows_of_others(stage: Stage, journal: Journal) -> None:
    """Add the rows that other processes of this run, or of one that was killed, have written."""
    for path in sorted(stage.folder.glob(f"{JOURNAL}_*.csv")):
        other = Journal(path, journal.columns)
        other.read()
        for key in sorted(other.rows.keys() - journal.rows.keys()):
            journal.append(other.rows[key])
        files.remove(path)
