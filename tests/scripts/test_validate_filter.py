"""The tool that measures the filter against the truth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.pipeline import records
from tests.processes import exit_code

COUNT, LABELLED = 20, 4


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Judged candidates: one man and one bad picture pass the filter, one good woman does not."""
    number = np.arange(COUNT)
    gender, quality = (number % 4 != 0).astype(int), (number % 5 != 0).astype(int)
    table = pd.DataFrame({"img_no": number, "img_path": [f"images/{n:06d}.jpg" for n in number]})
    table["gender"], table["quality"] = 0.1 + 0.8 * gender, 0.02 + 0.96 * quality
    table.loc[8, "gender"] = 0.85  # a man
    table.loc[5, "quality"] = 0.95  # a bad picture
    table.loc[6, "quality"] = 0.6  # a good one
    table["source"] = np.where(number < LABELLED, "label", "network")
    table["kept"] = ((table["gender"] >= 0.7) & (table["quality"] >= 0.9)).astype(int)
    table["status"], table["reason"] = "ok", ""
    (tmp_path / "cnn").mkdir()
    table.to_csv(tmp_path / "cnn/all_image_quality_and_gender.csv", index=False)
    names = [f"{n:06d}.jpg" for n in number]
    truth = pd.DataFrame({"img_name": names, "quality": quality, "gender": gender})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    options = {"keep": "women", "gender_threshold": 0.7, "quality_threshold": 0.9}
    record = {"fingerprint": "", "state": "complete", "depends_on": {"options": options}}
    records.write(tmp_path, "02_filter_candidates", record)
    return tmp_path


def test_figures_against_a_table(workspace: Path, capsys) -> None:
    arguments = ("--workspace", workspace, "--truth", workspace / "truth.csv")
    assert exit_code("validate_filter", *arguments) == 0
    numbers = json.loads((workspace / "cnn/log/validation.json").read_text())
    # Of the 16 without labels, 5, 10 and 15 are bad; 4, 8, 12 and 16 are men.
    assert numbers["quality"]["confusion"] == [[2, 1], [1, 12]]
    assert numbers["gender"]["confusion"] == [[3, 1], [0, 12]]
    assert numbers["kept"] == {"count": 10, "women": pytest.approx(0.9), "good": pytest.approx(0.9)}
    assert "66.7% of 3 bad pictures removed, 7.7% of 13 good ones lost" in capsys.readouterr().out
    assert (workspace / "cnn/log/validation_gender.png").exists()


def test_a_truth_with_gaps_or_no_result_is_refused(workspace: Path, capsys) -> None:
    truth = pd.read_csv(workspace / "truth.csv").head(10)
    truth.to_csv(workspace / "short.csv", index=False)
    assert exit_code("validate_filter", "--workspace", workspace, "--truth", workspace / "short.csv") == 5
    assert "no row for 10 pictures (000010.jpg" in capsys.readouterr().err
    truth = pd.read_csv(workspace / "truth.csv")
    for wrong, message in (
        (truth.replace({"quality": {1: 2}}), "000001.jpg has the quality '2'; only 0 and 1"),
        (pd.concat([truth, truth.tail(1)]), "000019.jpg is labelled more than once"),
    ):
        wrong.to_csv(workspace / "wrong.csv", index=False)
        assert exit_code("validate_filter", "--workspace", workspace, "--truth", workspace / "wrong.csv") == 5
        assert message in capsys.readouterr().err
    (workspace / "cnn/all_image_quality_and_gender.csv").unlink()
    assert exit_code("validate_filter", "--workspace", workspace) == 3
    assert "02_filter_candidates.py" in capsys.readouterr().err
