"""Regenerate pictures with a fine-tuned generator: choose people by seed, set their properties, sweep the
dials; or edit a photograph with v3, or a person whom project_photos found.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool
from scripts.stages.regenerating.requests import chosen_properties
from scripts.stages.workspace import REGENERATED

PROPERTY_HELP = "normalised, 0 = mean of the training pictures; not given: median, or the photograph's own"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Regenerate pictures: seeds are people, properties are dials."""

    version: Literal["base", "cvae", "v1", "v2", "v3"] = option(
        "v3", help="generator; base ignores the properties; cvae is that of 23_train_cvae"
    )
    seeds: str = option("0-15", help="people: numbers and ranges, such as 0-15 or 3,7,20-24")
    from_image: Path | None = option(
        None, help="a photograph to edit instead of people by seed (v3); see also align_photos"
    )
    person: Path | None = option(
        None, help="a person whom project_photos found, instead of people by seed (v2, v3)"
    )
    eyes: float | None = option(None, help=PROPERTY_HELP)
    hair_color: float | None = option(None, help=PROPERTY_HELP)
    hair_length: float | None = option(None, help=PROPERTY_HELP)
    mouth: float | None = option(None, help=PROPERTY_HELP)
    pose: float | None = option(None, help=PROPERTY_HELP)
    background_mean: float | None = option(None, help=PROPERTY_HELP)
    background_std: float | None = option(None, help=PROPERTY_HELP)
    sweep: tuple[str, ...] = option(
        (), help="dials to turn, each property=start:stop:count, such as mouth=-2:2:7"
    )
    show: tuple[str, ...] = option((), help="sweeps to show when neither a property nor --sweep is given")
    trunc_psi: float = option(1.0, help="truncation of w: 1 none, 0 the average person")
    corrections: int = option(1, help="closed-loop corrections of v2 and v3 (0: none)")
    measure: bool = option(True, help="read the pictures with the face parser and write what it measures")
    batch_size: int = option(
        32, help="pictures per forward pass; changes a picture by rounding only, if at all"
    )
    scale: int = option(2, help="enlargement of the pictures in grid.png")
    out: Path | None = option(
        None, help=f"folder for pictures, images.csv and grid.png; None: <workspace>/{REGENERATED}"
    )

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.scale < 1:
            raise ValueError("--batch-size and --scale must be at least 1.")
        if self.from_image is not None and self.version != "v3":
            raise ValueError(f"--from-image needs --version v3: {self.version} cannot encode a photograph.")
        if self.person is not None and (self.from_image is not None or self.version not in ("v2", "v3")):
            raise ValueError(
                "--person needs --version v2 or v3, in which the person was found, and no --from-image."
            )
        if self.version == "base" and (self.sweep or chosen_properties(self)):
            raise ValueError(
                "--version base has no dials, so its pictures would not show what their names say. Leave the "
                "properties and --sweep out, or give --version v1, v2 or v3."
            )


def run(tool: Tool, options: Options) -> None:
    from scripts.stages.regenerating.stage import regenerate

    regenerate(tool, options)


if __name__ == "__main__":
    run_tool(Options, run, account="if possible")
