"""`run_sharded_stage`: a stage whose items several processes or machines make in one workspace.

``--shard i/n`` makes the i-th of n parts (i from 1) and records it in ``_stages/<stage>/parts/<i>-of-<n>``:
its own lock, journal and ``_stage.json``. The part that ends last merges all of them; a run without it
does the same. Merging checks that no item is missing and that no two parts disagree.

Items are dealt out in whole batches of one fixed grid, and a batch that was interrupted is calculated again
as a whole. So every item is always calculated in the same company, and the result is the same byte for byte
however the work was divided (on machines that round alike).
"""

from __future__ import annotations

import sys
import time
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from scripts.pipeline import accounting, files, fingerprint, manifest
from scripts.pipeline.errors import UserError
from scripts.pipeline.interrupts import StopRequest
from scripts.pipeline.journal import Journal
from scripts.pipeline.locks import changing, stage_locked
from scripts.pipeline.options import ResolvedOptions, resolve_options
from scripts.pipeline.outcome import Outcome
from scripts.pipeline.processes import refuse_several
from scripts.pipeline.runner import StageRun, guard
from scripts.pipeline.shards import ItemWork, Shard, ShardedOptions
from scripts.pipeline.spec import StageSpec
from scripts.pipeline.stage import Stage

PARTS = "parts"
JOURNAL_NAME = "journal.csv"
LOCK_WAIT_S = 30.0
BEGIN_WAIT_S = 2.0  # a part that begins needs the lock for a moment; a whole run keeps it
LOCK_POLL_S = 0.05
EXAMPLE_COUNT = 5


def run_sharded_stage(
    spec: StageSpec, options_class: type[ShardedOptions], work: ItemWork, argv: Sequence[str] | None = None
) -> NoReturn:
    """`run_stage` for a stage that can be divided; see there for the exit codes."""
    arguments = sys.argv[1:] if argv is None else list(argv)

    def body(stop: StopRequest, outcome: Outcome) -> None:
        refuse_several(spec.name, "Divide its items instead: give each process --shard i/n.")
        resolved = resolve_options(options_class, spec.name, arguments)
        shard = Shard.parse(resolved.options.shard)
        if shard is None:
            whole = _WholeRun(spec, resolved, stop, work)
            outcome.tool = whole.stage
            with _locked_soon(whole.workspace, whole.parts_name, wait_s=BEGIN_WAIT_S):
                whole.check_parts()
                whole.execute(whole.run_items)
        else:
            part = _PartRun(spec, resolved, stop, work, shard)
            outcome.tool = part.stage
            part.run()

    sys.exit(guard(body, spec.name, arguments))


class _RunningElsewhereError(UserError):
    """Another process holds the lock."""


@contextmanager
def _locked_soon(workspace: Path, name: str, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """`stage_locked`, but waits a while for the lock."""
    deadline = time.monotonic() + wait_s
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(stage_locked(workspace, name))
                break
            except UserError as error:
                if time.monotonic() >= deadline:
                    raise _RunningElsewhereError(str(error)) from None
            time.sleep(LOCK_POLL_S)
        yield


class _ShardedRun(StageRun):
    """What runs with and without ``--shard`` share. Changes of the parts' records happen under one lock."""

    def __init__(
        self, spec: StageSpec, resolved: ResolvedOptions[Any], stop: StopRequest, work: ItemWork
    ) -> None:
        super().__init__(spec, resolved, stop)
        self.work = work
        self.parts_name = f"{spec.name}/{PARTS}"

    def part_name(self, part: Shard) -> str:
        """Name under which `manifest` keeps the record and the lock of a part."""
        return f"{self.parts_name}/{_folder_name(part)}"

    def part_journal(self, part: Shard) -> Path:
        """Journal of a part."""
        return manifest.stage_folder(self.workspace, self.part_name(part)) / JOURNAL_NAME

    def heartbeat(self, part: Shard) -> manifest.Heartbeat:
        """Sign of life of a part."""
        return manifest.Heartbeat(self.workspace, self.part_name(part))

    def count(self, journal: Journal, known: Set[int], keys: Set[int]) -> None:
        """Count the items: made in this run, taken over (their rows were known), and failed in any run."""
        failed = {key for key in keys if journal.rows[key].get("status", "ok") != "ok"}
        skipped = (keys & known) - failed
        self.stage.count(self.work.unit, len(keys - failed - skipped), len(skipped), len(failed))

    def parts(self) -> dict[Shard, dict[str, Any]]:
        """Records of the parts that were begun."""
        found = {}
        for folder in sorted(manifest.stage_folder(self.workspace, self.parts_name).glob("*-of-*")):
            part = Shard.parse(folder.name.replace("-of-", "/"))
            record = manifest.read(self.workspace, self.part_name(part)) if part else None
            if record is not None:
                found[part] = record
        return found

    def unfinished(self) -> list[Shard]:
        """Parts that are not complete, those that nobody began included; empty without parts."""
        records = self.parts()
        wanted = {Shard(index, part.count) for part in records for index in range(1, part.count + 1)}
        ready = {part for part, record in records.items() if record["state"] == "complete"}
        return sorted(wanted - ready, key=lambda part: (part.count, part.index))

    def missing_batches(self, shard: Shard | None, rows: Mapping[int, Mapping[str, str]]) -> list[list[int]]:
        """Batches of the fixed grid, of one part or all, with an item whose row or files are not there."""
        keys, size = self.work.keys(self.stage, self.options), self.options.batch_size
        grid = [list(keys[start : start + size]) for start in range(0, len(keys), size)]
        mine = grid if shard is None else grid[shard.index - 1 :: shard.count]
        return [batch for batch in mine if not all(key in rows and self._is_made(rows[key]) for key in batch)]

    def _is_made(self, row: Mapping[str, str]) -> bool:
        return all((self.workspace / relative).exists() for relative in self.work.files(row))

    def clear_everything(self, own: Shard | None) -> None:
        """Remove the whole stage with all parts, unless one but our own is running."""
        with ExitStack() as locks:
            for part in self.parts():
                if part != own:
                    locks.enter_context(stage_locked(self.workspace, self.part_name(part)))
            locks.enter_context(changing(self.workspace, self.spec.name))
            for part in self.parts():
                self.clear_part(part)
            self._clear()

    def clear_part(self, part: Shard) -> None:
        """Remove the record of a part; its files are overwritten later. The lock's file stays."""
        files.remove(self.part_journal(part))
        files.remove(self.part_journal(part).with_name(manifest.MANIFEST_NAME))


class _WholeRun(_ShardedRun):
    """A run without ``--shard``: takes over what the parts have made, and makes the rest."""

    def check_parts(self) -> None:
        """Refuse while parts are unfinished or were made with other settings; ``--force`` removes them."""
        self.stage.check_inputs()
        if self.options.force:
            self.clear_everything(own=None)
            return
        depends_on = fingerprint.dependencies(self.spec, self.options, self.workspace)
        for record in self.parts().values():
            self._check_same(record, depends_on)
        unfinished = self.unfinished()
        if unfinished:
            commands = [
                self.stage.command(self.spec.name, "--shard", str(part))
                for part in unfinished[:EXAMPLE_COUNT]
            ]
            if len(unfinished) > EXAMPLE_COUNT:
                commands.append("...")
            raise UserError(
                f"{len(unfinished)} of {unfinished[0].count} parts are not finished in {self.workspace}, and "
                "other processes or machines may be working on them. Let them finish, or start them "
                "again:\n    " + "\n    ".join(commands) + "\nor start over without parts:\n    "
                f"{self.stage.command(self.spec.name, '--force')}"
            )

    def run_items(self, stage: Stage, options: ShardedOptions) -> None:
        """The stage itself: merge, make what is missing, finish."""
        parts = self.parts()
        columns = self.work.columns(options)
        with stage.journal(columns) as journal:
            for part in parts:
                self._take_rows(journal, self.part_journal(part))
            missing = self.missing_batches(None, journal.rows)
            known = set(journal.rows)
            if parts and missing:
                count = sum(map(len, missing))
                stage.log(f"{count} items are in no part, or their files are gone; making them now.")
            self.work.make(stage, options, missing, journal)
            keys = set(self.work.keys(stage, options))
            self.count(journal, known, keys)
            table = journal.frame()
        self.work.finish(stage, options, table[table["img_no"].isin(keys)].reset_index(drop=True))

    def earlier_attempts(self, previous: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Those of the parts, which ran side by side, and of earlier runs without ``--shard``."""
        own = [known for known in super().earlier_attempts(previous) if "part" not in known]
        of_parts = [
            known | {"part": str(part)}
            for part, record in self.parts().items()
            for known in accounting.closed(record, self.heartbeat(part).last())
        ]
        return [*of_parts, *own]

    def _take_rows(self, journal: Journal, path: Path) -> None:
        """Add the rows of a part.

        Raises:
            UserError: a row differs from the one that is there already.
        """
        for key, row in _read_rows(path, journal.columns).items():
            known = journal.rows.setdefault(key, row)
            if known != row:
                different = next(name for name in journal.columns if known[name] != row[name])
                raise UserError(
                    f"{path} disagrees with another part about {journal.key} {key}: {different} is "
                    f"{row[different]!r} here and {known[different]!r} there. They come from different "
                    "programs or machines, so a mixture would be neither. Start over:\n    "
                    f"{self.stage.command(self.spec.name, '--force')}"
                )


class _PartRun(_ShardedRun):
    """A run with ``--shard``."""

    def __init__(
        self, spec: StageSpec, resolved: ResolvedOptions[Any], stop: StopRequest, work: ItemWork, shard: Shard
    ) -> None:
        super().__init__(spec, resolved, stop, work)
        self.stop, self.shard = stop, shard
        self.stage.heartbeat = self.heartbeat(shard)

    def run(self) -> None:
        """Make the part; the last one merges. See `run_stage` for the errors."""
        self.stage.check_inputs()
        with stage_locked(self.workspace, self.part_name(self.shard)), self._inputs_kept():
            depends_on = fingerprint.dependencies(self.spec, self.options, self.workspace)
            with _locked_soon(self.workspace, self.parts_name):
                if self._begin(depends_on):
                    return
            self._make_part()
            self._merge_if_last()

    def _begin(self, depends_on: dict[str, Any]) -> bool:
        """Check against what is there and record the part; True if the whole stage is up to date."""
        if self.options.force:
            self._clear_for_force(depends_on)
        previous = manifest.read(self.workspace, self.spec.name)
        if previous is not None:
            self._check_same(previous, depends_on)
            if previous["state"] == "complete" and self._is_up_to_date(previous):
                return True
        for part, record in self.parts().items():
            self._check_same(record, depends_on)
            if part.count != self.shard.count:
                raise UserError(
                    f"the stage was begun in {part.count} parts in {self.workspace}, and part {self.shard} "
                    f"would overlap with them. Give --shard i/{part.count}, or start over:\n    "
                    f"{self.stage.command(self.spec.name, '--shard', str(self.shard), '--force')}"
                )
        if self.shard not in self.parts():  # without a record nobody knows which options made the rows
            files.remove(self.part_journal(self.shard))
        self.record = self._new_record(depends_on)
        self._save()
        return False

    def _clear_for_force(self, depends_on: dict[str, Any]) -> None:
        """Remove this part; all parts, if they are of other settings or another number.

        Of n parts that are started with ``--force``, the first so clears what is old, and the others leave
        each other alone.
        """
        wanted = fingerprint.fingerprint(depends_on)
        parts, whole = self.parts(), manifest.read(self.workspace, self.spec.name)
        records = [*parts.values(), *([whole] if whole else [])]
        is_current = all(part.count == self.shard.count for part in parts) and all(
            record["fingerprint"] == wanted for record in records
        )
        if not is_current:
            self.clear_everything(own=self.shard)
            return
        with changing(self.workspace, self.spec.name):
            self._remove_journals()
            files.remove(self.stage.folder / manifest.MANIFEST_NAME)
            for relative in self.outputs:
                files.remove(self.workspace / relative)
            self.clear_part(self.shard)

    def _make_part(self) -> None:
        columns = self.work.columns(self.options)
        earlier = self.record["attempts"]
        with (
            accounting.attempt(self.record, earlier, self.stage, self._save) as seconds,
            self.stage.journal(columns, name=f"{PARTS}/{_folder_name(self.shard)}/journal") as journal,
        ):
            rows: Mapping[int, Mapping[str, str]] = journal.rows
            if manifest.read(self.workspace, self.spec.name) is not None:  # begun without parts
                rows = ChainMap(journal.rows, _read_rows(self.stage.folder / JOURNAL_NAME, columns))
            known = set(rows)
            missing = self.missing_batches(self.shard, rows)
            self.work.make(self.stage, self.options, missing, journal)
            self.count(journal, known, set(journal.rows))
            self.record |= {"state": "complete", "items": len(journal)}
            self.stage.record = {"state": "complete", "part": str(self.shard)}
            self.stage.log(
                f"{self.spec.name}: part {self.shard} is complete, {len(journal)} items in {seconds():.1f} s."
            )

    def _merge_if_last(self) -> None:
        unfinished = self.unfinished()
        if unfinished:
            names = ", ".join(map(str, unfinished[:EXAMPLE_COUNT]))
            self.stage.log(f"  {len(unfinished)} parts are not finished ({names}); the last one merges.")
            return
        options = replace(self.options, shard="", force=False)
        whole = _WholeRun(self.spec, replace(self.resolved, options=options), self.stop, self.work)
        try:
            with _locked_soon(self.workspace, self.parts_name):
                whole.execute(whole.run_items)
                self.stage.record = whole.stage.record
        except _RunningElsewhereError:
            self.stage.log("  another part is merging.")

    def _new_record(self, depends_on: dict[str, Any]) -> dict[str, Any]:
        previous = manifest.read(self.workspace, self.part_name(self.shard))
        return {
            "stage": self.spec.name,
            "part": str(self.shard),
            "state": "running",
            "fingerprint": fingerprint.fingerprint(depends_on),
            "depends_on": depends_on,
            "options": self.resolved.to_json(),
            "attempts": accounting.closed(previous, self.stage.heartbeat.last()),
            **accounting.origin(self.options, self.spec.version),
        }

    def _save(self) -> None:
        manifest.write(self.workspace, self.part_name(self.shard), self.record)


def _folder_name(part: Shard) -> str:
    return f"{part.index}-of-{part.count}"


def _read_rows(path: Path, columns: Sequence[str]) -> dict[int, dict[str, str]]:
    """Rows of a journal that this process does not write; its file is left as it is."""
    journal = Journal(path, columns, checked=True)
    if path.exists():
        journal.read()
    return journal.rows
