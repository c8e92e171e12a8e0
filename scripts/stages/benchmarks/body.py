"""The body of benchmark: all areas, their table and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch

from scripts.pipeline import Tool, UserError, accounting, files
from scripts.stages.benchmarks import cnn, fine_tuning, scores, segmentation, sketch, stylegan, stylegan2
from scripts.stages.benchmarks.measurement import Measurement
from scripts.stages.fast_memory import keep_freed_memory

AREAS = {
    "stylegan": stylegan,
    "stylegan2": stylegan2,
    "fine_tuning": fine_tuning,
    "cnn": cnn,
    "segmentation": segmentation,
    "scores": scores,
    "sketch": sketch,
}
RESULT = "benchmark/results.json"
UNIT = "images/s"


def measure(tool: Tool, areas: Sequence[str], quick: bool) -> None:
    """Measure area by area, print a table and write the results."""
    keep_freed_memory()
    is_cuda = tool.device.type == "cuda"
    machine = {
        "device": torch.cuda.get_device_name(tool.device) if is_cuda else accounting.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
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
        if is_cuda:
            peak = torch.cuda.max_memory_allocated(tool.device) / 2**30
            tool.log(f"  peak memory of the GPU so far: {peak:.2f} GiB")
    for line in table(measurements):
        tool.log(line)
    tool.log(f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}")
    rows = [asdict(m) | {"unit": UNIT, "ratio": m.ratio} for m in measurements]
    files.write(tool.path(RESULT), {"machine": machine, "measurements": rows})
    tool.finish({"measurements": str(len(rows))}, [RESULT])
    tool.log(f"Wrote {tool.path(RESULT)}.")


def table(measurements: list[Measurement]) -> list[str]:
    """Lines of a table for the console."""
    width = max(len(measurement.name) for measurement in measurements)
    lines = [f"{'':{width}}{'ours':>10}{'plain':>10}{'ratio':>8}  unit"]
    for m in measurements:
        line = f"{m.name:{width}}{m.ours:10.3g}{m.plain:10.3g}{m.ratio:7.2f}x  {UNIT}; {m.note}"
        lines.append(line.rstrip("; "))
    return lines
