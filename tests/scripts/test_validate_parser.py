"""Training the small parser and judging it: the figures, the sheets and the confusion matrix."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.pipeline.layers import REPOSITORY
from segmentation.face_classes import CLASS_NAMES
from segmentation.facexformer import load_facexformer
from stylegan.checkpoint import save_checkpoint
from stylegan.stylegan_generator import StyleGANGenerator


def call(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> int:
    script = str(REPOSITORY / "scripts" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, "--threads", "1", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(script, run_name="__main__")
    return exit_info.value.code or 0


def check_pictures_and_confusion(folder: Path) -> None:
    assert (folder / "held_out.png").is_file() and (folder / "confusion.png").is_file()
    table = pd.read_csv(folder / "confusion.csv", index_col="truth")
    assert tuple(table.index) == tuple(table.columns) == CLASS_NAMES
    shares = table.to_numpy().sum(axis=1)
    assert np.all(np.isclose(shares, 1, atol=1e-4) | (shares == 0))  # 0: a class that no picture has
    assert (shares > 0).sum() > len(CLASS_NAMES) / 2


def test_training_judges_what_it_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    output = tmp_path / "parser.safetensors"
    arguments = ("--workspace", tmp_path, "--output", output, "--portraits", 2, "--portrait-size-px", 64)
    arguments += ("--steps", 1, "--batch-size", 1, "--log-every", 1, "--held-out", 1)
    assert call(monkeypatch, "train_parser", *arguments) == 0, capsys.readouterr()
    folder = tmp_path / "train_parser"
    check_pictures_and_confusion(folder)
    figures = json.loads((folder / "results.json").read_text())
    assert figures["mean_ceiling"] > 0.8 > figures["mean_iou"]
    log = pd.read_csv(tmp_path / "logs/train_parser/train_log.csv")
    assert log.columns.tolist() == ["step", "loss", "learning_rate", "pictures_per_s"]
    assert load_facexformer(output).trained_tasks == ("segmentation",)
    assert call(monkeypatch, "train_parser", *arguments) == 0
    assert "Continuing at step 1 of 1" in capsys.readouterr().out
    assert json.loads((folder / "results.json").read_text()) == figures


def test_bundled_parser_is_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    arguments = ("--workspace", tmp_path, "--portraits", 12, "--pictures", 4)
    assert call(monkeypatch, "validate_parser", *arguments) == 0, capsys.readouterr()
    folder = tmp_path / "validate_parser"
    check_pictures_and_confusion(folder)
    assert (folder / "least_agreement.png").is_file()
    results = json.loads((folder / "results.json").read_text())
    assert results["portraits"]["mean_iou"] > 0.8
    assert results["generated"]["agreement"] > 0.9
    assert results["generated"]["faces_found"] == 1


def test_pictures_without_faces_and_missing_parsers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    torch.manual_seed(0)
    sizes = {"z_space_dim": 8, "w_space_dim": 8, "mapping_layers": 2, "mapping_fmaps": 8}
    state = StyleGANGenerator(64, **sizes, fmaps_base=128, fmaps_max=8).state_dict()
    save_checkpoint(tmp_path / "untrained.pth", generator=state, generator_smooth=state)
    arguments = ("--workspace", tmp_path, "--portraits", 1, "--pictures", 2)
    assert call(monkeypatch, "validate_parser", *arguments, "--weights", tmp_path / "untrained.pth") == 5
    assert "found no face in any of 2 pictures" in capsys.readouterr().err
    assert call(monkeypatch, "validate_parser", *arguments, "--parser", tmp_path / "none.safetensors") == 5
    assert "python scripts/train_parser.py" in capsys.readouterr().err
