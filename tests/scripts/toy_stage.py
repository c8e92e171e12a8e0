"""A numbered script that makes text files, to test the frame around the real ones."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage

ITEMS = "toy/items"


@dataclass(frozen=True)
class Options(StageOptions):
    """Make toys."""

    count: int = option(5, help="toys to make")
    factor: float = option(0.5, help="value per toy")
    kind: Literal["round", "square"] = option("round", help="shape")
    sizes: tuple[int, ...] = option((1, 2), help="sizes in mm")
    title: str | None = option(None, help="title")
    pause_s: float = option(0.0, help="seconds per toy", affects_results=False)
    pad_bytes: int = option(0, help="extra bytes per toy", affects_results=False)
    fail_every: int = option(0, help="every n-th toy fails; 0: none", affects_results=False)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("--count must not be negative.")


SPEC = StageSpec(
    name="90_toy",
    inputs=(Input("raw/wood.txt", made_by="89_wood"), Input("raw/paint.txt", optional=True)),
    outputs=("toy/toys.csv",),
    clears=(ITEMS,),
    next_script="91_sell",
)


def new_workspace(folder: Path) -> Path:
    """A workspace in which the stage can run."""
    (folder / "raw").mkdir(parents=True)
    (folder / "raw/wood.txt").write_text("oak")
    return folder


def run(stage: Stage, options: Options) -> None:
    """Make what is missing; each item's file tells which process made it."""
    import os

    with (
        stage.journal(("img_no", "img_path", "value", "status")) as journal,
        stage.progress(options.count, "toys", done=len(journal)) as progress,
    ):
        for img_no in range(options.count):
            if img_no in journal:
                continue
            time.sleep(options.pause_s)
            path = f"{ITEMS}/{img_no:06d}.txt"
            with stage.atomic(path) as temporary:
                temporary.write_text(f"{os.getpid()}" + "x" * options.pad_bytes)
            failed = options.fail_every and img_no % options.fail_every == 0
            row = {
                "img_no": img_no,
                "img_path": path,
                "value": img_no * options.factor,
                "status": "bad" if failed else "ok",
            }
            journal.append(row)
            progress.update()
        frame = journal.frame()
    stage.check_failures(int((frame["status"] == "bad").sum()), options.count)
    stage.write("toy/toys.csv", frame)
    stage.finish({"toys": str(options.count)}, ["toy/toys.csv"])


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
