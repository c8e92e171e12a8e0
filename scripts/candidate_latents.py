"""Latents of the candidates beside what stages 02 and 04 say of them, for linear models in w."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts import faces
from scripts.pipeline import Input, Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stylegan_modified.linear_latents import LinearEditor

LATENTS = "stylegan/latents.safetensors"
FILTERED = "cnn/all_image_quality_and_gender.csv"
LATENT_INPUT = Input(LATENTS, made_by="01_generate_candidates")
FILTERED_INPUT = Input(FILTERED, made_by="02_filter_candidates")
FILTERS = ("gender", "quality")


def load_latents(stage: Stage) -> Tensor:
    """w of all candidates: float32 [N, w_dim], row n of image n."""
    from stylegan.weights_file import WeightsFileError, read_safetensors

    mend = f"Make it anew: {stage.command('01_generate_candidates', '--force')}"
    with stage.foreseen(WeightsFileError, mend=mend):
        tensors, _ = read_safetensors(stage.workspace / LATENTS)
        if "w" not in tensors or tensors["w"].dim() != 2:
            raise WeightsFileError(f"{LATENTS} has no table of latents 'w'.")
        return tensors["w"].float()


def kept_sides(stage: Stage) -> dict[str, int]:
    """Which side of each filter the kept candidates are on: 1 (women, good quality), -1, or 0 for both."""
    table = stage.read_csv(FILTERED, ("img_no", *FILTERS, "kept"))
    kept = table[(table["kept"] == 1)]
    shares = {name: (kept[name] >= 0.5).mean() for name in FILTERS}
    return {name: 1 if share > 0.99 else -1 if share < 0.01 else 0 for name, share in shares.items()}


def fit_editor(stage: Stage) -> LinearEditor | None:
    """Linear model of the candidates' latents with the boundaries of what was kept; None where there are too
    few candidates to fit one.
    """
    import numpy as np
    import torch

    from stylegan_modified.linear_latents import LinearEditor

    w = load_latents(stage)
    numbers, scores = faces.read_scores(stage)
    table = stage.read_csv(FILTERED, ("img_no", *FILTERS)).set_index("img_no").reindex(range(len(w)))
    wanted = []
    for name, side in kept_sides(stage).items():
        probability = table[name].to_numpy(np.float64)
        inside = probability >= 0.5 if side > 0 else probability < 0.5
        if side and 0 < inside.sum() < len(inside):
            wanted.append(torch.from_numpy(inside))
    try:
        return LinearEditor.fit(w, torch.tensor(numbers), torch.tensor(scores), tuple(wanted))
    except ValueError as error:
        stage.log(f"no linear start: {error}")
        return None


def load_filters(stage: Stage) -> tuple[nn.Module, ...]:
    """Frozen filter networks whose logits are positive for what was kept; none where both sides were."""
    from stylegan_modified.losses import FilterLogit

    sides = kept_sides(stage)
    return tuple(FilterLogit(faces.load_filter(stage, name), side) for name, side in sides.items() if side)
