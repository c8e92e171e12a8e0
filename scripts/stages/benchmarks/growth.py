"""How time and memory of the stages grow with the pictures: the row at 1, 4 and 16 times as many.

What a stage takes at its start, such as loading networks, is in all three runs alike, so exponents are those
of the differences: 1 where four times the pictures add four times as much, 2 where they add sixteen times.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from scripts.pipeline import Tool, UserError, files
from scripts.pipeline.places import REPOSITORY

SCALES = (1, 4, 16)
RESULT = "benchmark/growth.json"
CANDIDATES, PEOPLE, POPULATION = 128, 32, 32  # at scale 1
LARGEST_EXPONENT = 1.1
LEAST_SECONDS, LEAST_MIB = 2.0, 300.0  # what a difference must be to tell more than scatter


class Use(NamedTuple):
    """What one run of a stage took."""

    seconds: float
    """Of the processor, which other work of the machine does not lengthen."""
    memory_mib: float
    """At the most."""


def stage_arguments(scale: int) -> dict[str, tuple[str, ...]]:
    """The stages, each with what it is told at a scale; the trainings take as many steps at each."""
    return {
        "00_fetch_weights": (),
        "01_generate_candidates": ("--count", str(CANDIDATES * scale)),
        # All are kept: networks of two epochs would keep few at every scale.
        "02_filter_candidates": (
            *("--label-count", str(CANDIDATES)),
            *("--keep", "all", "--quality-threshold", "0"),
        ),
        "03_segment_faces": (),
        "04_compute_property_scores": (),
        "05_fine_tune_v1": (),
        "06_fine_tune_v2": ("--pool", str(PEOPLE * scale)),
        "07_fine_tune_v3": ("--people", str(PEOPLE * scale)),
        "09_evaluate": ("--population", str(POPULATION * scale), "--versions", "v1"),
    }


def measure(tool: Tool) -> None:
    """Run the row at all scales, print a table and write the results."""
    used: dict[str, list[Use]] = {}
    for scale in SCALES:
        with tempfile.TemporaryDirectory() as folder:
            for name, arguments in stage_arguments(scale).items():
                tool.check_stop()
                use = run_stage(name, ("--workspace", folder, *arguments), tool.options.threads)
                tool.log(f"  {scale:2} x: {name} {use.seconds:.1f} s, {use.memory_mib:.0f} MiB")
                used.setdefault(name, []).append(use)
    rows = [row_of(name, uses) for name, uses in used.items()]
    for row in rows:
        time, memory = (spell(row[key]) for key in ("time_exponent", "memory_exponent"))
        tool.log(f"{row['stage']:28} time ^ {time}, memory ^ {memory}")
    files.write(tool.path(RESULT), {"scales": list(SCALES), "stages": rows})
    exponents = [row[key] for row in rows for key in ("time_exponent", "memory_exponent")]
    largest = max((exponent for exponent in exponents if exponent is not None), default=0.0)
    tool.finish({"largest exponent": f"{largest:.2f} (goal: at most {LARGEST_EXPONENT})"}, [RESULT])


def run_stage(name: str, arguments: Sequence[str], threads: int) -> Use:
    """Run a stage of the preset smoke in a process of its own.

    Raises:
        UserError: it failed.
    """
    command = [sys.executable, str(REPOSITORY / "scripts" / f"{name}.py"), "--preset", "smoke", *arguments]
    with tempfile.TemporaryFile() as output:
        threads_given = ["--threads", str(threads)] if threads else []
        process = subprocess.Popen([*command, *threads_given], stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise UserError(f"{name} failed:\n{output.read().decode(errors='replace')[-2000:]}")
    return Use(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row_of(name: str, uses: Sequence[Use]) -> dict[str, Any]:
    """What the three runs of a stage took, and both exponents."""
    return {
        "stage": name,
        "seconds": [round(use.seconds, 2) for use in uses],
        "memory_mib": [round(use.memory_mib, 1) for use in uses],
        "time_exponent": exponent([use.seconds for use in uses], LEAST_SECONDS),
        "memory_exponent": exponent([use.memory_mib for use in uses], LEAST_MIB),
    }


def exponent(values: Sequence[float], least: float) -> float | None:
    """Exponent of the growth over scales 1, 4 and 16 of what is beyond a constant; None: it hardly grows."""
    first, second = (after - before for before, after in zip(values, values[1:], strict=False))
    if second < least:
        return None
    return round(math.log(second / max(first, least / 4)) / math.log(SCALES[1]), 2)


def spell(value: float | None) -> str:
    return "0 (hardly grows)" if value is None else str(value)
