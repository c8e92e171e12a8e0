"""Pictures of the conditional VAE: people by seed with the conditions you set, sweeps, or a given picture
with a condition changed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, option, run_tool
from scripts.stages import workspace as at

CONDITION_HELP = "0 to 1; not given: the median of the training pictures, or the picture's own"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Generate pictures with the conditional VAE."""

    seeds: str = option("0-15", help="people: numbers and ranges, such as 0-15 or 3,7,20-24")
    from_image: Path | None = option(
        None, help="a picture to encode instead of people by seed; conditions not given are read from it"
    )
    change: tuple[str, ...] = option(
        (), help="--from-image: conditions of the result, such as mouth=.9; the others stay"
    )
    eyes: float | None = option(None, help=f"how far the eyes are open, {CONDITION_HELP}")
    hair_color: float | None = option(None, help=f"1 is dark, {CONDITION_HELP}")
    mouth: float | None = option(None, help=f"how far the mouth is open, {CONDITION_HELP}")
    background: float | None = option(None, help=f"1 is bright, {CONDITION_HELP}")
    head: float | None = option(None, help=f"0 to the left, 1 to the right, .5 ahead, {CONDITION_HELP}")
    hair_length: float | None = option(None, help=f"1 is long, {CONDITION_HELP}")
    background_std: float | None = option(None, help=f"1 is varied, {CONDITION_HELP}")
    sweep: tuple[str, ...] = option((), help="conditions to turn, condition=start:stop:count, as mouth=0:1:5")
    temperature: float = option(1.0, help="of the latents' noise; below 1: nearer to the average person")
    batch_size: int = option(64, help="pictures per forward pass; changes a picture by rounding only")
    scale: int = option(2, help="enlargement of the pictures in test_output.png")
    out: Path | None = option(None, help=f"folder of the pictures; None: <workspace>/{at.VAE_GENERATED}")

    def __post_init__(self) -> None:
        self.need_at_least(1, "batch_size", "scale")
        self.need_at_least(0, "temperature")
        if self.change and self.from_image is None:
            raise ValueError(
                "--change belongs to --from-image; give people by seed their conditions directly."
            )


def run(tool: Tool, options: Options) -> None:
    """Write pictures, their table and test_output.png."""
    from scripts.stages.cvae import generating

    generating.generate(tool, options)


if __name__ == "__main__":
    run_tool(Options, run, account="if possible")
