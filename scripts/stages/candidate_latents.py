"""Latents of the candidates beside what stages 02 and 04 say of them, for linear models in w."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from scripts.pipeline import Stage
from scripts.stages.networks import load_filter
from scripts.stages.scores import read_scores
from scripts.stages.workspace import FILTER_TABLE, FILTERS, LATENTS
from stylegan.weights_file import WeightsFileError, read_safetensors
from stylegan_modified.linear_latents import LinearEditor
from stylegan_modified.losses import FilterLogit

TURNED_AWAY = 0.005  # share of the candidates beyond all that were kept, by which a filter shows


def load_latents(stage: Stage) -> Tensor:
    """w of all candidates: float32 [N, w_dim], row n of image n."""
    mend = f"Make it anew: {stage.command('01_generate_candidates', '--force')}"
    with stage.foreseen(WeightsFileError, mend=mend):
        tensors, _ = read_safetensors(stage.workspace / LATENTS)
        if "w" not in tensors or tensors["w"].dim() != 2:
            raise WeightsFileError(f"{LATENTS} has no table of latents 'w'.")
        return tensors["w"].float()


def read_filter_table(stage: Stage) -> pd.DataFrame:
    """What stage 02 says of every candidate."""
    return stage.read_csv(FILTER_TABLE, ("img_no", *FILTERS, "kept"))


@dataclass(frozen=True)
class KeptSide:
    """The side of a class boundary on which stage 02 kept candidates.

    Attributes:
        name: of the filter, "gender" or "quality".
        sign: 1 where its probability is high (women, good quality), -1 where it is low.
        limit: probability up to which `sign` holds: .5, or beyond it if candidates there were kept.
    """

    name: str
    sign: int
    limit: float

    def has(self, probability: np.ndarray) -> np.ndarray:
        """Which candidates are on it, by their probabilities."""
        return self.sign * (probability - self.limit) >= 0


def kept_sides(table: pd.DataFrame) -> dict[str, KeptSide | None]:
    """On which side of each filter the candidates were kept; None where it turned hardly anybody away.

    Args:
        table: of stage 02, with the probabilities of each filter and `kept`.
    """
    sides: dict[str, KeptSide | None] = dict.fromkeys(FILTERS)
    for name in FILTERS:
        known = table[table[name].notna()]
        kept = known.loc[known["kept"] == 1, name]
        below, above = ((known[name] < kept.min()).mean(), (known[name] > kept.max()).mean())
        if max(below, above) >= TURNED_AWAY:
            is_high = below > above
            limit = min(0.5, kept.min()) if is_high else max(0.5, kept.max())
            sides[name] = KeptSide(name, 1 if is_high else -1, float(limit))
    return sides


def fit_editor(stage: Stage) -> LinearEditor | None:
    """Linear model of the candidates' latents with the boundaries of what was kept; None if it cannot be
    fitted, as with too few candidates.
    """
    w = load_latents(stage)
    numbers, scores = read_scores(stage)
    table = read_filter_table(stage).set_index("img_no").reindex(range(len(w)))
    is_known = table[list(FILTERS)].notna().all(axis=1).to_numpy(copy=True)
    if not is_known.all():
        stage.log(f"linear start: {(~is_known).sum()} candidates that stage 02 could not read do not count")
    table, has_scores = table[is_known], is_known[numbers]
    places = np.cumsum(is_known) - 1  # of an image among those that are known
    wanted = []
    for name, side in kept_sides(table).items():
        if side is None:
            stage.log(f"linear start: no boundary of {name}, since stage 02 kept candidates on both sides")
            continue
        inside = side.has(table[name].to_numpy(np.float64))
        wanted.append(torch.from_numpy(inside))
        word = "at least" if side.sign > 0 else "at most"
        stage.log(f"linear start: boundary at {name} {word} {side.limit:.2f} ({inside.mean():.0%} have it)")
    try:
        return LinearEditor.fit(
            w[torch.from_numpy(is_known)],
            torch.from_numpy(places[numbers[has_scores]]),
            torch.from_numpy(scores[has_scores]),
            tuple(wanted),
        )
    except ValueError as error:
        stage.log(f"no linear start: {error}")
        return None


def load_filters(stage: Stage) -> tuple[nn.Module, ...]:
    """Frozen filter networks whose logits are positive for what was kept; none where both sides were."""
    sides = kept_sides(read_filter_table(stage))
    for name in (name for name, side in sides.items() if side is None):
        stage.log(f"the loss has no {name} term: stage 02 kept candidates on both sides")
    kept = (side for side in sides.values() if side is not None)
    return tuple(FilterLogit(load_filter(stage, side.name), side.sign) for side in kept)
