"""Atomic files, journals, tables and pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.pipeline import Interrupted, Journal, UserError, files, tables
from scripts.stages.sheets import contact_sheet, labelled_grid

WRITE_TOO_MUCH = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from scripts.pipeline import ToolOptions, run_tool

def run(tool, options):
    import numpy
    values = numpy.zeros(1 << 17, numpy.float32)
    def write_torch(path):
        import torch
        torch.save({{"a": torch.from_numpy(values), "b": torch.zeros(1 << 16)}}, path)
    def write_safetensors(path):
        import safetensors.numpy
        safetensors.numpy.save_file({{"a": values}}, path)
    def write_numpy(path):
        numpy.save(path, values)
    locals_ = locals()
    suffix = ".npy" if sys.argv[2] == "numpy" else ".bin"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    with tool.atomic("file" + suffix) as temporary:
        locals_["write_" + sys.argv[2]](temporary)

run_tool(ToolOptions, run, argv=["--quiet", "--workspace", sys.argv[1]])
"""
COLUMNS = ("img_no", "value", "note")


def row(img_no: int, value: float = 0.1, note: str = "") -> dict[str, object]:
    return {"img_no": img_no, "value": value, "note": note}


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write(path, "old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_get_their_format_from_the_suffix(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    files.write(tmp_path / "a.png", image)
    files.write(tmp_path / "a.jpg", Image.fromarray(image))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"


@pytest.mark.parametrize("writer", ["torch", "safetensors", "numpy"])
def test_a_full_disk_is_recognised_whoever_writes(run_script, tmp_path: Path, writer: str) -> None:
    script = tmp_path / "write.py"
    script.write_text(WRITE_TOO_MUCH)
    result = run_script(script, tmp_path / "big", writer)
    assert result.returncode == 5, result.stderr
    assert "the disk is full" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "big").iterdir()] == ["logs"]


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_journal_reads_back_exactly_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.csv"
    with Journal(path, COLUMNS) as journal:
        journal.append(row(2, np.float32(0.1), 'a, "b"\nc'))
        journal.append(row(0, float("nan"), "눈"))
    with Journal(path, COLUMNS) as journal:
        assert list(journal.rows) == [2, 0]
        assert journal.rows[2]["note"] == 'a, "b" c'
        frame = journal.frame()
    assert frame["img_no"].tolist() == [0, 2]
    assert np.isnan(frame["value"][0])
    assert frame["value"][1] == float(np.float32(0.1))


@pytest.mark.parametrize("tail", [b"1,0.5", b"1,0.5,", b"\xff\xfe"])
def test_half_written_last_row_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "journal.csv"
    with Journal(path, COLUMNS) as journal:
        journal.append(row(0))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with Journal(path, COLUMNS) as journal:
        assert list(journal.rows) == [0]
        journal.append(row(1))
    assert path.read_bytes() == whole + b"1,0.1,\n"


def test_half_written_header_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.csv"
    path.write_bytes(b"img_no,val")
    with Journal(path, COLUMNS) as journal:
        journal.append(row(0))
    assert path.read_text() == "img_no,value,note\n0,0.1,\n"


@pytest.mark.parametrize("content", ["img_no,other\n", "img_no,value,note\n1\n", "img_no,value,note\nx,1,\n"])
def test_a_damaged_journal_or_one_of_another_version_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal.csv"
    path.write_text(content)
    with pytest.raises(UserError, match="--force"), Journal(path, COLUMNS):
        pass
    assert path.read_text() == content


def test_journal_refuses_strange_or_repeated_rows(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.csv", COLUMNS) as journal:
        journal.append(row(0))
        with pytest.raises(ValueError, match="already"):
            journal.append(row(0))
        with pytest.raises(ValueError, match="columns"):
            journal.append({"img_no": 1})


def test_append_keeps_the_row_when_a_stop_was_requested(tmp_path: Path) -> None:
    def stop() -> None:
        raise Interrupted("stop")

    path = tmp_path / "journal.csv"
    with pytest.raises(Interrupted), Journal(path, COLUMNS, check_stop=stop) as journal:
        journal.append(row(7))
    with Journal(path, COLUMNS) as journal:
        assert 7 in journal


def test_tables_are_sorted_and_relative(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    files.write(
        path, pd.DataFrame({"img_no": [2, 1], "img_path": ["b/2.png", "b/1.png"], "x": [0.1, np.nan]})
    )
    assert path.read_bytes() == b"img_no,img_path,x\n1,b/1.png,\n2,b/2.png,0.1\n"
    assert tables.read_csv(path, ("x",))["img_no"].tolist() == [1, 2]


def test_contact_sheet_and_grid_place_the_pictures() -> None:
    images = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = np.asarray(contact_sheet(images, columns=2, scale=2))
    assert sheet.shape == (2 * 10 + 2, 2 * 14 + 2, 3)
    assert (sheet[2:10, 2:14] == 10).all()
    assert (sheet[12:20, 2:14] == 30).all()
    labelled = contact_sheet(images, columns=3, labels=["a", "b", "c"])
    assert labelled.height > contact_sheet(images, columns=3).height
    grid = np.asarray(labelled_grid([images, images], ["one", "two"], ["x", "y", "z"], title="t"))
    assert all((grid == value).all(axis=-1).sum() >= 2 * 24 for value in (10, 20, 30))
    with pytest.raises(ValueError, match="labels"):
        contact_sheet(images, columns=2, labels=["a"])
    with pytest.raises(ValueError, match="label"):
        labelled_grid([images], ["one", "two"], ["x", "y", "z"])
