"""Label candidates by hand on a local page: woman or man, good or bad quality, one key per picture; or
pictures of the conditional VAEs by a number from 0 to 1.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cvae.conditions import CONDITION_NAMES
from scripts.pipeline import Tool, ToolOptions, option, run_tool

PORT = 8765


@dataclass(frozen=True)
class Options(ToolOptions):
    """Label candidates by hand on a local page: woman or man, good or bad quality, one key per picture."""

    count: int = option(400, help="pictures to label: the first so many by number, or so many in all")
    order: Literal["auto", "number", "uncertain"] = option(
        "auto",
        help="next picture by number, or the most uncertain of all candidates first; auto: by number until "
        "networks have made first labels, or 02 has learned from labels of this page",
    )
    grid: bool = option(False, help="open with pages of many pictures, of which the exceptions are marked")
    page_size: int = option(48, help="pictures of a page in grid mode")
    check: bool = option(False, help="second pass: labels that the networks of 02 contradict, worst first")
    disagreement: float = option(
        0.5, help="with --check: distance of label and probability above which a label is shown, 0 to 1"
    )
    export: bool = option(False, help="write the label table from the answers so far, without a page")
    replace: bool = option(False, help="an export may replace hand labels of other pictures (a copy is kept)")
    force: bool = option(False, help="begin anew; earlier answers and their table are set aside")
    condition: str = option(
        "",
        help="label this condition of the pictures of 20 instead, with numbers from 0 to 1 for 22 --source "
        f"labels: {', '.join(CONDITION_NAMES)}",
    )
    port: int = option(PORT, help="port of the page on 127.0.0.1; 0: any that is free")
    browser: bool = option(True, help="open the page in the browser")

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.page_size <= 200:
            raise ValueError("--count must be at least 1 and --page-size 1 to 200.")
        if not 0 <= self.disagreement < 1:
            raise ValueError("--disagreement must be at least 0 and less than 1.")
        if self.condition and self.condition not in CONDITION_NAMES:
            raise ValueError(f"--condition must be one of {', '.join(CONDITION_NAMES)}.")
        others = self.grid or self.check or self.export or self.replace or self.force
        if self.condition and (others or self.order != "auto"):
            raise ValueError(
                "--condition goes with --count and --port alone: each answer is in the table at once."
            )


def run(tool: Tool, options: Options) -> None:
    """Read what there is, then export or show the page."""
    from scripts.pages.labelling.server import label

    label(tool, options)


if __name__ == "__main__":
    run_tool(Options, run)
