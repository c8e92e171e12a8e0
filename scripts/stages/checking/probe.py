"""Imports the modules named on the command line, one JSON line each, and says what torch computes on."""

import importlib
import json
import os
import sys

# What a package with missing libraries or of another version than its neighbours raises.
BROKEN = (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError, SyntaxError)


def main(modules: list[str]) -> None:
    """Import and report."""
    for name in modules:
        error = ""
        try:
            importlib.import_module(name)
        except BROKEN as problem:
            error = f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"
        print(json.dumps({"module": name, "error": error}), flush=True)
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda"):
        return
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        device = f"CUDA {torch.version.cuda}: {', '.join(names)}"
    else:
        device = f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores; torch sees no GPU"
    print(json.dumps({"device": device}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
