"""Rows in a file are read like those of a tensor, and only those that are asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.stages.stored_rows import StoredRows, store_rows
from stylegan.rows import ChosenRows, JoinedRows

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), np.uint8)
NUMBERS = torch.tensor([7, 0, 7, 3])


def test_rows_equal_those_of_a_tensor_and_leave_nothing_behind(tmp_path: Path) -> None:
    rows = store_rows(tmp_path, [PICTURES[:0], PICTURES[:3], PICTURES[3:4], PICTURES[4:]])
    assert len(rows) == 10 and rows.shape == PICTURES.shape and rows.device == torch.device("cpu")
    assert torch.equal(rows[NUMBERS], torch.from_numpy(PICTURES)[NUMBERS])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_chosen_and_joined_rows(tmp_path: Path) -> None:
    whole = store_rows(tmp_path, [PICTURES])
    chosen = torch.tensor([1, 4, 9])
    joined = JoinedRows(whole, ChosenRows(whole, chosen))
    expected = torch.cat([torch.from_numpy(PICTURES), torch.from_numpy(PICTURES)[chosen]])
    assert joined.shape == expected.shape
    order = torch.tensor([12, 0, 10, 9, 11])
    assert torch.equal(joined[order], expected[order])


def test_what_cannot_be_stored_or_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row"):
        store_rows(tmp_path, [])
    with pytest.raises(ValueError, match="among rows of another"):
        store_rows(tmp_path, [PICTURES, PICTURES[:, :3]])
    path = tmp_path / "rows.bin"
    path.write_bytes(PICTURES.tobytes())
    rows = StoredRows(path.open("rb"), PICTURES.shape[1:])
    path.write_bytes(PICTURES.tobytes()[:-1])
    with pytest.raises(OSError, match="row 9"):
        rows[torch.tensor([0, 9])]
