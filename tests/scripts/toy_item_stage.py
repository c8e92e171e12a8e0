"""A numbered script that makes text files, in one process or several."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Journal, Stage, StageSpec, option, run_stage
from scripts.pipeline.items import ItemOptions, ItemWork, run_items

COLUMNS = ("img_no", "img_path", "company")
TABLE = "toy/toys.csv"


@dataclass(frozen=True)
class Options(ItemOptions):
    """Make toys."""

    count: int = option(11, help="toys to make")
    factor: int = option(1, help="value per toy")
    batch_size: int = option(2, help="toys made at once", affects_results=False)
    stop_after: int = option(0, help="stop after as many toys; 0: never", affects_results=False)
    pause_s: float = option(0.0, help="seconds per toy", affects_results=False)


SPEC = StageSpec(
    name="90_toy",
    outputs=(TABLE,),
    clears=("toy/items",),
    next_script="91_sell",
    several_processes=True,
)


def toy_path(img_no: int) -> str:
    """Workspace-relative file of a toy."""
    return f"toy/items/{img_no:06d}.txt"


def make(stage: Stage, options: Options, batches: Sequence[Sequence[int]], journal: Journal) -> None:
    """A toy's row and file depend on its whole batch, as rounding does; the log counts what was made."""
    made = 0
    for batch in batches:
        company = "-".join(map(str, batch))
        for img_no in batch:
            if options.stop_after and made == options.stop_after:
                raise KeyboardInterrupt
            time.sleep(options.pause_s)
            with stage.atomic(toy_path(img_no)) as temporary:
                temporary.write_text(f"{company} times {options.factor}")
            with stage.path("made.log").open("a") as log:
                log.write(f"{os.getpid()} {img_no}\n")
            if img_no not in journal:
                journal.append({"img_no": img_no, "img_path": toy_path(img_no), "company": company})
            made += 1


def finish(stage: Stage, options: Options, table) -> None:
    """Write the table."""
    stage.write(TABLE, table)
    stage.finish({"toys": str(len(table))}, [TABLE])


def files_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """The file of a toy."""
    return (row["img_path"],)


WORK = ItemWork(
    columns=lambda options: COLUMNS,
    keys=lambda stage, options: range(options.count),
    files=files_of,
    make=make,
    finish=finish,
)


def run(stage: Stage, options: Options) -> None:
    """Make the toys that are missing, then the table."""
    run_items(stage, options, WORK)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
