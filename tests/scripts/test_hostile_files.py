"""Hostile files are refused with one kind of error, run nothing and take little memory."""

import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.pipeline import UserError, files, tables
from scripts.pipeline.array_files import ArrayFileError, map_array, read_arrays
from scripts.pipeline.image_files import ImageFileError, image_size, read_image, read_label_map
from scripts.pipeline.layers import read_toml
from stylegan.weights_file import WeightsFileError, build_to_fit, read_safetensors, read_torch
from tests.faults import damage

LARGEST_GROWTH_MIB = 160  # of the process that reads a file which declares gigabytes
REFUSALS = (WeightsFileError, ImageFileError, ArrayFileError, files.TextFileError, UserError)
FORK = multiprocessing.get_context("fork")


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _in_the_child(answer, reader: Callable[[Path], object], path: Path) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is used now
    before = _peak_mib()
    try:
        reader(path)
        found = ("read", "")
    except REFUSALS as error:
        kind = next(kind for kind in REFUSALS if isinstance(error, kind))
        found = (kind.__name__, str(error))
    answer.send((*found, _peak_mib() - before))


def attempt(reader: Callable[[Path], object], path: Path) -> tuple[str, str, float]:
    """Kind of error, message and growth of memory [MiB], in a process of its own."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_in_the_child, args=(sender, reader, path))
    process.start()
    assert receiver.poll(60), f"{path} ended its reader"
    found = receiver.recv()
    process.join()
    return found


def check_refused(reader: Callable[[Path], object], path: Path, content: bytes, error: type) -> str:
    path.write_bytes(content)
    kind, message, growth_mib = attempt(reader, path)
    assert kind == error.__name__, (kind, message)
    assert growth_mib < LARGEST_GROWTH_MIB
    assert not (path.parent / damage.EXECUTED).exists()
    return message


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # where hostile files would leave theirs


@pytest.mark.parametrize("name", damage.hostile_torch_files())
def test_torch_files(tmp_path: Path, name: str) -> None:
    content = damage.hostile_torch_files()[name]
    if name in {"list", "way out of the archive"}:  # no danger to the reader: what is inside is looked at
        (tmp_path / "a.pth").write_bytes(content)
        assert attempt(lambda path: read_torch(path), tmp_path / "a.pth")[0] in {"read", "WeightsFileError"}
        assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]
        return
    assert "a.pth" in check_refused(read_torch, tmp_path / "a.pth", content, WeightsFileError)


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_of_both_kinds_are_read(tmp_path: Path, legacy: bool) -> None:
    state = {"a": torch.arange(6).reshape(2, 3).float(), "steps": 3, "half": torch.ones(2).half()}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    found = read_torch(tmp_path / "a.pth")
    assert torch.equal(found["a"], state["a"]) and found["steps"] == 3


@pytest.mark.parametrize("value", [torch.zeros(1).expand(1 << 40), torch.tensor([1.0, float("nan")])])
def test_tensors_that_no_training_leaves(tmp_path: Path, value: torch.Tensor) -> None:
    torch.save({"a": [{"b": value}]}, tmp_path / "source.pth")
    content = (tmp_path / "source.pth").read_bytes()
    check_refused(read_torch, tmp_path / "a.pth", content, WeightsFileError)


@pytest.mark.parametrize("name", damage.hostile_safetensors())
def test_safetensors(tmp_path: Path, name: str) -> None:
    content = damage.hostile_safetensors()[name]
    if name == "metadata of brackets":
        return check_entry(tmp_path, content)
    assert "a.safetensors" in check_refused(
        read_safetensors, tmp_path / "a.safetensors", content, WeightsFileError
    )
    return None


def check_entry(tmp_path: Path, content: bytes) -> None:
    from stylegan.checkpoint import CheckpointError, load_checkpoint

    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is no JSON"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_sizes_that_a_file_names_take_no_memory() -> None:
    with pytest.raises(WeightsFileError, match="does not fit"):
        build_to_fit(lambda: torch.nn.Linear(1 << 20, 1 << 20), {"weight": torch.ones(2, 2)})


@pytest.mark.parametrize("name", damage.hostile_pictures())
@pytest.mark.parametrize("reader", [read_image, read_label_map, image_size])
def test_pictures(tmp_path: Path, name: str, reader: Callable[[Path], object]) -> None:
    check_refused(reader, tmp_path / "a.jpg", damage.hostile_pictures()[name], ImageFileError)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "I;16"), ("TIFF", "RGB"), ("GIF", "P"), ("AVIF", "RGB")],
)
def test_pictures_of_every_kind_are_read(tmp_path: Path, kind: str, mode: str) -> None:
    (tmp_path / "a").write_bytes(damage.saved(kind, mode))
    assert read_image(tmp_path / "a").shape == (64, 64, 3)


def test_a_picture_other_than_recorded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(damage.saved("PNG"))
    with pytest.raises(ImageFileError, match="changed"):
        read_image(tmp_path / "a.png", sha256="0" * 64)


def test_damaged_pictures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for suffix in (".jpg", ".png"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(pixels).save(path)
        whole = path.read_bytes()
        for seed in range(20):
            path.write_bytes(damage.cut(whole, random.Random(seed)))
            with pytest.raises(ImageFileError):
                read_image(path)


@pytest.mark.parametrize("name", damage.hostile_arrays())
def test_arrays(tmp_path: Path, name: str) -> None:
    check_refused(read_arrays, tmp_path / "a.npz", damage.hostile_arrays()[name], ArrayFileError)


@pytest.mark.parametrize("content", [damage.object_array(), damage.npy_header((1 << 40,)), b"", b"x" * 99])
def test_mapped_arrays(tmp_path: Path, content: bytes) -> None:
    check_refused(map_array, tmp_path / "a.npy", content, ArrayFileError)


def test_a_bit_of_an_array_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(1000), b=np.ones(3))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[500] ^= 1
    check_refused(read_arrays, tmp_path / "a.npz", bytes(content), ArrayFileError)


@pytest.mark.parametrize("name", damage.hostile_json())
def test_json(tmp_path: Path, name: str) -> None:
    content = damage.hostile_json()[name]
    if name == "wrong kinds":  # whose readers know what should stand there
        return
    check_refused(files.read_json, tmp_path / "a.json", content, files.TextFileError)


TABLE = b"img_no,img_path,score\n0,a/0.jpg,0.5\n1,a/1.jpg,0.25\n"


@pytest.mark.parametrize("name", ["way up", "absolute path", "NUL bytes", "another encoding", "UTF-16"])
def test_tables(tmp_path: Path, name: str) -> None:
    content = damage.hostile_tables(TABLE)[name]
    assert "a.csv" in check_refused(tables.read_csv, tmp_path / "a.csv", content, UserError)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + TABLE.replace(b"\n", b"\r\n"))
    assert tables.read_csv(tmp_path / "a.csv", ("img_no",))["score"].tolist() == [0.5, 0.25]


def test_files_larger_than_any_text(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(files.LARGEST_TEXT_BYTES + 1)
    for reader, error in ((files.read_json, files.TextFileError), (tables.read_csv, UserError)):
        kind, message, growth_mib = attempt(reader, tmp_path / "a.csv")
        assert (kind, "more than" in message) == (error.__name__, True) and growth_mib < 20


def test_formulas_are_written_as_text(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame({"source": ["=cmd|' /C calc'!A0", "@x", "-1", "plain.jpg"], "n": [-1, 2, 3, 4]})
    tables.write_csv(tmp_path / "a.csv", table)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines == ["source,n", "'=cmd|' /C calc'!A0,-1", "'@x,2", "'-1,3", "plain.jpg,4"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = [" * 5000, b"a = 1\0", b"x = "])
def test_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.toml"):
        read_toml(tmp_path / "a.toml")
