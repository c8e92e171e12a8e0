"""Stage 06: a run that goes on behind the property CNN starts its dials where an undisturbed one does."""

import importlib
from types import SimpleNamespace

import pytest
import torch

from tests.stylegan_modified import tiny

stage_06 = importlib.import_module("scripts.06_fine_tune_v2")


def test_the_dials_start_alike_whatever_was_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, network = tiny.dial_generator().generator, tiny.property_cnn()
    discriminator = tiny.base_discriminator()
    monkeypatch.setattr(stage_06.faces, "load_generator", lambda stage, version: generator)
    monkeypatch.setattr(stage_06.faces, "load_base", lambda stage: (None, discriminator))
    monkeypatch.setattr(stage_06.faces, "load_identity", lambda stage: None)
    monkeypatch.setattr(stage_06.candidate_latents, "load_filters", lambda stage: ())
    monkeypatch.setattr(stage_06, "start_dials", lambda stage, model, z: None)
    stage = SimpleNamespace(device=torch.device("cpu"))
    practice = SimpleNamespace(z=torch.zeros(4, tiny.Z_DIM), requests=None, label_maps=None)
    tuning = SimpleNamespace(train=lambda trainer, preview: None, preview=None)
    options = stage_06.Options(steps=1, batch_size=4, seed=5)
    first, second = (
        stage_06.train_dials(stage, options, tuning, network, practice).dials.state_dict() for _ in range(2)
    )
    assert all(torch.equal(second[name], value) for name, value in first.items())
    assert any(value.std() > 0 for value in first.values())
