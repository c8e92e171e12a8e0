"""Put the preset's weights and labels into the workspace: from the bundle, a folder or the network."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import (
    REPOSITORY,
    Input,
    Stage,
    StageOptions,
    StageSpec,
    UserError,
    downloads,
    files,
    fingerprint,
    option,
    run_stage,
)
from scripts.pipeline.layers import shared_table

# isort: split
import tyro  # behind `scripts`, which says what to do where it is missing

BUNDLE = "data/embedded"
RECORD_NAME = "files.json"
IN_PLACE = "in place already"


@dataclass(frozen=True)
class Options(StageOptions):
    """Put the preset's weights and labels into the workspace: from the bundle, a folder or the network."""

    from_folder: Annotated[Path | None, tyro.conf.arg(aliases=["--from"])] = option(
        None, help="folder with files fetched by hand; looked at before the network", affects_results=False
    )


@dataclass(frozen=True)
class WeightFile:
    """One entry of the preset's ``[[weights]]``: a file of the workspace and where it may come from.

    Attributes:
        path: where it goes, relative to the workspace.
        bundled: its name in ``data/embedded``; another suffix means that it is converted.
        package: its path among the installed packages.
        urls: https sources, the preferred first.
        names: names under which ``--from`` may hold it, beside its own.
        size_bytes: its size, 0 if unknown.
        sha256: its checksum; if empty, that of the first file is recorded and checked from then on.
        is_stylegan: it must load as a StyleGAN checkpoint.
        user_may_edit: never overwritten once it differs from what was put there, nor removed by ``--force``.
        found_at: where people usually find it.
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

    @property
    def name(self) -> str:
        """File name without folders."""
        return self.path.rsplit("/", 1)[-1]


def weight_files(options: Options) -> tuple[WeightFile, ...]:
    """The ``[[weights]]`` of the preset and the config file."""
    entries = shared_table("weights", options.preset, options.config) or []
    return tuple(WeightFile(**{**entry, **_tuples(entry)}) for entry in entries)


def _tuples(entry: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}


def inputs(options: Options) -> tuple[Input, ...]:
    """Bundled files, so that a new bundle makes the workspace's copies stale."""
    note = "It belongs to the repository: git checkout -- data/embedded"
    return tuple(
        Input(f"{BUNDLE}/{file.bundled}", in_repository=True, note=note)
        for file in weight_files(options)
        if file.bundled
    )


def outputs(options: Options) -> tuple[str, ...]:
    """All files but those that belong to the user."""
    return tuple(file.path for file in weight_files(options) if not file.user_may_edit)


SPEC = StageSpec("00_fetch_weights", inputs, outputs, next_script="01_generate_candidates")


class Fetcher:
    """Puts files into place and remembers what was put there."""

    def __init__(self, stage: Stage, options: Options) -> None:
        self.stage = stage
        self.options = options
        self.record_path = stage.folder / RECORD_NAME
        self.record = self._read_record()

    def _read_record(self) -> dict[str, str]:
        """Checksums of what was put into place before, by path."""
        if not self.record_path.exists():
            return {}
        try:
            return files.read_json(self.record_path)
        except files.TextFileError as error:
            if self.options.force:
                return {}
            raise UserError(
                f"{error} So nothing tells whether the weights in place are those that were fetched. Fetch "
                f"them anew:\n    {self.stage.command(self.stage.name, '--force')}"
            ) from error

    def fetch(self, file: WeightFile) -> str:
        """Put one file into place.

        Returns:
            What was done, in a few words.

        Raises:
            UserError: no source has it, or the one in place is not the right one.
        """
        target = self.stage.path(file.path)
        if target.exists() and not (file.user_may_edit and self._is_untouched(file, target)):
            return self._accept_present(file, target)
        for source in (self._from_folder, self._from_bundle, self._from_package, self._from_network):
            origin = source(file, target)
            if origin:
                self._remember(file, target)
                return origin
        raise UserError(f"no source has {file.name}.")

    def _is_untouched(self, file: WeightFile, target: Path) -> bool:
        return self.record.get(file.path) == fingerprint.sha256_file(target)

    def _is_as_given(self, file: WeightFile, target: Path) -> bool:
        """True for a copy of a source, also if a killed run put it there and could not remember it."""
        sources = [*self._in_folder(file), *([REPOSITORY / BUNDLE / file.bundled] if file.bundled else [])]
        digest = fingerprint.sha256_file(target)
        return any(fingerprint.sha256_file(source) == digest for source in sources)

    def _check(self, file: WeightFile) -> downloads.Check:
        known = file.sha256 or ("" if self.options.force or file.bundled else self.record.get(file.path, ""))
        return downloads.Check(file.size_bytes or None, known or None)

    def _accept_present(self, file: WeightFile, target: Path) -> str:
        """Keep a file that is in place already, whoever put it there."""
        complaint = "" if file.user_may_edit else self._check(file).complaint(target)
        if complaint:
            again = self.stage.command(self.stage.name, "--force")
            raise UserError(
                f"{target} is not the file that belongs there: {complaint}. Later stages would work with "
                f"other weights than their results say. Fetch it anew:\n    {again}"
            )
        self._validate(file, target)
        if not file.user_may_edit or self._is_as_given(file, target):
            self._remember(file, target)
        return IN_PLACE

    def _in_folder(self, file: WeightFile) -> list[Path]:
        """Files of ``--from`` that have one of its names, the best first."""
        folder = self.options.from_folder
        if folder is None:
            return []
        if not folder.is_dir():
            raise UserError(f"--from {folder} is not a folder. Give the folder that holds the files.")
        return [path for name in (file.name, *file.names) if (path := folder / name).is_file()]

    def _from_folder(self, file: WeightFile, target: Path) -> str:
        for source in self._in_folder(file):
            self._place(file, source, target)
            return f"copied from {source}"
        return ""

    def _from_bundle(self, file: WeightFile, target: Path) -> str:
        if not file.bundled:
            return ""
        source = REPOSITORY / BUNDLE / file.bundled
        if source.suffix == target.suffix:
            self._place(file, source, target)
            return f"copied from {BUNDLE}"
        from stylegan.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

        with self.stage.foreseen(CheckpointError, mend="git checkout -- data/embedded brings it back."):
            checkpoint = load_checkpoint(source)
        save_checkpoint(
            target,
            generator=checkpoint.generator,
            discriminator=checkpoint.discriminator,
            generator_smooth=checkpoint.generator_smooth,
            metadata=checkpoint.extra["metadata"],
        )
        return f"converted from {BUNDLE}"

    def _from_package(self, file: WeightFile, target: Path) -> str:
        if not file.package:
            return ""
        from importlib.util import find_spec

        package, _, inside = file.package.partition("/")
        found = find_spec(package)
        source = Path(found.origin).parent / inside if found and found.origin else None
        if source is None or not source.is_file():
            return ""
        self._place(file, source, target)
        return f"copied from the package {package}"

    def _from_network(self, file: WeightFile, target: Path) -> str:
        from tqdm import tqdm

        reasons = []
        for url in file.urls:
            hidden = self.options.quiet or not sys.stderr.isatty()
            with tqdm(desc=file.name, unit="B", unit_scale=True, disable=hidden, leave=False) as bar:

                def show(done: int, total: int, bar: Any = bar) -> None:
                    bar.total = total or None
                    bar.update(done - bar.n)
                    self.stage.check_stop()

                try:
                    part = downloads.download(url, target, self._check(file), show)
                except downloads.DownloadError as error:
                    reasons.append(str(error))
                    continue
            self._validate(file, part)
            files.sync_file(part)
            part.replace(target)
            return f"downloaded from {url}"
        raise UserError("\n      ".join([self._wanted(file), *reasons]))

    def _wanted(self, file: WeightFile) -> str:
        """What the user should place where."""
        names = " or ".join((file.name, *file.names))
        size = f"{file.size_bytes} bytes" if file.size_bytes else "size not published"
        checksum = f"sha256 {file.sha256}" if file.sha256 else "sha256 not published"
        return f"{file.path}: a file called {names} ({size}, {checksum}), usually found at {file.found_at}"

    def _place(self, file: WeightFile, source: Path, target: Path) -> None:
        """Copy, check and rename, in this order."""
        complaint = self._check(file).complaint(source)
        if complaint:
            raise UserError(
                f"{source} is not the file that belongs to {file.path}: {complaint}. It is truncated or "
                "another version. Replace it by the right one and run the same command again."
            )
        with files.atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
            self._validate(file, temporary)

    def _validate(self, file: WeightFile, path: Path) -> None:
        """Look into a StyleGAN checkpoint: a wrong network should be named here, not three stages later."""
        if not file.is_stylegan:
            return
        from stylegan.checkpoint import CheckpointError, load_checkpoint

        with self.stage.foreseen(CheckpointError):
            self.stage.log(f"  {file.path}: {load_checkpoint(path).description}")

    def _remember(self, file: WeightFile, target: Path) -> None:
        self.record[file.path] = fingerprint.sha256_file(target)
        files.write_json(self.record_path, self.record)


def run(stage: Stage, options: Options) -> None:
    """Fetch every file; report all that are missing at once."""
    fetcher = Fetcher(stage, options)
    missing: list[str] = []
    present = 0
    wanted = weight_files(options)
    for file in wanted:
        stage.check_stop()
        try:
            outcome = fetcher.fetch(file)
            present += outcome == IN_PLACE
            stage.log(f"{file.path}: {outcome}")
        except UserError as error:
            missing.append(str(error))
    stage.count("files", len(wanted) - present - len(missing), present, len(missing))
    if missing:
        raise UserError(
            "these files could not be put into place:\n    "
            + "\n    ".join(missing)
            + "\nWithout them the next stages have nothing to work on. Put them into one folder, then:\n    "
            + stage.command(stage.name, "--from", "FOLDER")
        )
    total = sum((stage.workspace / file.path).stat().st_size for file in wanted)
    stage.finish({"files": str(len(wanted)), "size": f"{total / 1e6:.1f} MB"}, [file.path for file in wanted])


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
