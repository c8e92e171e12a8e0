"""Programs for people. This file is read before all else of a script, also by a Python that cannot run it."""

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_OLDEST = (3, 10)
_EXIT_FORESEEN = 5  # as in scripts.pipeline.errors, which an old Python cannot read


def short_path(path: Path) -> str:
    """The path relative to the current folder if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if here in path.parents else str(path)


def new_environment() -> str:
    """The command that makes the repository's own Python, with the packages of requirements.txt."""
    script = shlex.quote(short_path(_ROOT / "scripts" / "ensure_venv.sh"))
    return f"bash -c {shlex.quote(f'source {script} && ensure_venv')}"


def wrong_python(why: str) -> str:
    """What to type instead, for a person who runs a script with a Python that cannot run it.

    Args:
        why: what is wrong with it, such as "has no package tyro".
    """
    own = _ROOT / ".venv" / "bin" / "python"
    version = ".".join(map(str, sys.version_info[:3]))
    text = f"{sys.executable} (Python {version}) {why}, so the scripts cannot run with it."
    again = " ".join(map(shlex.quote, [short_path(own), *sys.argv]))
    if not own.exists():
        return f"{text} Make the repository's own Python, and use it:\n    {new_environment()}\n    {again}"
    if not os.path.samefile(sys.prefix, own.parents[1]):
        return f"{text} Use the repository's own Python:\n    {again}"
    requirements = shlex.quote(short_path(_ROOT / "requirements.txt"))
    return f"{text} Install it:\n    {shlex.quote(short_path(own))} -m pip install -r {requirements}"


def _check_python(script: Path) -> None:
    """Leave with one message if this Python cannot run a script; check_setup.py has a screen for packages."""
    here = Path(__file__).resolve().parent
    if script.resolve().parent not in (here, here / "bundle"):
        return
    message = ""
    if find_spec("fcntl") is None:
        message = "the scripts need Linux or macOS; on Windows give the same command inside WSL."
    elif sys.version_info < _OLDEST:
        message = wrong_python("is older than 3.10")
    elif find_spec("tyro") is None and script.stem != "check_setup":
        message = wrong_python("has no package tyro")
    if message:
        print(f"{script.stem}: {message}", file=sys.stderr)
        sys.exit(_EXIT_FORESEEN)


_check_python(Path(sys.argv[0]))
