"""The machine: Python, packages, GPU, memory, disk, and the weights that come with the repository.

Only the standard library is imported here: a broken installation is what this is for.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from scripts import new_environment
from scripts.pipeline.console import python_command
from scripts.pipeline.places import REPOSITORY
from scripts.stages.checking.finding import Finding

REQUIREMENTS = REPOSITORY / "requirements.txt"
JUDGES = "data/photographs/requirements-judges.txt"  # optional
BUNDLES = ("data/embedded", "data/photographs")
OLDEST, NEWEST = (3, 10), (3, 13)
GIB = 2**30
NEEDED = os.R_OK | os.W_OK | os.X_OK
IMPORT_TIMEOUT_S = 120
MODULES = {  # module -> its package
    "numpy": "numpy",
    "PIL": "pillow",
    "pandas": "pandas",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
    "safetensors": "safetensors",
    "torch": "torch",
    "torchvision": "torchvision",
    "facenet_pytorch": "facenet-pytorch",
    "onnxruntime": "onnxruntime",
}
IMPORT_ALL = """
import importlib, os, sys
for name in sys.argv[1:]:
    print(name, flush=True)
    importlib.import_module(name)
torch = sys.modules["torch"]
if torch.cuda.is_available():
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    print(f"CUDA {torch.version.cuda}: {names}")
else:
    print(f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores; torch sees no GPU")
"""
REQUIREMENT = re.compile(
    r'(?P<name>[\w-]+)==(?P<version>[\w.]+)(; *python_version *(?P<sign><|>=) *"(?P<limit>[\d.]+)")?$'
)


def python() -> Finding:
    """The version of the interpreter."""
    version = sys.version.split()[0]
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return Finding("Python", f"{version}, {sys.executable}")
    return Finding("Python", f"{version}; the packages need 3.10 to 3.13", new_environment())


def required(requirements: Path = REQUIREMENTS) -> dict[str, str]:
    """Package -> version that a file asks of this Python."""
    wanted = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        found = REQUIREMENT.match(line.partition("#")[0].strip())
        if found is None:
            continue
        limit = tuple(map(int, (found["limit"] or "0").split(".")))
        is_newer = sys.version_info[: len(limit)] >= limit
        if found["sign"] is None or is_newer == (found["sign"] == ">="):
            wanted[found["name"]] = found["version"]
    return wanted


def packages(wanted: dict[str, str]) -> Finding:
    """Installed versions against the required ones, without importing anything."""
    missing, texts = [], []
    for name, version in wanted.items():
        found = _installed(name)
        if found is None:
            missing.append(name)
        elif found.partition("+")[0] != version:  # torch names its build after a plus
            texts.append(f"{name} {found} instead of {version}")
    if missing:
        texts.insert(0, f"missing: {', '.join(missing)}")
    if not texts:
        return Finding("packages", f"{len(wanted)}, as in requirements.txt")
    mend = f"{python_command()} -m pip install -r {shlex.quote(str(REQUIREMENTS))}"
    if sys.prefix == sys.base_prefix:  # the system's own Python, which mostly refuses packages
        mend = new_environment()
    return Finding("packages", "; ".join(texts), mend)


def outside_judges() -> Finding:
    """Whether 09 has the optional landmarks; without them some rows of photographs are missing."""
    missing = [name for name in required(REPOSITORY / JUDGES) if _installed(name) is None]
    if not missing:
        return Finding("landmarks", f"as in {JUDGES}")
    install = f"{python_command()} -m pip install -r {JUDGES}"
    return Finding("landmarks", f"none; 09 then reads mouth and pose of photographs once only. {install}")


def _installed(package: str) -> str | None:
    """Its version."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class Imports:
    """A process that imports the packages: one that breaks the interpreter does not break this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, *MODULES],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def findings(self) -> list[Finding]:
        """Whether every package can be imported, and what torch computes on."""
        try:
            output, errors = self._process.communicate(timeout=IMPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
        last = (output.splitlines() or ["python"])[-1]
        if self._process.returncode == 0:
            return [Finding("imports", f"{len(MODULES)} packages work"), Finding("device", last)]
        reason = (errors.strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]
        package = MODULES.get(last, last)
        pinned = f"{package}=={required().get(package, '')}".removesuffix("==")
        mend = f"{python_command()} -m pip install --force-reinstall --no-deps {pinned}"
        return [Finding("imports", f"{last} cannot be imported: {reason}", mend)]


def memory(needed_gib: float) -> Finding:
    """Free memory against what the preset takes."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    except OSError:
        found = None
    free = int(found[1]) * 1024 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{free / GIB:.1f} GiB free, the preset takes up to {needed_gib:g}"
    enough = free >= needed_gib * GIB
    return Finding("memory", text, "" if enough else "ps aux --sort=-rss | head    # and close what is large")


def disk(workspace: Path, needed_gib: float) -> Finding:
    """Free disk space against what the preset takes beside what the workspace has already."""
    place = next(folder for folder in (workspace, *workspace.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    left = max(0.0, needed_gib * GIB - sum(map(_size, workspace.rglob("*"))))
    text = f"{free / GIB:.1f} GiB free, the preset takes {left / GIB:.1f} more"
    mend = "" if free >= left else f"df -h {shlex.quote(str(place))}    # and free some"
    return Finding("disk", text, mend)


def _size(path: Path) -> int:
    """Bytes of a file; 0 for a folder, and for what a run has removed meanwhile."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def writing(workspace: Path, logs: Path) -> Finding:
    """Folders of a workspace and its logs in which a run could not write; asked of the system, not tried."""
    tops = {top: [path for path in _folders(top) if not os.access(path, NEEDED)] for top in (workspace, logs)}
    refused = list(dict.fromkeys(path for paths in tops.values() for path in paths))
    if not refused:
        return Finding("writing", "every folder of the workspace can be written")
    text = (
        f"{len(refused)} folders cannot be written, such as {refused[0]}: what is there can be looked at "
        "(explore.py; 08 and report.py with --out), but nothing can be made"
    )
    is_ours = all(path.stat().st_uid == os.geteuid() for path in refused)
    if is_ours and not os.statvfs(refused[0]).f_flag & os.ST_RDONLY:
        folders = shlex.join(str(top) for top, paths in tops.items() if paths)
        return Finding("writing", text, f"chmod -R u+rwX {folders}")
    here, copy = shlex.quote(str(workspace)), shlex.quote(f"{workspace.name}_copy")
    return Finding("writing", text, f"cp -r {here} {copy}    # and go on there, with --workspace {copy}")


def _folders(top: Path) -> Iterator[Path]:
    """A folder and those below it; where it is not there yet, the one in which it would be made."""
    if not top.is_dir():
        yield next(folder for folder in top.parents if folder.is_dir())
    for folder, _, _ in os.walk(top):
        yield Path(folder)


def bundled_weights() -> Finding:
    """The files of the repository's bundle against the commit."""
    command = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--", *BUNDLES]
    count = sum(path.is_file() for folder in BUNDLES for path in (REPOSITORY / folder).glob("*"))
    try:
        found = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return Finding("bundled weights", f"{count} files, not compared: this is no git repository")
    changed = [line[3:] for line in found.stdout.splitlines()]
    if not changed:
        return Finding("bundled weights", f"{count} files in {' and '.join(BUNDLES)}, as committed")
    text = f"changed or gone: {', '.join(changed)}"
    return Finding("bundled weights", text, f"git checkout HEAD -- {shlex.join(changed)}")
