"""Measure the speed of the project's parts, each against the plain way of doing the same."""

import importlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UserError, accounting, files, option, run_tool
from scripts.stages.fast_memory import keep_freed_memory

if TYPE_CHECKING:
    import torch

    from scripts.stages.benchmarks import Measurement

AREAS = ("stylegan", "stylegan2", "cnn", "segmentation", "scores")
RESULT = "benchmark/results.json"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Measure the speed of the project's parts, each against the plain way of doing the same."""

    only: tuple[str, ...] = option(AREAS, help=f"areas to measure, of {', '.join(AREAS)}")
    quick: bool = option(False, help="fewer cases and repeats")

    def __post_init__(self) -> None:
        unknown = [area for area in self.only if area not in AREAS]
        if unknown or not self.only:
            raise ValueError(f"--only takes one or more of {', '.join(AREAS)}; {unknown} is not among them.")


def machine(device: "torch.device") -> dict[str, str | int]:
    """What the figures were measured on."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else accounting.processor()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def table(measurements: "list[Measurement]") -> list[str]:
    """Lines of a table for the console."""
    width = max(len(measurement.name) for measurement in measurements)
    lines = [f"{'':{width}}{'ours':>10}{'plain':>10}{'ratio':>8}  unit"]
    for m in measurements:
        lines.append(
            f"{m.name:{width}}{m.ours:10.3g}{m.plain:10.3g}{m.ratio:7.2f}x  {m.unit}; {m.note}".rstrip("; ")
        )
    return lines


def run(tool: Tool, options: Options) -> None:
    """Measure area by area, print a table and write the results."""
    keep_freed_memory()
    about = machine(tool.device)
    measurements = []
    for area in options.only:
        tool.check_stop()
        tool.log(f"Measuring {area} ...")
        try:
            module = importlib.import_module(f"scripts.stages.benchmarks.{area}")
            measurements += module.measure(tool.device, options.quick)
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


if __name__ == "__main__":
    run_tool(Options, run)
