"""How a run ended, in words for a person and in an object for a program."""

from __future__ import annotations

import time
from typing import Any

from scripts.pipeline.errors import EXIT_INTERRUPTED, EXIT_OK, explain_file_error
from scripts.pipeline.options import results_options
from scripts.pipeline.stage import Tool


def as_json(name: str, tool: Tool | None, code: int, message: str, began_at: float) -> dict[str, Any]:
    """How a run ended; files are relative to the workspace unless they lie elsewhere."""
    result = tool.result() if tool is not None else {}
    state = result.pop("state", "failed")
    if code != EXIT_OK:
        state = "interrupted" if code == EXIT_INTERRUPTED else "failed"
    found = {
        "script": name,
        "state": state,
        "exit_code": code,
        "workspace": str(tool.workspace) if tool is not None else None,
        "seconds": round(time.monotonic() - began_at, 1),
        **result,
    }
    return found | ({"message": message} if message else {})


def explain(error: Exception, tool: Tool | None, go_on: str) -> str:
    """What a person can do about an error of the file system or a lack of memory; empty for others."""
    if tool is None or str(getattr(error, "filename", "")).startswith(str(tool.log_dir)):
        places = ["workspace"]
    else:
        places = [name for name in ("out", "workspace") if hasattr(tool.options, name)]
    message = explain_file_error(error, " or ".join(f"--{name}" for name in places), go_on)
    if message:
        return message
    from segmentation.memory import is_out_of_memory  # loads torch

    if not is_out_of_memory(error):
        return ""
    reason = str(error).partition("\n")[0] or type(error).__name__
    advice = "Close other programs, or use another --device"
    if tool is not None and hasattr(tool.options, "batch_size"):
        advice += f", or a --batch-size below {tool.options.batch_size}"
        if "batch_size" in results_options(tool.options):
            advice += " (which gives another result, so it needs --force)"
    return f"there is not enough memory ({reason}). {advice}. {go_on}"
