"""Check the machine and a workspace on one screen; every line says ok, or the command that mends it.

It writes nothing, and works with a broken installation: that is what it is for.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UserError, option, run_tool
from scripts.pipeline.errors import EXIT_FORESEEN
from scripts.stages.checking import machine
from scripts.stages.checking.finding import Finding

NEEDED_HERE = ("tyro", "numpy", "pandas", "PIL")  # to read options and workspaces


@dataclass(frozen=True)
class Options(ToolOptions):
    """Check the machine and a workspace; writes nothing. Exit code 5 if something is to be mended."""

    memory_gib: float = option(3.0, help="memory that the preset takes at the most, in GiB")
    disk_gib: float = option(1.0, help="disk space that the preset takes, in GiB")


def show(tool: Tool, findings: list[Finding]) -> int:
    """Print the lines (with --quiet only those with a command); returns how many are to be mended."""
    for finding in findings:
        if finding.mend:
            print(finding, flush=True)
        else:
            tool.log(str(finding))
    return sum(bool(finding.mend) for finding in findings)


def run(tool: Tool, options: Options) -> None:
    from scripts.stages.checking.workspace_check import WorkspaceCheck, leftovers

    imports = machine.Imports()  # takes seconds, meanwhile
    bundle = machine.bundled_weights()
    mended = show(
        tool,
        [
            machine.python(),
            machine.packages(machine.required()),
            machine.outside_judges(),
            machine.memory(options.memory_gib),
            machine.disk(tool.workspace, options.disk_gib),
            machine.writing(tool.workspace, tool.log_dir.parent),
            bundle,
        ],
    )
    check = WorkspaceCheck(tool, changed_bundle=bool(bundle.mend))
    mended += show(tool, [Finding("workspace", str(tool.workspace)), *check.findings()])
    mended += show(tool, leftovers(tool.workspace))
    tool.log(str(Finding("files", f"{check.file_count} looked at, compared with their recorded SHA-256")))
    mended += show(tool, imports.findings())
    if mended:
        raise UserError(f"{mended} lines above have a command that mends them; give them from top to bottom.")


def check_installation() -> None:
    """Leave with what is wrong if not even the options can be read."""
    if all(find_spec(name) for name in NEEDED_HERE):
        return
    for finding in (machine.python(), machine.packages(machine.required())):
        print(finding)
    sys.exit(EXIT_FORESEEN)


if __name__ == "__main__":
    check_installation()
    run_tool(Options, run, account="never")
