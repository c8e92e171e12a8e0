"""The tool that judges the scores by portraits of known properties."""

import importlib
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.pipeline.layers import REPOSITORY
from segmentation.property_table import PROPERTY_NAMES

SCRIPT = REPOSITORY / "scripts" / "validate_property_scores.py"
tool = importlib.import_module("scripts.validate_property_scores")


def test_algorithm_3_reads_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [SCRIPT, "--workspace", tmp_path, "--count", 32, "--quiet"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert not exit_info.value.code
    table = pd.read_csv(tmp_path / tool.RESULT)
    assert len(table) == 3 * len(PROPERTY_NAMES)
    ours = table[table["algorithm"] == 3].set_index("property")
    assert (ours["r"] > 0.9).all()
    assert (ours["noise_shift_sd"] < 0.1).all()


def test_influence_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(500, 3)) * [1, 10, 0.1]
    found = tool.influences(3 * truth[:, 0] + 0.4 * truth[:, 1], truth)
    assert found == pytest.approx([0.6, 0.8, 0.0], abs=0.06)


def test_a_box_is_cut_to_the_size_asked_for() -> None:
    label_map = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(2, 2), 8, 0), 8, 1)
    whole = tool.cut_label_map(label_map, np.array([0.0, 0.0, 16.0, 16.0]), 4)
    right = tool.cut_label_map(label_map, np.array([8.0, 4.0, 16.0, 12.0]), 4)
    assert whole.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert right.tolist() == [[1] * 4, [1] * 4, [3] * 4, [3] * 4]
