"""Who reads the conditions of a picture: v2's property CNN, or the networks of 22 for hand labels."""

from __future__ import annotations

from typing import Any

from torch import nn

from cvae.conditions import ConditionScale
from cvae.reader import LabelReader, ScoreReader
from scripts.pipeline import Tool
from scripts.stages import networks
from scripts.stages import workspace as at
from scripts.stages.cvae.folds import SIZE_PX, MissingReaderError, load_folds


def condition_reader(tool: Tool, record: dict[str, Any]) -> nn.Module:
    """The reader of the conditions of a record of 22, frozen, on the device.

    Raises:
        MissingReaderError: there is no such network.
    """
    reader: nn.Module
    if "scale" in record:
        if not (tool.workspace / at.PROPERTY_CNN).exists():
            raise MissingReaderError(
                f"there is no {at.PROPERTY_CNN}, so nothing reads conditions from new people, and they would "
                f"hardly follow them. Give --conditions-weight 0, or make it:\n    "
                f"{tool.command('06_fine_tune_v2')}"
            )
        reader = ScoreReader(networks.load_property_cnn(tool), ConditionScale.from_dict(record["scale"]))
    else:
        reader = LabelReader([load_folds(tool, name) for name in record["names"]], SIZE_PX)
    return reader.to(tool.device).eval().requires_grad_(False)
