"""Options and inputs that the fine-tunings have in common; light, since ``--help`` reads them."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.pipeline import StageOptions, option
from scripts.stages import workspace
from stylegan.seeds import CONTROL

SCORED = (workspace.SCORES_INPUT, workspace.STATISTICS_INPUT, workspace.GENERATOR_INPUT)
JUDGED = (
    *SCORED,
    *workspace.FILTER_INPUTS,
    workspace.FILTER_TABLE_INPUT,
    workspace.LATENTS_INPUT,
    workspace.IDENTITY_INPUT,
    *workspace.PEOPLE_JUDGE_INPUTS,
)


@dataclass(frozen=True)
class FineTuningOptions(StageOptions):
    """Options of every fine-tuning beside its recipe."""

    control_latents: int = option(16, help="latents of the control measurement at the end")
    save_seconds: float = option(30.0, help="seconds between checkpoints", affects_results=False)
    preview_every: int = option(200, help="steps between preview pictures, 0: none", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "steps", "batch_size")
        self.need_at_least(0, "save_seconds", "preview_every")
        if not 2 <= self.control_latents <= len(CONTROL):
            raise ValueError(
                "--control-latents must be at least 2, since people are compared with each other, and at "
                f"most {len(CONTROL)}."
            )
