"""Stage 00: weights and labels from the bundle, a folder or the network, each checked."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scripts.pipeline import REPOSITORY, Stage, UserError, files
from scripts.pipeline.files import sha256_file
from scripts.stages.fetching import downloads
from scripts.stages.fetching.given import Given, load_base, look_through, put
from scripts.stages.fetching.weight_files import (
    ORIGINS,
    RECORD,
    UNKNOWN,
    WeightFile,
    given_beside,
    read_record,
    weight_files,
)
from stylegan.checkpoint import Checkpoint, CheckpointError, weights_id


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError` for a ``--from`` that gives nothing or, before ``--force``, wrong files."""
    fetcher = Fetcher(stage, options)
    for file in fetcher.wanted:
        if options.force and file.path in fetcher.given.found:
            fetcher.check_source(file, fetcher.given.found[file.path])


def confirm(stage: Stage, options: Any) -> None:
    """Raise `UserError` if the complete result is not made of the files that a person gives."""
    fetcher = Fetcher(stage, options)
    for file in fetcher.wanted:
        fetcher.refuse_others(file)


def fetch_weights(stage: Stage, options: Any) -> None:
    """Fetch every file; report all that are missing at once."""
    fetcher = Fetcher(stage, options)
    wanted = fetcher.wanted
    for path, why in fetcher.given.unused.items():
        stage.log(f"not used: {path}{f' ({why})' if why else ''}")
    missing: list[str] = []
    present = 0
    for file in wanted:
        stage.check_stop()
        try:
            outcome = fetcher.fetch(file)
            present += outcome.startswith(UNKNOWN)
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
    numbers = {"files": str(len(wanted)), "size": f"{total / 1e6:.1f} MB"}
    generator = next((file.path for file in wanted if file.is_stylegan), None)
    if generator is not None:
        identity, origin = weights_id(stage.workspace / generator), fetcher.origins.get(generator, UNKNOWN)
        numbers["generator"] = f"{fetcher.description}; weights {identity}, {origin}"
    stage.finish(numbers, [file.path for file in wanted])


class Fetcher:
    """Puts files into place and remembers what was put there.

    Attributes:
        given: what ``--from`` holds.
        record: path -> SHA-256 of what was put there.
        origins: path -> where it came from.
        description: of the StyleGAN that was looked into last.
    """

    def __init__(self, stage: Stage, options: Any) -> None:
        self.stage, self.options = stage, options
        self.wanted = weight_files(options)
        self.record, self.origins = read_record(stage, RECORD), read_record(stage, ORIGINS)
        self.description = ""
        source = options.from_folder
        self.given = Given() if source is None else look_through(source, self.wanted)

    def fetch(self, file: WeightFile) -> str:
        """Put one file into place; returns what was done, in a few words.

        Raises:
            UserError: no source has it, or the one in place is not the right one.
        """
        target = self.stage.path(file.path)
        if target.exists():
            digest = sha256_file(target)
            if not file.user_may_edit or self.record.get(file.path) != digest:
                return self._accept_present(file, target, digest)
        source, origin = self._local_source(file)
        if source is None:
            done = self._download(file, target)
        else:
            done = f"{put(self.check_source(file, source), source, target)} from {origin}"
        self._remember(file, target)
        self._remember_origin(file, done)
        return done

    def _accept_present(self, file: WeightFile, target: Path, digest: str) -> str:
        """Keep a file that is in place already, whoever put it there."""
        self._check_present(file, target)
        self._look_into(file, target)
        self.refuse_others(file)
        source, origin = self._local_source(file)
        # A copy of its source is not the user's own: a run that was killed could not remember it.
        is_copy = source is not None and sha256_file(source) == digest
        if file.user_may_edit and not is_copy:
            return f"{UNKNOWN}, and kept as it is: it belongs to you"
        self._remember(file, target)
        if is_copy and file.path not in self.origins:
            self._remember_origin(file, f"copied from {origin}")
        return UNKNOWN

    def _remember(self, file: WeightFile, target: Path) -> None:
        self.record[file.path] = sha256_file(target)
        files.write(self.stage.folder / RECORD, self.record)

    def _remember_origin(self, file: WeightFile, origin: str) -> None:
        self.origins[file.path] = origin
        files.write(self.stage.folder / ORIGINS, self.origins)

    def _given(self, file: WeightFile) -> Path | None:
        """The file that a person gives for an entry: in ``--from``, or beside its place in another format."""
        return self.given.found.get(file.path) or given_beside(self.stage.workspace, file)

    def _local_source(self, file: WeightFile) -> tuple[Path | None, str]:
        """The preferred source on this machine, and what to call it."""
        if given := self._given(file):
            return given, str(given)
        if file.bundled:
            return REPOSITORY / file.bundled, Path(file.bundled).parent.as_posix()
        package, _, inside = file.package.partition("/")
        found = find_spec(package) if package else None
        source = Path(found.origin).parent / inside if found and found.origin else None
        return (source, f"the package {package}") if source and source.is_file() else (None, "")

    def refuse_others(self, file: WeightFile) -> None:
        """Raise `UserError` if a person gives another file for an entry than the one in place."""
        target, given = self.stage.workspace / file.path, self._given(file)
        if given is None or file.user_may_edit or not target.exists():
            return
        self._check_present(file, target)
        with self.stage.foreseen(ValueError):
            if sha256_file(given) == sha256_file(target):
                return
            if file.is_stylegan and weights_id(given) == weights_id(target):
                return
        source = () if self.options.from_folder is None else ("--from", str(self.options.from_folder))
        again = self.stage.command(self.stage.name, *source, "--force")
        raise UserError(
            f"{given} is another file than {file.path} of the workspace "
            f"({self.origins.get(file.path, UNKNOWN)}), which would go on being used. To use yours:\n"
            f"    {again}\nTo keep both, give another --workspace."
        )

    def _download(self, file: WeightFile, target: Path) -> str:
        names = " or ".join((file.name, *file.names))
        size = f"{file.size_bytes} bytes" if file.size_bytes else "size not published"
        checksum = f"sha256 {file.sha256}" if file.sha256 else "sha256 not published"
        reasons = [
            f"{file.path}: a file called {names} ({size}, {checksum}), usually found at {file.found_at}"
        ]
        if file.licence:
            self.stage.log(f"{file.path}: {file.licence}")
            reasons.append(f"terms: {file.licence}")
        hidden = self.options.quiet or not sys.stderr.isatty()
        for url in file.urls:
            with tqdm(desc=file.name, unit="B", unit_scale=True, disable=hidden, leave=False) as bar:

                def show(done: int, total: int, bar: tqdm = bar) -> None:
                    bar.total = total or None
                    bar.update(done - bar.n)
                    self.stage.check_stop()

                try:
                    part = downloads.download(url, target, self._check(file), show)
                except downloads.DownloadError as error:
                    reasons.append(str(error))
                    continue
            self._look_into(file, part, url)
            files.sync_file(part)
            part.replace(target)
            return f"downloaded from {url}"
        raise UserError("\n      ".join(reasons))

    def _check(self, file: WeightFile) -> downloads.Check:
        known = file.sha256 or ("" if self.options.force or file.bundled else self.record.get(file.path, ""))
        return downloads.Check(file.size_bytes or None, known or None)

    def _check_present(self, file: WeightFile, target: Path) -> None:
        """Raise `UserError` if what is in place is not what belongs there."""
        complaint = "" if file.user_may_edit else self._check(file).complaint(target)
        if complaint:
            again = self.stage.command(self.stage.name, "--force")
            raise UserError(
                f"{target} is not the file that belongs there: {complaint}. Later stages would work with "
                f"other weights than their results say. Fetch it anew:\n    {again}"
            )

    def check_source(self, file: WeightFile, source: Path) -> Checkpoint | None:
        """What `_look_into` finds in a source; `UserError` if it is not the right file."""
        complaint = self._check(file).complaint(source)
        if complaint:
            raise UserError(
                f"{source} is not the file that belongs to {file.path}: {complaint}. It is truncated or "
                "another version. Replace it by the right one and run the same command again."
            )
        return self._look_into(file, source)

    def _look_into(self, file: WeightFile, path: Path, shown: str = "") -> Checkpoint | None:
        """Read a StyleGAN checkpoint: a wrong network should be named here, not three stages later.

        Args:
            shown: what the person knows the file by, if not by its path.
        """
        if not file.is_stylegan:
            return None
        try:
            checkpoint = load_base(path)
        except CheckpointError as error:
            raise UserError(str(error).replace(str(path), shown or str(path))) from error
        self.description = checkpoint.description
        self.stage.log(f"  {file.path}: {self.description}")
        if checkpoint.discriminator is None:
            self.stage.log("  it has no discriminator; 05_fine_tune_v1 starts with an untrained one")
        return checkpoint
