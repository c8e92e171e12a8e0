"""Rows in a file are read like those of a tensor, and only those that are asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.stages.stored_rows import JoinedRows, RowStore, StoredRows, store_rows
from stylegan_modified.fine_tuning import TrainingPictures

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), np.uint8)
NUMBERS = torch.tensor([7, 0, 7, 3])


def test_rows_equal_those_of_a_tensor(tmp_path: Path) -> None:
    rows = store_rows(tmp_path, [PICTURES[:3], PICTURES[3:4], PICTURES[4:]])
    assert len(rows) == 10 and rows.shape == PICTURES.shape and rows.device == torch.device("cpu")
    properties = torch.randn(10, 7)
    stored, held = (
        TrainingPictures(images, properties).batch(NUMBERS, torch.device("cpu"))
        for images in (rows, torch.from_numpy(PICTURES))
    )
    assert torch.equal(stored[0], held[0]) and torch.equal(stored[1], held[1])


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    rows = store_rows(tmp_path, [PICTURES])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert torch.equal(rows[NUMBERS], torch.from_numpy(PICTURES)[NUMBERS])


def test_a_store_grows_while_it_is_read(tmp_path: Path) -> None:
    store = RowStore(tmp_path)
    with pytest.raises(ValueError, match="no row"):
        store.rows()
    store.append(PICTURES[:0])
    store.append(PICTURES[:2])
    assert torch.equal(store.rows()[torch.tensor([1])], torch.from_numpy(PICTURES[1:2]))
    store.append(PICTURES[2:])
    assert torch.equal(store.rows()[NUMBERS], torch.from_numpy(PICTURES)[NUMBERS])
    with pytest.raises(ValueError, match="among rows of shape"):
        store.append(PICTURES[:, :3])


def test_chosen_and_joined_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(PICTURES.tobytes())
    chosen = torch.tensor([1, 4, 9])
    some = StoredRows(path.open("rb"), PICTURES.shape[1:], chosen)
    whole = store_rows(tmp_path, [PICTURES])
    joined = JoinedRows(whole, some)
    expected = torch.cat([torch.from_numpy(PICTURES), torch.from_numpy(PICTURES)[chosen]])
    assert joined.shape == expected.shape
    order = torch.tensor([12, 0, 10, 9, 11])
    assert torch.equal(joined[order], expected[order])


def test_a_file_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(PICTURES.tobytes())
    rows = StoredRows(path.open("rb"), PICTURES.shape[1:])
    path.write_bytes(PICTURES.tobytes()[:-1])
    with pytest.raises(OSError, match="row 9"):
        rows[torch.tensor([0, 9])]
