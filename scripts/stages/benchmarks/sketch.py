"""Speed of a training step from sketches to portraits, against float32 in the usual order of memory, with
torch's Adam as it is by default.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from scripts.stages.benchmarks.measurement import Measurement, seconds_by_turns
from sketch.colors import COLOR_NAMES
from sketch.lines import Stroke, draw
from sketch.pairs import SketchPairs
from sketch.recipes import SketchRecipe
from sketch.training import SketchTrainer

SIZE = 128
SMALL = SketchRecipe(width=32, most_channels=128, depth=6, discriminator_width=32, batch_size=8)
PUBLISHED = SketchRecipe(depth=7, batch_size=4)  # the widths of the document's networks
REPEATS = 5
WARM_UP = 2


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Steps of D and G together at 128 px."""
    cases = {"3 million parameters": SMALL} | ({} if quick else {"the document's widths": PUBLISHED})
    return [_measure(name, recipe, device, 2 if quick else REPEATS) for name, recipe in cases.items()]


def _measure(name: str, recipe: SketchRecipe, device: torch.device, repeats: int) -> Measurement:
    trainers = {way: SketchTrainer(_pairs(), recipe, device) for way in ("ours", "plain")}
    plain = trainers["plain"]
    plain.precision = "float32"
    for module in plain.modules().values():
        module.to(memory_format=torch.contiguous_format)
    for optimizer in plain.optimizers().values():
        for group in optimizer.param_groups:
            group["fused"] = False

    def step_of(trainer: SketchTrainer) -> Callable[[], float]:
        return lambda: float(trainer.step()["pixel"])

    ways = {way: step_of(trainer) for way, trainer in trainers.items()}
    for _ in range(WARM_UP):
        for way in ways.values():
            way()
    seconds = seconds_by_turns(ways, repeats)
    count = recipe.batch_size
    note = f"batch {count}; bf16 where the hardware is made for it, channels last, fused Adam"
    label = f"sketch {SIZE} px, {name}, training step"
    return Measurement(label, count / seconds["ours"], count / seconds["plain"], note)


def _pairs() -> SketchPairs:
    """Circles; what they show does not matter here."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([0.5 + 0.3 * np.cos(angles), 0.5 + 0.3 * np.sin(angles)], axis=1)
    strokes = [Stroke("face", circle.astype(np.float32), closed=True)]
    sketch = draw(strokes, SIZE)
    portraits = np.repeat(np.repeat(sketch[None, :, :, None], 3, axis=3), 8, axis=0)
    colors = np.full((8, len(COLOR_NAMES), 3), 128, np.float32)
    return SketchPairs(portraits, np.repeat(sketch[None], 8, axis=0), [strokes] * 8, colors)
