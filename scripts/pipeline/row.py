"""Runs the numbered scripts of a row in order, for `run_all.sh`, which finds a Python for it.

It needs nothing but the standard library, since it explains mistakes before anything is installed. On Linux
the scripts are forked from this process, which loads the large libraries once, before the first script that
has something to do; each would otherwise spend several seconds on that.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import importlib
import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]
MAIN_ROW = "main"  # part of every run
ROWS = {MAIN_ROW: "0", "cvae": "2", "sketch": "3"}  # the first digit of a row's scripts
QUALITIES = ("quick", "full")
SHARES_WORK = "several_processes=True"  # stands in the declaration of a script that can
KEEPS_RECORD = "run_stage("  # stands in a script that does
IS_COMPLETE = '"state": "complete"'  # stands in the record of one that ended
REPORT = "scripts/report.py"
LIBRARIES = ("facenet_pytorch", "matplotlib.figure", "pandas", "safetensors.torch", "sklearn.svm", "tyro")
CAN_FORK = sys.platform == "linux"
AWAITED = (signal.SIGTERM, signal.SIGCHLD) if CAN_FORK else ()
KILLED = 128  # shells report a process that a signal ended by this and the signal's number

DESCRIPTION = """\
Runs the numbered scripts of a row in order; each one that is up to date answers at once, and one that was
interrupted goes on where it was. At the end it writes report.html into the workspace.
"""
EPILOG = "Options of single scripts go into a preset; or run the script itself: see scripts/NN_*.py --help."


class Parser(argparse.ArgumentParser):
    """Explains a mistake first, then how the command is used."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}\n{self.format_usage()}")


def read_options(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, `plan` and the `arguments` of every script among them; ends with exit
    code 2 and a sentence where they cannot be followed.
    """
    parser = Parser(
        prog="bash scripts/run_all.sh",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    lines = {
        "--row": "main (00 to 09), or one that goes on from it: cvae (20 to 29), sketch (30 to 39)",
        "--preset": "a file of scripts/presets",
        "--quality": "quick, or full: the longer trainings and evaluation that the preset has for it",
        "--from": "number of the first script, such as 03 (default: the first of the row)",
        "--to": "number of the last script (default: the last of the row)",
        "--workspace": "folder of all files of the run (default: data/runs/<preset>)",
        "--processes": "processes of this machine, such as its GPUs, that share the work of each script that "
        "can divide it",
    }
    defaults = {"--row": MAIN_ROW, "--preset": "embedded", "--quality": "quick", "--processes": "1"}
    for name, text in lines.items():
        default = defaults.get(name, "")
        shown = f"{text} (default: {default})" if default else text
        parser.add_argument(name, default=default, help=shown, metavar=name[2:].upper())
    options, unknown = parser.parse_known_args(words)
    if unknown:
        parser.error(f"Unknown option: {unknown[0]}")
    if options.row not in ROWS:
        parser.error(f"There is no row {options.row}; there are: {' '.join(ROWS)}.")
    if options.quality not in QUALITIES:
        parser.error(f"There is no quality {options.quality}; there are: {' '.join(QUALITIES)}.")
    first, last = getattr(options, "from"), options.to
    for name, number in (("--from", first), ("--to", last)):
        if number and not (number.isdecimal() and len(number) <= 2):
            parser.error(f"{name} {number} is not a script's number.")
    if not options.processes.isdecimal() or int(options.processes) < 1:
        parser.error(f"--processes {options.processes} is no number of processes.")
    presets = sorted(path.stem for path in (REPOSITORY / "scripts/presets").glob("*.toml"))
    if options.preset not in presets:
        parser.error(f"There is no preset {options.preset}; there are: {' '.join(presets)}.")
    decade = ROWS[options.row]
    begin, end = int(first or f"{decade}0"), int(last or f"{decade}9")
    found = sorted((REPOSITORY / "scripts").glob(f"{decade}[0-9]_*.py"))
    options.plan = [f"scripts/{path.name}" for path in found if begin <= int(path.name[:2]) <= end]
    if not options.plan:
        parser.error(
            f"No script of the row {options.row} lies between --from {first or f'{decade}0'} and --to "
            f"{last or f'{decade}9'}."
        )
    options.arguments = ["--preset", options.preset]
    if options.quality != "quick":
        options.arguments += ["--quality", options.quality]
    if options.workspace:
        options.workspace = str(Path.cwd() / options.workspace)
        options.arguments += ["--workspace", options.workspace]
    return options


def run_row(options: argparse.Namespace, typed: str) -> int:
    """Run the scripts of the plan, then the report; returns the exit code of the first that failed.

    Args:
        typed: the path of run_all.sh as the user gave it.
    """
    workspace = options.workspace or f"data/runs/{options.preset}"
    print(f"Preset {options.preset}, quality {options.quality}, workspace {workspace}. Scripts:")
    print(*(f"  {script}" for script in options.plan), sep="\n", flush=True)
    processes, times, began = int(options.processes), [], time.monotonic()
    loaded = not CAN_FORK
    for script in (*options.plan, REPORT):
        print(f"\n== {script} ==", flush=True)
        started = time.monotonic()
        text = Path(script).read_text(encoding="utf-8")
        if not loaded and KEEPS_RECORD in text and not is_complete(workspace, script):
            load_libraries()
            loaded = True
        shares = processes > 1 and SHARES_WORK in text
        code = run_script(script, options.arguments, processes if shares else 1)
        seconds = time.monotonic() - started
        times.append(f"{seconds:5.0f} s  {script}")
        if code and script == REPORT:
            print(
                f"The report could not be written (exit code {code}); the run itself is complete.",
                file=sys.stderr,
            )
        elif code:
            print(
                f"\n{script} ended with exit code {code}. When its message above is dealt with, go on with:\n"
                f"    {go_on(options, typed, script)}",
                file=sys.stderr,
            )
            return code
    print("\nTime:", *times, f"{time.monotonic() - began:5.0f} s  in all", sep="\n")
    logs = f"{workspace}/logs" if options.workspace else f"logs/{options.preset}"
    print(f"Look at {workspace}/report.html; logs are in {logs}.")
    return 0


def is_complete(workspace: str, script: str) -> bool:
    """Whether a script's record says that it ended; whether it is up to date, it finds out itself."""
    record = Path(workspace, "_stages", Path(script).stem, "_stage.json")
    return record.is_file() and IS_COMPLETE in record.read_text(encoding="utf-8", errors="replace")


def load_libraries() -> None:
    """Load what most scripts load, for all that are forked from now on."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # the script that needs it says so
            importlib.import_module(name)


def go_on(options: argparse.Namespace, typed: str, script: str) -> str:
    """The command that goes on at a script."""
    words = ["bash", typed, *options.arguments]
    words += ["--processes", options.processes] if int(options.processes) > 1 else []
    words += ["--from", Path(script).name[:2]]
    words += ["--to", options.to] if options.to else []
    return shlex.join(words + (["--row", options.row] if options.row != MAIN_ROW else []))


def run_script(script: str, arguments: Sequence[str], processes: int = 1) -> int:
    """Run a script in a process of its own, or in several; its exit code as a shell has it."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    # Ctrl-C reaches the script as well, which ends by itself and says how to go on.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    if CAN_FORK:
        signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
            signal.signal(signal.SIGINT, handler)
            if processes > 1:
                os.execv(sys.executable, [*command, script, *arguments])
            become(script, arguments)
        code = ended(child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
    else:
        code = subprocess.run([*command, script, *arguments], check=False).returncode
    signal.signal(signal.SIGINT, handler)
    return KILLED - code if code < 0 else code


def ended(child: int) -> int:
    """Exit code of a child process, which is told when this one is asked to stop.

    The signals are blocked and waited for: one that came between two lines would otherwise kill this process
    alone, or be seen only when the child has ended by itself.
    """
    while True:
        if signal.sigwait(AWAITED) == signal.SIGTERM:
            os.kill(child, signal.SIGTERM)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)


def become(script: str, arguments: Sequence[str]) -> NoReturn:
    """Be the script, and end as it does, without taking the libraries apart first, which takes seconds."""
    sys.argv, code = [script, *arguments], 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> NoReturn:
    """``row.py [--check] TYPED WORDS...``: run a row; with ``--check`` only explain mistakes."""
    only_check = sys.argv[1] == "--check"
    typed, *words = sys.argv[2 if only_check else 1 :]
    options = read_options(words)
    if only_check:
        sys.exit(0)
    os.chdir(REPOSITORY)
    sys.path[0] = str(REPOSITORY / "scripts")  # as for a script that is started by itself
    sys.exit(run_row(options, typed))


if __name__ == "__main__":
    main()
