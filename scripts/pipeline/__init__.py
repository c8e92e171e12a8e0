"""The stage convention: options, inputs, fingerprints, journals, atomic files and readable errors.

Knows files and nothing about faces. Importing it is cheap: torch and pandas load only when needed.
"""

from scripts.pipeline.errors import (
    Interrupted,
    MissingInputError,
    TooManyFailuresError,
    UsageError,
    UserError,
)
from scripts.pipeline.journal import Journal
from scripts.pipeline.options import StageOptions, ToolOptions, option
from scripts.pipeline.places import REPOSITORY
from scripts.pipeline.runner import run_stage, run_tool
from scripts.pipeline.spec import Input, StageSpec
from scripts.pipeline.stage import Stage, Tool

__all__ = [
    "REPOSITORY",
    "Input",
    "Interrupted",
    "Journal",
    "MissingInputError",
    "Stage",
    "StageOptions",
    "StageSpec",
    "TooManyFailuresError",
    "Tool",
    "ToolOptions",
    "UsageError",
    "UserError",
    "option",
    "run_stage",
    "run_tool",
]
