"""The document's v2 and v3: dense layers (and the encoder) learn, the rest stays."""

import pytest
import torch
from torch import nn

from stylegan_modified.document_recipes import DocumentV2Trainer, DocumentV3Trainer
from stylegan_modified.recipes import Recipe
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from tests.stylegan_modified import tiny

OPTIONS = Recipe(steps=4, batch_size=4)


class Gender(nn.Module):
    """Stands for the gender network: a logit from the brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * images.mean(dim=(1, 2, 3))


def build(version: str) -> DocumentV2Trainer:
    parts = (transplant(tiny.base_generator()), tiny.property_cnn(), tiny.pictures(), OPTIONS)
    if version == "v2":
        return DocumentV2Trainer(*parts)
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(tiny.RESOLUTION, tiny.Z_DIM, width=0.25, hidden=16))
    return DocumentV3Trainer(*parts, encoder, Gender())


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_what_learns_and_what_stays(version: str) -> None:
    trainer = build(version)
    before = {name: value.clone() for name, value in trainer.generator.named_parameters()}
    judge = {name: value.clone() for name, value in trainer.property_cnn.state_dict().items()}
    encoder = [value.clone() for value in getattr(trainer, "encoder", nn.Identity()).parameters()]
    rows = [trainer.step() for _ in range(2)]
    for name, parameter in trainer.generator.named_parameters():
        learns = "mapping." in name or ".style." in name
        assert torch.equal(parameter, before[name]) != learns, name
    for name, value in trainer.property_cnn.state_dict().items():
        assert torch.equal(value, judge[name]), name
    if version == "v3":
        now = list(trainer.encoder.parameters())
        assert not any(torch.equal(*pair) for pair in zip(encoder, now, strict=True))
        assert trainer.gender.scale.grad is None
        assert {"property", "gender", "mean", "log_variance"} <= set(rows[-1])
