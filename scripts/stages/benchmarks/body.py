"""The body of benchmark: all areas, their table and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch

from scripts.pipeline import Tool, UserError, accounting, files
from scripts.stages.benchmarks import Measurement, cnn, scores, segmentation, stylegan, stylegan2
from scripts.stages.fast_memory import keep_freed_memory

AREAS = {
    "stylegan": stylegan,
    "stylegan2": stylegan2,
    "cnn": cnn,
    "segmentation": segmentation,
    "scores": scores,
}
RESULT = "benchmark/results.json"


def measure(tool: Tool, areas: Sequence[str], quick: bool) -> None:
    """Measure area by area, print a table and write the results."""
    keep_freed_memory()
    about = machine(tool.device)
    measurements = []
    for area in areas:
        tool.check_stop()
        tool.log(f"Measuring {area} ...")
        try:
            measurements += AREAS[area].measure(tool.device, quick)
        except RuntimeError as error:
            raise UserError(
                f"The benchmark of {area} stopped: {error}. Figures of it would mean nothing. "
                "Run the tests first: scripts/run_tests.sh"
            ) from error
    for line in table(measurements):
        tool.log(line)
    tool.log(f"{about['device']}, {about['threads']} threads, torch {about['torch']}")
    rows = [asdict(m) | {"ratio": m.ratio} for m in measurements]
    files.write_json(tool.path(RESULT), {"machine": about, "measurements": rows})
    tool.finish({"measurements": str(len(rows))}, [RESULT])
    tool.log(f"Wrote {tool.path(RESULT)}.")


def machine(device: torch.device) -> dict[str, str | int]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else accounting.processor()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def table(measurements: list[Measurement]) -> list[str]:
    """Lines of a table for the console."""
    width = max(len(measurement.name) for measurement in measurements)
    lines = [f"{'':{width}}{'ours':>10}{'plain':>10}{'ratio':>8}  unit"]
    for m in measurements:
        lines.append(
            f"{m.name:{width}}{m.ours:10.3g}{m.plain:10.3g}{m.ratio:7.2f}x  {m.unit}; {m.note}".rstrip("; ")
        )
    return lines
