"""The options of train_stylegan, which every module of its room knows.

Imports nothing heavy: train_stylegan reads it for ``--help``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from scripts.pipeline import ToolOptions, option
from scripts.pipeline.places import PRESETS

# isort: split
import tyro  # behind `scripts`, which says in a sentence where it is missing

FEWEST = 4
DEFAULT_PLAN = PRESETS / "training" / "base_generator_128.toml"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Train a StyleGAN generator and discriminator; the same command resumes a stopped training."""

    plan: Path = option(DEFAULT_PLAN, help="TOML file with the networks and the phases of the training")
    out: Path | None = option(None, help="folder of the results; None: <workspace>/base_generator")
    portraits: int = option(0, help="train on so many rendered portraits")
    first_portrait: int = option(1_000_000, help="seed of the first portrait")
    repeat_low_quality: int = option(1, help="times that portraits of low quality are shown in a pass")
    folder: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = option(
        (), help="train on the pictures in this folder; may be given several times"
    )
    init: Path | None = option(
        None, help="StyleGAN weights to start from (generator and discriminator), of the plan's architecture"
    )
    freeze_d: int | None = option(
        None, help="train only the last so many resolutions of the discriminator; None: as the plan says"
    )
    minutes: float = option(0.0, help="stop after so many minutes; 0: no limit", affects_results=False)
    processes: int = option(2, help="processes that render portraits", affects_results=False)
    save_seconds: float = option(120.0, help="seconds between two checkpoints", affects_results=False)
    preview_kimg: float | None = option(
        None,
        help="thousands of images between two previews; 0: none, None: 20 in the plan, or 10 thousand "
        "images where a phase ends by seconds",
        affects_results=False,
    )
    previews: int = option(32, help="pictures in a preview", affects_results=False)
    kid_kimg: float | None = option(
        None,
        help="thousands of images between two measurements of KID; 0: none, None: as for previews",
        affects_results=False,
    )
    kid_count: int = option(500, help="samples, and pictures at most, that KID compares")
    kid_features: Literal["auto", "oracle", "detector"] = option(
        "auto",
        help="network whose features KID uses: the oracle (portraits) or the face detector (photographs)",
    )
    bundle: Path | None = option(
        None, help="also write the finished networks here, in half precision", affects_results=False
    )
    force: bool = option(False, help="start over although there is a checkpoint", affects_results=False)

    def __post_init__(self) -> None:
        if self.kid_count < FEWEST or 0 < self.portraits < FEWEST:
            raise ValueError(
                f"--kid-count and --portraits must be at least {FEWEST}: KID compares two halves of the "
                "data, and a half needs two pictures."
            )
        if min(self.previews, self.processes, self.repeat_low_quality) < 1:
            raise ValueError("--previews, --processes and --repeat-low-quality must be at least 1.")
