"""The account of a result: its code and machine, the attempts it took, and what became of the items."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.pipeline import manifest
from scripts.pipeline.console import running_command
from scripts.pipeline.errors import Interrupted, UserError
from scripts.pipeline.layers import REPOSITORY
from scripts.pipeline.options import ToolOptions, plain_value

if TYPE_CHECKING:
    from scripts.pipeline.stage import Tool

RECORDED_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "opencv-python-headless")
SEED_OPTION = "seed"
KIB_PER_MIB = 1024
Counts = dict[str, dict[str, int]]
"""Unit -> how many are done, skipped and failed."""


def origin(options: ToolOptions, script_version: int | None = None) -> dict[str, Any]:
    """Where a result comes from: command line, commit, seeds, versions and processor.

    ``dirty`` is True if files under version control differed from the commit; both are None without git.
    """
    commit, dirty = _code()
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    if script_version is not None:
        versions["script"] = str(script_version)
    return {
        "command": running_command(),
        "commit": commit,
        "dirty": dirty,
        "seeds": {
            name: plain_value(value)
            for name, value in vars(options).items()
            if SEED_OPTION in name.split("_") or name == "seeds"
        },
        "versions": versions,
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def _code() -> tuple[str | None, bool | None]:
    """Commit of the code, and whether it was changed since."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    if found.returncode != 0:
        return None, None
    commit, _, dirty = found.stdout.strip().partition("-")
    return commit, bool(dirty)


def processor() -> str:
    """Name of the CPU."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def device_of(tool: Tool) -> dict[str, Any]:
    """Device that a script computed on, its name and the CPU threads; "none" if it needed none."""
    device = tool.__dict__.get("device")
    if device is None:
        return {"device": "none"}
    import torch

    is_cuda = device.type == "cuda"
    return {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if is_cuda else processor(),
        "threads": torch.get_num_threads(),
    }


def peak_memory(tool: Tool) -> dict[str, float]:
    """Most memory that the process held so far, in MiB, and most that torch held on the GPU in use."""
    peak = {"peak_memory_mib": round(peak_memory_mib(), 1)}
    device = tool.__dict__.get("device")
    if device is not None and device.type == "cuda":
        import torch

        peak["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak


def peak_memory_mib() -> float:
    """Most resident memory that this process held so far, in MiB."""
    # ru_maxrss also counts what the process was before it became this program.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIB_PER_MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (KIB_PER_MIB**2 if sys.platform == "darwin" else KIB_PER_MIB)


@contextmanager
def attempt(
    record: dict[str, Any], earlier: Iterable[Mapping[str, Any]], tool: Tool, save: Callable[[], None]
) -> Iterator[Callable[[], float]]:
    """Keep the account of one run in its record, however it ends.

    Args:
        record: gets ``attempts`` (those of earlier runs and this one), and at the end ``seconds`` (their
            sum), ``counts``, the device and the peak memory of this one.
        earlier: attempts of earlier runs; see `closed`.
        tool: the running script.
        save: writes the record.

    Yields:
        Function that gives the seconds of all attempts so far.
    """
    started_at = time.monotonic()
    own: dict[str, Any] = {"started": manifest.now()}
    record["attempts"] = [*earlier, own]
    record["started"] = record["attempts"][0]["started"]

    def total() -> float:
        own["seconds"] = round(time.monotonic() - started_at, 1)
        return round(sum(known.get("seconds", 0.0) for known in record["attempts"]), 1)

    save()
    tool.note(describe_start(record))
    how = "failed"
    try:
        yield total
        how = "complete"
    except (Interrupted, KeyboardInterrupt):
        how = "interrupted"
        raise
    except UserError as error:
        own["message"] = str(error)
        raise
    finally:
        own |= {
            "ended": manifest.now(),
            "how": how,
            "counts": tool.counts(),
            "commit": record["commit"],
            **device_of(tool),
            **peak_memory(tool),
        }
        record |= {name: own[name] for name in own if name not in ("started", "ended", "how", "message")}
        record["seconds"] = total()
        # The error that ended the run must not be hidden by one of writing, on a full disk for example.
        with suppress(*(() if how == "complete" else (OSError,))):
            save()
            tool.note(describe_end(record))


def closed(previous: Mapping[str, Any] | None, alive_at: float | None) -> list[dict[str, Any]]:
    """Attempts of an earlier record; one without an end was killed, when it gave its last sign of life.

    Args:
        previous: the record of the last run, of any version; None if there is none.
        alive_at: time of that sign, as of ``time.time``; None if there was none.
    """
    if previous is None:
        return []
    if "attempts" not in previous:  # written before attempts were recorded
        names = {"started": "started", "finished": "ended", "seconds": "seconds", "commit": "commit"}
        old = {new: previous[name] for name, new in names.items() if name in previous}
        return [old | {"how": "complete" if previous["state"] == "complete" else "unknown"}] if old else []
    attempts = [dict(known) for known in previous["attempts"]]
    for known in attempts:
        if "how" not in known and "started" in known:
            began = datetime.fromisoformat(known["started"]).timestamp()
            last = max(began, alive_at or began)
            known |= {"ended": manifest.to_text(last), "how": "killed", "seconds": round(last - began, 1)}
    return attempts


def describe_start(record: Mapping[str, Any]) -> str:
    """First line of a run in the log: command, code, versions, device asked for, seeds."""
    dirty = " with changes" if record["dirty"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    seeds = ", ".join(f"{name} {value}" for name, value in record["seeds"].items()) or "none"
    options = record["options"]
    device = f"{options['device']['value']} ({record['processor']}, {record['cores']} cores)"
    return (
        f"command: {record['command']}; commit: {record['commit']}{dirty}; versions: {versions}; "
        f"device: {device}; seeds: {seeds}; attempt {len(record['attempts'])}"
    )


def describe_end(record: Mapping[str, Any]) -> str:
    """Last line of a run in the log: how it ended, with counts, time, memory and device."""
    own = record["attempts"][-1]
    device = own["device"]
    if "threads" in own:
        device += f" ({own['device_name']}, {own['threads']} threads)"
    return (
        f"{own['how']} after {own['seconds']} s, {record['seconds']} s in all {len(record['attempts'])} "
        f"attempts; {describe_counts(own['counts'])}; peak memory {own['peak_memory_mib']} MiB; "
        f"device: {device}"
    )


def describe_counts(counts: Counts) -> str:
    """Counts in words, such as "images: 90 done, 6 skipped, 0 failed"."""
    texts = [
        f"{unit}: " + ", ".join(f"{count} {what}" for what, count in found.items())
        for unit, found in counts.items()
    ]
    return "; ".join(texts) or "nothing counted"
