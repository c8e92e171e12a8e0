"""Generators with dials are read by what their files hold; files of the published project among them."""

from pathlib import Path

import pytest
import torch

from scripts.pipeline import UserError
from scripts.stages import networks
from scripts.stages import workspace as paths
from stylegan.checkpoint import CheckpointError, load_checkpoint
from stylegan_modified.generator_files import load_conditioned, load_dialled
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from tests.scripts.pages.explore_workspace import make_tool, save
from tests.stylegan_modified import tiny


def published(label_size: int) -> dict[str, torch.Tensor]:
    """A fine-tuned generator as the published project saves it: a bare table."""
    generator = transplant(tiny.base_generator(), label_size)
    with torch.no_grad():
        generator.mapping.label_weight.normal_(generator=torch.Generator().manual_seed(1))
    return generator.state_dict()


@pytest.mark.parametrize(("version", "label_size"), [("v1", 16), ("v2", 16), ("v3", 24)])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}])
def test_published_generators_load_as_every_version(tmp_path: Path, version, label_size, wrap) -> None:
    """Without a property CNN, which only generators with dials need."""
    state = published(label_size)
    save(tmp_path, paths.FINE_TUNED[version], wrap(state))
    generator = networks.load_generator(make_tool(tmp_path), version)
    assert generator.mapping.label_weight.shape == (7, label_size)
    z = torch.randn(2, tiny.Z_DIM, generator=torch.Generator().manual_seed(2))
    closed, opened = torch.zeros(2, 7), torch.eye(7)[[0, 3]] * 2
    expected = transplant(tiny.base_generator(), label_size)
    expected.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(generator(z, opened)["image"], expected.eval()(z, opened)["image"])
        assert not torch.allclose(generator(z, opened)["image"], generator(z, closed)["image"])


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_an_original_generator_is_no_version(tmp_path: Path, version: str) -> None:
    """It would load, and every dial would silently do nothing."""
    save(tmp_path, paths.FINE_TUNED[version], {"generator": tiny.base_generator().state_dict()})
    with pytest.raises(UserError, match=f"{version}.pth cannot be used.*hears no properties"):
        networks.load_generator(make_tool(tmp_path), version)


def test_dials_need_the_property_cnn_and_are_never_dropped(tmp_path: Path) -> None:
    model = tiny.dial_generator()
    torch.save(model.checkpoint(), tmp_path / "v2.pth")
    assert isinstance(load_dialled(tmp_path / "v2.pth", tiny.property_cnn), DialGenerator)
    for load in (load_checkpoint, load_conditioned):
        with pytest.raises(CheckpointError, match="with dials"):
            load(tmp_path / "v2.pth")
    save(tmp_path, paths.FINE_TUNED["v2"], model.checkpoint())
    with pytest.raises(UserError, match=r"no weights file.*v2_cnn.pth.*06_fine_tune_v2"):
        networks.load_generator(make_tool(tmp_path), "v2")


def test_a_generator_of_other_properties_is_refused(tmp_path: Path) -> None:
    state = published(16)
    state["mapping.label_weight"] = state["mapping.label_weight"][:3]
    torch.save(state, tmp_path / "v1.pth")
    with pytest.raises(CheckpointError, match="with 3 properties.*these 7"):
        load_conditioned(tmp_path / "v1.pth")


def test_stylegan2_is_a_base_like_the_other(tmp_path: Path) -> None:
    original = tiny.base_generator(architecture="stylegan2")
    save(tmp_path, paths.GENERATOR, {"g_ema": original.state_dict()})
    save(tmp_path, paths.FINE_TUNED["v1"], transplant(original).checkpoint())
    z = torch.randn(2, tiny.Z_DIM)
    for version in ("base", "v1"):
        generator = networks.load_generator(make_tool(tmp_path), version)
        with torch.no_grad():
            torch.testing.assert_close(generator(z)["image"], original(z)["image"], rtol=1e-3, atol=1e-4)


def test_a_base_without_discriminator_gets_an_untrained_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, paths.GENERATOR, {"generator": tiny.base_generator().state_dict()})
    tool, lines = make_tool(tmp_path), []
    monkeypatch.setattr(tool, "log", lines.append)
    generator, discriminator = networks.load_base(tool)
    assert "untrained one" in lines[0]
    assert discriminator.resolution == generator.resolution
    again = networks.load_base(make_tool(tmp_path))[1]
    for one, other in zip(discriminator.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
