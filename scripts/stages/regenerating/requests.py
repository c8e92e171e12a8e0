"""What a command line of 08 asks for: people by seed, properties and sweeps.

Imports nothing heavy: 08_regenerate_images reads it for ``--help``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scripts.pipeline import UsageError
from scripts.pipeline.layers import nearest
from segmentation.property_table import PROPERTY_NAMES
from stylegan.seeds import PICTURES

MOST_PEOPLE = 1_000_000


def parse_seeds(text: str) -> list[int]:
    """'0-3,7' -> [0, 1, 2, 3, 7]; a malformed text is a `UsageError`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                f"--seeds {text!r} has a part {part!r} that is no number or range. Write 0-15 or 3,7,20-24."
            )
        numbers = range(int(first), int(last or first) + 1)
        if numbers.stop > PICTURES.stop or numbers.stop - numbers.start > MOST_PEOPLE:
            raise UsageError(
                f"--seeds {text!r}: a seed is below {PICTURES.stop}, and a range has at most {MOST_PEOPLE}."
            )
        seeds += numbers
    if not seeds:
        raise UsageError(f"--seeds {text!r} names nobody. Write 0-15 or 3,7,20-24.")
    return seeds


def parse_sweep(
    text: str, names: Sequence[str] = PROPERTY_NAMES, kind: str = "property", example: str = "mouth=-2:2:7"
) -> tuple[str, list[float]]:
    """'mouth=-2:2:5' -> ('mouth', [-2, -1, 0, 1, 2]); a malformed text is a `UsageError`.

    Args:
        names: of what can be turned.
        kind, example: what such a thing is called, and a sweep of it, for the message.
    """
    name, _, values = text.partition("=")
    if name not in names:
        raise UsageError(f"--sweep {text!r}: there is no {kind} {name!r}. {nearest(name, names)}")
    try:
        first, last, number = values.split(":")
        start, stop, count = float(first), float(last), int(number)
        if count < 1 or not math.isfinite(start) or not math.isfinite(stop):
            raise ValueError("no sweep")
        return name, [start + (stop - start) * i / max(count - 1, 1) for i in range(count)]
    except ValueError:
        raise UsageError(f"--sweep {text!r} is not {kind}=start:stop:count, such as {example}.") from None


def chosen_properties(options: Any) -> dict[str, float]:
    """The properties given by name."""
    return {name: value for name in PROPERTY_NAMES if (value := getattr(options, name)) is not None}


def chosen_steps(options: Any) -> list[tuple[str, float]]:
    """Dials to turn and where to: of the sweeps asked for, or of those that the preset shows when nothing is
    asked for and there are dials.
    """
    shown = () if chosen_properties(options) or options.version == "base" else options.show
    return [(name, value) for name, values in map(parse_sweep, options.sweep or shown) for value in values]
