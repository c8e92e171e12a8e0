"""The weights of a workspace: what a preset wants of them, and where those in place came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.pipeline import Tool, ToolOptions, files, records
from scripts.pipeline.layers import shared_list

SCRIPT = "00_fetch_weights"
RECORD, ORIGINS = "files.json", "origins.json"
SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".pkl")
UNKNOWN = "in place already"


@dataclass(frozen=True)
class WeightFile:
    """One entry of the preset's ``[[weights]]``: a file of the workspace and where it may come from.

    Attributes:
        path: where it goes, relative to the workspace.
        bundled: its path in the repository; another suffix means that it is converted.
        package: its path among the installed packages.
        urls: https sources, the preferred first.
        names: names under which ``--from`` may hold it, beside its own.
        size_bytes: its size, 0 if unknown.
        sha256: its checksum, or the published beginning of it; if empty, that of the first file is recorded
            and checked from then on.
        is_stylegan: it must load as a StyleGAN checkpoint.
        user_may_edit: never overwritten once it differs from what was put there, nor removed by ``--force``.
        found_at: where people usually find it.
        licence: whose terms it is under, said before it is downloaded.
    """

    path: str
    bundled: str = ""
    package: str = ""
    urls: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    size_bytes: int = 0
    sha256: str = ""
    is_stylegan: bool = False
    user_may_edit: bool = False
    found_at: str = ""
    licence: str = ""

    @property
    def name(self) -> str:
        """File name without folders."""
        return Path(self.path).name

    @property
    def accepted_names(self) -> tuple[str, ...]:
        """Names under which a person may give it, the best first; weights of StyleGAN in any format."""
        others = (Path(self.name).with_suffix(suffix).name for suffix in SUFFIXES if self.is_stylegan)
        return tuple(dict.fromkeys((self.name, *self.names, *others)))


def given_beside(workspace: Path, file: WeightFile) -> Path | None:
    """The file that a person laid beside an entry's place, in another format."""
    target = workspace / file.path
    beside = (target.with_name(name) for name in file.accepted_names if name != file.name)
    return next((path for path in beside if path.is_file()), None)


def weight_files(options: ToolOptions) -> tuple[WeightFile, ...]:
    """The ``[[weights]]`` of the preset or the config file, but for those of its base that it leaves out."""
    listed = shared_list("weights", "path", options.preset, options.config)
    entries = [entry for entry in listed if not entry.pop("left_out", False)]
    lists = ("urls", "names")
    return tuple(
        WeightFile(**entry | {name: tuple(entry.get(name, ())) for name in lists}) for entry in entries
    )


def read_record(tool: Tool, name: str) -> dict[str, str]:
    """What `00_fetch_weights` recorded, by path: SHA-256 of each file, or where it came from."""
    try:
        return files.read_json(records.stage_folder(tool.workspace, SCRIPT) / name)
    except (FileNotFoundError, files.TextFileError):
        return {}
