"""The tool that judges the scores by portraits of known properties."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.bundle.bodies import validate_property_scores as body
from segmentation.property_table import PROPERTY_NAMES
from tests.processes import exit_code

TOOL = "validate_property_scores"


def test_algorithm_3_reads_the_truth(tmp_path: Path) -> None:
    sweeps = ("--people", 1, "--levels", 3)
    assert exit_code(TOOL, "--workspace", tmp_path, "--count", 24, "--size", 64, *sweeps) == 0
    table = pd.read_csv(tmp_path / body.RESULT)
    assert len(table) == 3 * len(PROPERTY_NAMES)
    ours = table[table["algorithm"] == 3].set_index("property")
    assert (ours["r"] > 0.9).all()
    assert (ours["within_r"] > 0.95).all()
    assert (ours["others_r2"] < 0.05).all()
    assert (ours["noise_shift_sd"] < 0.1).all()
    # The document's rows and columns move with a single wrong pixel.
    assert table.loc[table["algorithm"] == 1, "noise_shift_sd"].max() > 1


def test_impossible_options_are_refused(tmp_path: Path, capsys) -> None:
    assert exit_code(TOOL, "--workspace", tmp_path, "--levels", 2) == 2
    assert "--levels at least 3" in capsys.readouterr().err
    assert exit_code(TOOL, "--workspace", tmp_path, "--size", 32) == 2


def test_influence_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2000, 3)) * [1, 10, 0.1]
    score = truth[:, 0] + 0.03 * truth[:, 1] + 0.5 * rng.normal(size=2000)
    share, partial, strongest = body.influence(score, truth, own=0)
    assert strongest == 1
    assert share == pytest.approx(0.09 / 1.34, abs=0.02)
    assert partial == pytest.approx(0.09 / 0.34, abs=0.04)
    assert body.influence(truth[:, 0] + 0.5 * rng.normal(size=2000), truth, own=0)[1] < 0.01


def test_the_median_person_counts_and_a_score_that_stays_is_0() -> None:
    truth = np.tile([0.0, 0.5, 1.0], (3, 1))
    values = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]])
    assert body.within_person(values, truth) == 0
    assert body.within_person(values[[0, 0, 1]], truth) == pytest.approx(1)
    values[:, 0] = np.nan  # two values are no correlation
    assert body.within_person(values[[0, 0, 0]], truth) == 0


def test_sweeps_change_one_property_of_a_person() -> None:
    swept = body.sweep_latents(5, people=2, levels=3)
    changed = (swept != swept[:, :, :1]).any(axis=2)
    assert swept.shape[:3] == (2, 7, 3)
    assert (changed.sum(axis=-1) == 1).all()
    assert (swept[0] != swept[1]).any(axis=-1).all()
