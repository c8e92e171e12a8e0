"""Who may write and read at once, files that changed without a trace, and what dead processes left."""

import fcntl
import os
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from data import portraits
from scripts import train_stylegan
from scripts.pipeline import UserError, files, locks
from scripts.stages.base_generator import images
from tests.scripts.pages.explore_workspace import make_tool


def refused(message: str) -> AbstractContextManager:
    return pytest.raises(UserError, match=message)


def test_a_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    message = f"process {os.getpid()}.*another --out"
    with locks.locked(folder), refused(message), locks.locked(folder, "another --out"):
        pass
    with locks.locked(folder):
        assert (folder / "lock").read_text() == str(os.getpid())


def test_what_is_read_is_not_changed_and_what_is_changed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "_stages/01").mkdir(parents=True)
    makers = ("01", "a_tool_without_a_record")
    message = "another script is reading what 01 has made"
    with (
        locks.reading(tmp_path, makers),
        locks.reading(tmp_path, makers),
        refused(message),
        locks.changing(tmp_path, "01"),
    ):
        pass
    message = "it needs what 01 makes, and that is being made now"
    with locks.changing(tmp_path, "01"), refused(message), locks.reading(tmp_path, makers):
        pass
    assert not (tmp_path / "_stages/a_tool_without_a_record").exists()


def test_the_message_names_other_stages_that_run(tmp_path: Path) -> None:
    path = tmp_path / "_stages/02/lock"
    files.write(path, str(os.getppid()))
    assert locks.holder(path) is None
    message = rf"\(02, process {os.getppid()}\)"
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with locks.reading(tmp_path, ("02",)), refused(message), locks.changing(tmp_path, "02"):
            pass


def test_leftovers_are_found_at_any_depth_but_those_of_living_processes_stay(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    dead, own, living = (folder / f".tmp-{pid}-x.png" for pid in (999_999_999, os.getpid(), os.getppid()))
    for path in (dead, own, living, folder / ".tmp-x.png"):
        path.write_text("half")
    assert files.remove_leftovers((tmp_path,), deep=False) == 0
    assert files.remove_leftovers((tmp_path, tmp_path)) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted([living.name, ".tmp-x.png"])


def test_portraits_that_were_never_drawn_are_not_taken_for_drawn(tmp_path: Path) -> None:
    """A run was killed after its last portrait, its file was removed, and the next run was killed too."""
    folder = tmp_path / "drawn"
    final = folder / "portraits_64px_0_2.npy"
    files.write(final.with_suffix(".json"), {"finished": 2})

    def draw() -> np.ndarray:
        options = train_stylegan.Options(portraits=4, first_portrait=0, processes=1)
        return images.portrait_images(make_tool(tmp_path), options, range(2), 64, folder)

    class KilledError(Exception):
        pass

    def die(*arguments: object, **options: object) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(portraits, "render_many", die)
        draw()
    assert np.array_equal(draw(), portraits.render_many(range(2), 64).images)
    assert sorted(path.name for path in folder.iterdir()) == [final.name]
