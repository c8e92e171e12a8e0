"""What v1 and v2 learn from the filter of stage 02: boundaries in w, and terms of the loss."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scripts.pipeline import Stage, StageOptions, StageSpec
from scripts.pipeline.console import StopRequest
from scripts.stages import candidate_latents
from scripts.stages import workspace as paths
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.linear_latents import LinearEditor

COUNT, W_DIM = 600, 12


class World:
    """Candidates whose gender shows in the first coordinate of w and quality in the second one.

    Args:
        folder: the workspace.
        threshold: least probability of a woman that is kept; None keeps men, too.
        unread: candidates that stage 02 could not read.
    """

    def __init__(self, folder: Path, threshold: float | None, unread: np.ndarray | None = None) -> None:
        rng = np.random.default_rng(0)
        self.w = rng.normal(size=(COUNT, W_DIM)).astype(np.float32)
        gender, quality = (1 / (1 + np.exp(-3 * self.w[:, i] - offset)) for i, offset in ((0, 0), (1, 4)))
        table = pd.DataFrame({"img_no": range(COUNT), "gender": gender, "quality": quality})
        kept = (table["quality"] >= 0.9) & (threshold is None or table["gender"] >= threshold)
        if unread is not None:
            table.loc[unread, ["gender", "quality"]] = np.nan
            kept[unread] = False
        self.table = table.assign(kept=kept.astype(int))
        for relative in (paths.FILTER_TABLE, paths.LATENTS, paths.SCORES):
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(folder / paths.FILTER_TABLE, index=False)
        save_file({"w": torch.from_numpy(self.w)}, folder / paths.LATENTS)
        scores = pd.DataFrame(self.w[:, 2:9], columns=[f"{name}_score" for name in PROPERTY_NAMES])
        scores.insert(0, "img_no", range(COUNT))
        scores[kept.to_numpy()].assign(valid=True).to_csv(folder / paths.SCORES, index=False)
        options = StageOptions(workspace=folder, device="cpu", quiet=True)
        self.stage = Stage(StageSpec("90_toy"), options, StopRequest())

    def editor(self) -> LinearEditor:
        editor = candidate_latents.fit_editor(self.stage)
        assert editor is not None
        return editor

    def log(self) -> str:
        return (self.stage.log_dir / "log.txt").read_text()


@pytest.fixture(autouse=True)
def filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_latents, "load_filter", lambda stage, name: nn.Identity())


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.7, 0.99])
def test_every_threshold_leaves_the_boundary_and_the_term(tmp_path: Path, threshold: float) -> None:
    world = World(tmp_path, threshold)
    editor = world.editor()
    assert editor.boundary_effect.shape == (W_DIM, 2)
    admitted = editor.admit(torch.from_numpy(world.w))
    is_woman = world.table["gender"].to_numpy() >= min(0.5, threshold)
    assert ((admitted - torch.from_numpy(world.w))[:, 0].numpy() > 0.1)[~is_woman].mean() > 0.9
    assert [term.side for term in candidate_latents.load_filters(world.stage)] == [1, 1]
    kept = world.table.loc[world.table["kept"] == 1, "gender"].min()
    assert f"boundary at gender at least {min(0.5, kept):.2f}" in world.log()


def test_men_are_on_the_other_side(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    kept = (world.table["gender"] <= 0.6) & (world.table["quality"] >= 0.9)
    table = world.table.assign(kept=kept.astype(int))
    table.to_csv(tmp_path / paths.FILTER_TABLE, index=False)
    assert [term.side for term in candidate_latents.load_filters(world.stage)] == [-1, 1]
    side = candidate_latents.kept_sides(table)["gender"]
    assert side.limit == pytest.approx(0.6, abs=0.02)
    assert side.has(np.array([0.1, 0.55, 0.7])).tolist() == [True, True, False]


def test_a_filter_that_turned_nobody_away_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    assert world.editor().boundary_effect.shape == (W_DIM, 1)
    assert [term.side for term in candidate_latents.load_filters(world.stage)] == [1]
    assert "no boundary of gender" in world.log() and "no gender term" in world.log()
    assert "boundary at quality at least 0.50" in world.log()


def test_candidates_without_a_reading_count_on_neither_side(tmp_path: Path) -> None:
    whole = World(tmp_path / "whole", 0.7)
    unread = np.flatnonzero(whole.w[:, 0] > 0.8)[::2]  # surely women, had they been read
    assert len(unread) > 40
    world = World(tmp_path / "holes", 0.7, unread)
    editor, expected = world.editor(), whole.editor()
    assert f"{len(unread)} candidates that stage 02 could not read do not count" in world.log()
    cosine = torch.cosine_similarity(editor.boundary_effect, expected.boundary_effect, dim=0)
    assert cosine.min() > 0.97
    read = editor.boundary_effect[0] * 0.8 + editor.boundary_offset
    assert read[0] > 0  # those who look like them are women
