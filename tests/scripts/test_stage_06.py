"""Stage 06: a run that goes on behind the property CNN starts its dials where an undisturbed one does."""

import importlib
from types import SimpleNamespace

import pytest
import torch

from scripts.stages.fine_tuning import v2
from stylegan_modified.fine_tuning import TrainingPictures
from tests.stylegan_modified import tiny

Options = importlib.import_module("scripts.06_fine_tune_v2").Options


def test_both_pictures_of_a_person_of_v1_are_one_person() -> None:
    practice = v2.PracticePictures(
        z=torch.zeros(3, 4),
        requests=None,
        label_maps=None,
        images=torch.zeros(5, 8, 8, 3, dtype=torch.uint8),
        scores=torch.zeros(5, 7),
        people=torch.tensor([0, 0, 1, 2, 2]),
    )
    filtered = TrainingPictures(torch.ones(4, 8, 8, 3, dtype=torch.uint8), torch.ones(4, 7))
    joined = practice.joined(filtered)
    assert joined.people.tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 6]
    assert joined.images[torch.arange(9)].float().mean((1, 2, 3)).tolist() == [1] * 4 + [0] * 5


def test_the_dials_start_alike_whatever_was_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, network = tiny.dial_generator().generator, tiny.property_cnn()
    monkeypatch.setattr(v2.networks, "load_v1", lambda stage: generator)
    monkeypatch.setattr(v2.networks, "load_identity", lambda stage: None)
    monkeypatch.setattr(v2.candidate_latents, "load_filters", lambda stage: ())
    monkeypatch.setattr(v2, "start_dials", lambda stage, model, z: None)
    stage = SimpleNamespace(device=torch.device("cpu"))
    practice = SimpleNamespace(z=torch.zeros(4, tiny.Z_DIM), requests=None, label_maps=None)
    tuning = SimpleNamespace(train=lambda trainer, preview: None, preview=None)
    options = Options(steps=1, batch_size=4, seed=5)
    first, second = (
        v2.train_dials(stage, options, tuning, network, practice).dials.state_dict() for _ in range(2)
    )
    assert all(torch.equal(second[name], value) for name, value in first.items())
    assert any(value.std() > 0 for value in first.values())
