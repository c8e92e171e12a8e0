"""File systems that refuse: workspaces that can only be read, drives without locks, what each error says."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from scripts.pipeline import REPOSITORY, ToolOptions, locks, option, records, run_tool
from scripts.pipeline.places import script_path
from scripts.stages import workspace as paths
from tests.faults.injection import obey_permissions
from tests.processes import ScriptProcess, wait_until
from tests.scripts.pages.explore_workspace import make_workspace


@dataclass(frozen=True)
class Options(ToolOptions):
    """Use memory."""

    batch_size: int = option(16, help="pictures per step")


MAKERS = {"04_compute_property_scores": paths.STATISTICS, "06_fine_tune_v2": paths.FINE_TUNED["v2"]}


@pytest.fixture
def message_of(capsys: pytest.CaptureFixture, tmp_path: Path) -> Callable[[Exception], str]:
    """Function that lets a run end with an exception; returns the message. A bug is raised again."""

    def call(error: Exception) -> str:
        def run(tool: object, options: object) -> None:
            raise error

        with pytest.raises(SystemExit) as ended:
            run_tool(Options, run, ["--workspace", str(tmp_path), "--quiet"])
        assert ended.value.code == 5
        return capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "/ws/a.csv cannot be written, because its file system can only be read"),
        (errno.EACCES, "no permission to use /ws/a.csv"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EIO, "network drive is gone"),
        (errno.ESTALE, "network drive is gone"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "Give a shorter --workspace"),
        (errno.ELOOP, "/ws/a.csv is a link that leads in a circle"),
    ],
)
def test_an_error_is_one_sentence_that_names_the_file(message_of: Callable, number: int, words: str) -> None:
    message = message_of(OSError(number, os.strerror(number), "/ws/.tmp-12-a.csv"))
    assert words in message
    assert ("--workspace" in message) != ("the same command" in message)


def test_libraries_hide_the_error_in_a_text_or_behind_their_own(message_of: Callable) -> None:
    assert "can only be read" in message_of(SafetensorError("I/O error: Read-only (os error 30)"))
    hidden = RuntimeError("cannot save")
    hidden.__cause__ = OSError(errno.EROFS, "Read-only file system", "/ws/x")
    assert "/ws/x cannot be written" in message_of(hidden)


def test_the_file_in_the_place_of_a_folder_is_named(message_of: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "file/_stages/01/lock").open()
    assert f"{tmp_path / 'file'} cannot be used" in message_of(caught.value)


def out_of_gpu_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")


@pytest.mark.parametrize("allocate", [torch.empty, np.empty, lambda size: out_of_gpu_memory()])
def test_memory_that_runs_out_is_a_message(message_of: Callable, allocate: Callable[[int], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate(1 << 57)
    message = message_of(caught.value)
    assert "there is not enough memory (" in message and "same command" in message
    assert "--batch-size below 16 (which gives another result, so it needs --force)" in message


@pytest.mark.parametrize(
    "error", [OSError(errno.EINVAL, "?"), RuntimeError("a bug"), ModuleNotFoundError(name="scripts.missing")]
)
def test_bugs_stay_bugs(message_of: Callable, error: Exception) -> None:
    with pytest.raises(type(error)):
        message_of(error)


def test_a_missing_package_is_named_with_the_command(message_of: Callable) -> None:
    message = message_of(ModuleNotFoundError("No module named 'nothing.x'", name="nothing.x"))
    assert "has no package nothing.x" in message and "Python" in message


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with finished stages that nobody may write."""
    root = make_workspace(tmp_path_factory.mktemp("read_only") / "work space")
    for maker, output in MAKERS.items():
        records.write(root, maker, {"state": "complete", "fingerprint": maker, "sha256": {}})
        records.write_outputs(root, maker, (output,))
        (records.stage_folder(root, maker) / locks.USE_NAME).touch()
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield root
    for path in paths:
        path.chmod(0o700)


@pytest.fixture
def start(read_only: Path, current_folder: Path) -> Callable[..., ScriptProcess]:
    """Function that starts a script, as a person without rights, on the workspace that can only be read."""

    def call(name: str, *arguments: object) -> ScriptProcess:
        words = ("--workspace", read_only, "--device", "cpu", *arguments)
        script = REPOSITORY / script_path(name)
        return ScriptProcess(script, *words, folder=current_folder, prepare=obey_permissions)

    return call


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_pictures_and_report_of_a_workspace_that_can_only_be_read(
    start: Callable, read_only: Path, tmp_path: Path
) -> None:
    before = names(read_only)
    words = ("--version", "v2", "--seeds", "3", "--mouth", "1", "--no-measure")
    refused = start("08_regenerate_images", *words).wait()
    assert refused.returncode == 5 and "Traceback" not in refused.stderr
    assert "synthesize_results" in refused.stderr and "--out" in refused.stderr
    made = start("08_regenerate_images", *words, "--out", tmp_path / "new").wait()
    assert made.returncode == 0, made.stderr
    assert names(tmp_path / "new") == {"v2_seed000003_mouth+1.00.png", "images.csv", "grid.png"}
    assert (
        (tmp_path / "new/images.csv").read_text().splitlines()[1].startswith("v2_seed000003_mouth+1.00.png,")
    )
    assert "leaves no log there" in made.stdout
    page = start("report", "--out", tmp_path / "page.html").wait()
    assert page.returncode == 0, page.stderr
    assert "<html" in (tmp_path / "page.html").read_text()
    assert names(read_only) == before


def test_the_explorer_of_a_workspace_that_can_only_be_read(start: Callable) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    process = start("explore", "--port", port, "--no-browser")
    wait_until(answers, process)
    process.send_signal(SIGINT)
    assert process.wait().returncode == 130


@pytest.mark.parametrize("name", ["label_images", "validate_parser"])
def test_what_must_write_says_at_once_that_it_cannot(start: Callable, read_only: Path, name: str) -> None:
    result = start(name).wait()
    assert result.returncode == 5 and "Traceback" not in result.stderr
    assert f"no permission to use {read_only}/logs" in result.stderr
    assert "--workspace" in result.stderr and "--out" not in result.stderr


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_drive_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, number: int
) -> None:
    def no_locks(file: object, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "_stages/01").mkdir(parents=True)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    locks._say_unprotected.cache_clear()
    folder = records.stage_folder(tmp_path, "02")
    with locks.locked(folder), locks.reading(tmp_path, ("01",)), locks.changing(tmp_path, "02"):
        pass
    assert capsys.readouterr().err.count("a file system without locks") == 1
    number = errno.EINVAL
    with pytest.raises(OSError, match="Invalid argument"), locks.locked(folder):
        pass
