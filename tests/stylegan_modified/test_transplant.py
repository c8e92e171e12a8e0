"""Step 0 of every fine-tuning shows the people of the original generator."""

from pathlib import Path

import pytest
import torch

from stylegan.checkpoint import load_checkpoint
from stylegan.stylegan_generator import StyleGANGenerator
from stylegan_modified.stylegan_discriminator import transplant_discriminator
from stylegan_modified.stylegan_generator import build_conditioned_generator, transplant
from tests.stylegan_modified import tiny

ARCHITECTURES = pytest.mark.parametrize("architecture", ["stylegan", "stylegan2"])


@ARCHITECTURES
def test_transplant_equals_the_original_for_any_properties(architecture: str) -> None:
    base = tiny.base_generator(architecture=architecture)
    generator = transplant(base)
    z, properties = torch.randn(5, tiny.Z_DIM), 3 * torch.randn(5, 7)
    with torch.no_grad():
        expected, got = base(z), generator(z, properties)
    torch.testing.assert_close(got["w"], expected["w"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["image"], expected["image"], rtol=1e-3, atol=1e-4)


@ARCHITECTURES
def test_untrained_dials_show_the_people_of_the_original(architecture: str) -> None:
    """The start of v2, whose generator v3 keeps."""
    model = tiny.dial_generator(architecture)
    z, properties = torch.randn(3, tiny.Z_DIM), 3 * torch.randn(3, 7)
    with torch.no_grad():
        expected, got = tiny.base_generator(architecture=architecture)(z), model(z, properties)
    torch.testing.assert_close(got["image"], expected["image"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("label_size", [16, 24])
def test_transplant_has_the_published_shapes(label_size: int) -> None:
    state = transplant(StyleGANGenerator(8, fmaps_base=64, fmaps_max=8), label_size).state_dict()
    assert state["mapping.label_weight"].shape == (7, label_size)
    assert state["mapping.dense0.weight"].shape == (512, 512 + label_size)
    base = tiny.base_discriminator()
    last = f"{base.dense_layers[-1]}.weight"
    additive = transplant_discriminator(base, "additive").state_dict()
    assert additive[last].shape == (1, base.state_dict()[last].shape[1] + 7)


@ARCHITECTURES
def test_label_matrix_learns_from_the_first_step(architecture: str) -> None:
    generator = transplant(tiny.base_generator(architecture=architecture))
    generator(torch.randn(4, tiny.Z_DIM), torch.randn(4, 7))["image"].square().mean().backward()
    assert generator.mapping.label_weight.grad.abs().max() > 0


def test_transplant_refuses_a_conditioned_generator() -> None:
    with pytest.raises(ValueError, match="conditioned already"):
        transplant(transplant(tiny.base_generator()))


@ARCHITECTURES
@pytest.mark.parametrize("conditioning", ["projection", "additive"])
def test_discriminator_starts_from_the_judgement_of_the_original(
    architecture: str, conditioning: str
) -> None:
    base = tiny.base_discriminator(architecture=architecture)
    discriminator = transplant_discriminator(base, conditioning).eval()
    images = torch.randn(4, 3, tiny.RESOLUTION, tiny.RESOLUTION)
    with torch.no_grad():
        torch.testing.assert_close(
            discriminator(images, torch.randn(4, 7)), base(images), rtol=1e-4, atol=1e-4
        )


@ARCHITECTURES
@pytest.mark.parametrize("conditioning", ["projection", "additive"])
def test_conditioned_networks_are_recognised_in_their_files(
    tmp_path: Path, architecture: str, conditioning: str
) -> None:
    generator = transplant(tiny.base_generator(architecture=architecture))
    base = tiny.base_discriminator(architecture=architecture)
    discriminator = transplant_discriminator(base, conditioning)
    path = tmp_path / "weights.pth"
    torch.save({"generator": generator.state_dict(), "discriminator": discriminator.state_dict()}, path)
    found = load_checkpoint(path)
    assert (found.architecture, found.conditioned) == (architecture, True)
    assert (found.extra["label_size"], found.extra["conditioning"]) == (16, conditioning)
    assert found.discriminator_config["resolution"] == tiny.RESOLUTION
    again = build_conditioned_generator(found)
    z, properties = torch.randn(2, tiny.Z_DIM), torch.randn(2, 7)
    with torch.no_grad():
        assert torch.equal(again(z, properties)["image"], generator(z, properties)["image"])


def test_additive_properties_cannot_judge_a_picture_but_projection_can() -> None:
    images = torch.randn(2, 3, tiny.RESOLUTION, tiny.RESOLUTION)
    first, second = torch.randn(1, 7).expand(2, 7), torch.randn(1, 7).expand(2, 7)
    gaps = {}
    for conditioning in ("additive", "projection"):
        discriminator = transplant_discriminator(tiny.base_discriminator(), conditioning).eval()
        for parameter in discriminator.dense_parameters():
            torch.nn.init.normal_(parameter)
        with torch.no_grad():
            change = discriminator(images, first) - discriminator(images, second)
        gaps[conditioning] = float((change[0] - change[1]).abs() / change.abs().max())
    assert gaps["additive"] < 1e-4 < gaps["projection"]
