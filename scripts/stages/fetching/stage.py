"""The work of stage 00: weights and labels from the bundle, a folder or the network, each checked."""

from __future__ import annotations

import sys
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scripts.pipeline import REPOSITORY, Stage, UserError, downloads, files, fingerprint
from scripts.stages.fetching.given import Given, is_same, load_base, look_through, put
from scripts.stages.fetching.weight_files import (
    ORIGINS,
    UNKNOWN,
    WeightFile,
    read_origins,
    weight_files,
)
from scripts.stages.workspace import BUNDLE
from stylegan.checkpoint import Checkpoint, CheckpointError, weights_id

RECORD_NAME = "files.json"


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError` for a ``--from`` that gives nothing or, before ``--force``, wrong files."""
    fetcher = Fetcher(stage, options)
    for file in fetcher.wanted:
        given = fetcher.given.found.get(file.path)
        if given is not None and options.force:
            fetcher.check_source(file, given)


def confirm(stage: Stage, options: Any) -> None:
    """Raise `UserError` if the complete result is not made of the files that a person gives."""
    fetcher = Fetcher(stage, options)
    for file in fetcher.wanted:
        fetcher.refuse_others(file)


def fetch_weights(stage: Stage, options: Any) -> None:
    """Fetch every file; report all that are missing at once."""
    fetcher = Fetcher(stage, options)
    missing: list[str] = []
    present = 0
    wanted = fetcher.wanted
    for path, why in fetcher.given.unused.items():
        stage.log(f"not used: {path}{f' ({why})' if why else ''}")
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
    stage.finish(numbers | fetcher.generator(), [file.path for file in wanted])


class Fetcher:
    """Puts files into place and remembers what was put there."""

    def __init__(self, stage: Stage, options: Any) -> None:
        self.stage = stage
        self.options = options
        self.wanted = weight_files(options)
        self.record_path = stage.folder / RECORD_NAME
        self.record = self._read_record()
        self.origins = read_origins(stage)
        self.description = ""

    @cached_property
    def given(self) -> Given:
        """What ``--from`` holds."""
        source = self.options.from_folder
        return look_through(source, self.wanted) if source is not None else Given({}, {})

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
        for source in (self._from_given, self._from_bundle, self._from_package, self._from_network):
            done = source(file, target)
            if done:
                self._remember(file, target, done)
                return done
        raise UserError(f"no source has {file.name}.")

    def _is_untouched(self, file: WeightFile, target: Path) -> bool:
        return self.record.get(file.path) == fingerprint.sha256_file(target)

    def _is_as_given(self, file: WeightFile, target: Path) -> bool:
        """True for a copy of a source, also if a killed run put it there and could not remember it."""
        given = self._given(file)
        bundled = REPOSITORY / BUNDLE / file.bundled if file.bundled else None
        digest = fingerprint.sha256_file(target)
        return digest in [fingerprint.sha256_file(source) for source in (given, bundled) if source]

    def _check(self, file: WeightFile) -> downloads.Check:
        known = file.sha256 or ("" if self.options.force or file.bundled else self.record.get(file.path, ""))
        return downloads.Check(file.size_bytes or None, known or None)

    def _accept_present(self, file: WeightFile, target: Path) -> str:
        """Keep a file that is in place already, whoever put it there."""
        self._check_present(file, target)
        self._look_into(file, target)
        self.refuse_others(file)
        if not file.user_may_edit or self._is_as_given(file, target):
            self._remember(file, target)
            return UNKNOWN
        return f"{UNKNOWN}, and kept as it is: it belongs to you"

    def _check_present(self, file: WeightFile, target: Path) -> None:
        """Raise `UserError` if what is in place is not what belongs there."""
        complaint = "" if file.user_may_edit else self._check(file).complaint(target)
        if complaint:
            again = self.stage.command(self.stage.name, "--force")
            raise UserError(
                f"{target} is not the file that belongs there: {complaint}. Later stages would work with "
                f"other weights than their results say. Fetch it anew:\n    {again}"
            )

    def _given(self, file: WeightFile) -> Path | None:
        """The file that a person gives for an entry: in ``--from``, or beside its place in another format."""
        target = self.stage.workspace / file.path
        beside = [target.with_name(name) for name in file.accepted_names if name != file.name]
        return self.given.found.get(file.path) or next((path for path in beside if path.is_file()), None)

    def refuse_others(self, file: WeightFile) -> None:
        """Raise `UserError` if a person gives another file for an entry than the one in place."""
        target, given = self.stage.workspace / file.path, self._given(file)
        if given is None or file.user_may_edit or not target.exists():
            return
        self._check_present(file, target)
        with self.stage.foreseen(ValueError):
            if is_same(file, given, target):
                return
        source = () if self.options.from_folder is None else ("--from", str(self.options.from_folder))
        again = self.stage.command(self.stage.name, *source, "--force")
        raise UserError(
            f"{given} is another file than {file.path} of the workspace "
            f"({self.origins.get(file.path, UNKNOWN)}), which would go on being used. To use yours:\n"
            f"    {again}\nTo keep both, give another --workspace."
        )

    def _from_given(self, file: WeightFile, target: Path) -> str:
        given = self._given(file)
        return f"{self._place(file, given, target)} from {given}" if given else ""

    def _from_bundle(self, file: WeightFile, target: Path) -> str:
        if not file.bundled:
            return ""
        return f"{self._place(file, REPOSITORY / BUNDLE / file.bundled, target)} from {BUNDLE}"

    def _from_package(self, file: WeightFile, target: Path) -> str:
        if not file.package:
            return ""
        package, _, inside = file.package.partition("/")
        found = find_spec(package)
        source = Path(found.origin).parent / inside if found and found.origin else None
        if source is None or not source.is_file():
            return ""
        return f"{self._place(file, source, target)} from the package {package}"

    def _from_network(self, file: WeightFile, target: Path) -> str:
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
            self._look_into(file, part, url)
            files.sync_file(part)
            part.replace(target)
            return f"downloaded from {url}"
        raise UserError("\n      ".join([self._wanted(file), *reasons]))

    def generator(self) -> dict[str, str]:
        """Which generator the run works with, for a person: what it is, its weights, where they are from."""
        file = next((file for file in self.wanted if file.is_stylegan), None)
        if file is None:
            return {}
        weights = weights_id(self.stage.workspace / file.path)
        return {"generator": f"{self.description}; weights {weights}, {self.origins.get(file.path, UNKNOWN)}"}

    def _wanted(self, file: WeightFile) -> str:
        """What the user should place where."""
        names = " or ".join((file.name, *file.names))
        size = f"{file.size_bytes} bytes" if file.size_bytes else "size not published"
        checksum = f"sha256 {file.sha256}" if file.sha256 else "sha256 not published"
        return f"{file.path}: a file called {names} ({size}, {checksum}), usually found at {file.found_at}"

    def _place(self, file: WeightFile, source: Path, target: Path) -> str:
        """Check and copy a file, or convert it where its format is not that of its place; returns which."""
        return put(self.check_source(file, source), source, target)

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

    def _remember(self, file: WeightFile, target: Path, source: str = UNKNOWN) -> None:
        self.record[file.path] = fingerprint.sha256_file(target)
        files.write_json(self.record_path, self.record)
        if source != UNKNOWN:
            self.origins[file.path] = source
            files.write_json(self.stage.folder / ORIGINS, self.origins)
