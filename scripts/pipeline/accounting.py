"""The account of a run: its code and machine, the attempts it took, and how many items it made."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.pipeline import records
from scripts.pipeline.console import running_command
from scripts.pipeline.errors import Interrupted, UserError
from scripts.pipeline.options import ToolOptions, plain_value
from scripts.pipeline.places import REPOSITORY
from scripts.pipeline.spec import Counts
from scripts.pipeline.stage import Tool

RECORDED_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "opencv-python-headless")
KIB_PER_MIB = 1024


def origin(options: ToolOptions, script_version: int | None = None) -> dict[str, Any]:
    """Where a result comes from: command line, commit, seeds, versions and processor.

    ``dirty`` is True if files under version control differed from the commit; both are None without git.
    """
    commit, dirty = code_version(REPOSITORY)
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    if script_version is not None:
        versions["script"] = str(script_version)
    seeds = {name: value for name, value in vars(options).items() if {"seed", "seeds"} & set(name.split("_"))}
    return {
        "command": running_command(),
        "commit": commit,
        "dirty": dirty,
        "seeds": {name: plain_value(value) for name, value in seeds.items()},
        "versions": versions,
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def code_version(repository: Path) -> tuple[str | None, bool | None]:
    """Commit of the code, and whether it was changed since."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None, None
    commit, _, dirty = found.stdout.strip().partition("-")
    return commit, bool(dirty)


def processor() -> str:
    """Name of the CPU."""
    return _system_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def peak_memory_mib() -> float:
    """Most resident memory that this process held so far, in MiB."""
    # resource.getrusage also counts what the process was before it became this program.
    return int(_system_value("/proc/self/status", "VmHWM").split()[0]) / KIB_PER_MIB


def _system_value(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def device_use(tool: Tool) -> dict[str, Any]:
    """Device that a script computed on ("none" if it needed none), CPU threads, most memory it held."""
    used = {"device": "none", "peak_memory_mib": round(peak_memory_mib(), 1)}
    device = tool.__dict__.get("device")
    if device is None:
        return used
    import torch

    used |= {"device": str(device), "device_name": processor(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        used["device_name"] = torch.cuda.get_device_name(device)
        used["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return used


@contextmanager
def attempt(
    record: dict[str, Any], earlier: Iterable[Mapping[str, Any]], tool: Tool, save: Callable[[], None]
) -> Iterator[Callable[[], float]]:
    """Keep the account of one run in its record, however it ends; ``save`` writes the record.

    The record gets ``attempts`` (``earlier`` ones and this one), and at the end ``seconds`` (their sum),
    ``counts``, the device and the peak memory of this one. Yields a function that gives the seconds so far.
    """
    started_at = time.monotonic()
    own: dict[str, Any] = {"started": records.now()}
    record["attempts"] = [*earlier, own]
    record["started"] = record["attempts"][0]["started"]

    def total() -> float:
        own["seconds"] = round(time.monotonic() - started_at, 1)
        return round(sum(known.get("seconds", 0.0) for known in record["attempts"]), 1)

    save()
    tool.note(_describe_start(record))
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
        found = {"counts": tool.counts(), "commit": record["commit"], **device_use(tool)}
        own |= {"ended": records.now(), "how": how, **found}
        record |= {**found, "seconds": total()}
        # The error that ended the run must not be hidden by one of writing, on a full disk for example.
        with suppress(*(() if how == "complete" else (OSError,))):
            save()
            tool.note(_describe_end(record))


def closed(previous: Mapping[str, Any] | None, alive_at: float | None) -> list[dict[str, Any]]:
    """Attempts of an earlier record; one without an end was killed at its last sign of life (or unknown)."""
    attempts = [dict(known) for known in (previous or {}).get("attempts", ())]
    for known in attempts:
        if "how" not in known:
            began = datetime.fromisoformat(known["started"]).timestamp()
            last = max(began, alive_at or began)
            known |= {"ended": records.to_text(last), "how": "killed", "seconds": round(last - began, 1)}
    return attempts


def _describe_start(record: Mapping[str, Any]) -> str:
    """First line of a run in the log: command, code, versions, device asked for, seeds."""
    dirty = " with changes" if record["dirty"] else ""
    versions, seeds = (
        ", ".join(f"{name} {value}" for name, value in record[key].items()) for key in ("versions", "seeds")
    )
    device = f"{record['options']['device']['value']} ({record['processor']}, {record['cores']} cores)"
    return (
        f"command: {record['command']}; commit: {record['commit']}{dirty}; versions: {versions}; "
        f"device: {device}; seeds: {seeds or 'none'}; attempt {len(record['attempts'])}"
    )


def _describe_end(record: Mapping[str, Any]) -> str:
    """Last line of a run in the log: how it ended, with counts, time, memory and device."""
    own = record["attempts"][-1]
    threads = f" ({own['device_name']}, {own['threads']} threads)" if "threads" in own else ""
    return (
        f"{own['how']} after {own['seconds']} s, {record['seconds']} s in all {len(record['attempts'])} "
        f"attempts; {describe_counts(own['counts'])}; peak memory {own['peak_memory_mib']} MiB; "
        f"device: {own['device']}{threads}"
    )


def describe_counts(counts: Counts) -> str:
    """Counts in words, such as "images: 90 done, 6 skipped, 0 failed"."""
    texts = [
        f"{unit}: " + ", ".join(f"{count} {what}" for what, count in found.items())
        for unit, found in counts.items()
    ]
    return "; ".join(texts) or "nothing counted"
