"""Conversion writes our layout and the samples; what it refuses leaves nothing behind."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from scripts.pipeline import REPOSITORY
from stylegan.checkpoint import build_discriminator, build_generator, load_checkpoint
from tests.processes import exit_code

GOLDEN = REPOSITORY / "tests" / "golden"


def convert(tmp_path: Path, *arguments: object) -> int:
    return exit_code("convert_weights", *arguments, "--workspace", tmp_path / "ws", "--device", "cpu")


@pytest.mark.parametrize("source", ["stylegan2_snapshot_32.pkl", "layouts/mmgen_stylegan2_tiny_32.pth"])
@torch.no_grad()
def test_what_is_written_draws_the_same(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "ours.safetensors"
    assert convert(tmp_path, GOLDEN / source, output) == 0
    before, after = load_checkpoint(GOLDEN / source), load_checkpoint(output)
    assert before.description in capsys.readouterr().out
    assert after.config == before.config and not after.notes
    z = torch.randn(2, before.config["z_space_dim"])
    image = build_generator(before)(z, trunc_psi=0.5)["image"]
    assert torch.equal(build_generator(after)(z, trunc_psi=0.5)["image"], image)
    assert torch.equal(build_discriminator(after)(image), build_discriminator(before)(image))
    with Image.open(output.with_suffix(".png")) as sheet:
        assert sheet.width > 4 * 256
    # Nothing is replaced unasked.
    content = output.read_bytes()
    assert convert(tmp_path, GOLDEN / source, output) == 2
    assert "would be lost" in capsys.readouterr().err
    assert convert(tmp_path, GOLDEN / source, output, "--force", "--turn-colours") == 0
    assert output.read_bytes() != content
    turned = build_generator(load_checkpoint(output))(z, trunc_psi=0.5)["image"]
    assert torch.equal(turned.flip(1), image)


@torch.no_grad()
def test_a_small_file_draws_the_same_but_for_rounding(tmp_path: Path) -> None:
    source, output = REPOSITORY / "data/embedded/stylegan_model.safetensors", tmp_path / "small.safetensors"
    before = load_checkpoint(source)
    assert convert(tmp_path, source, output, "--small") == 0
    after = load_checkpoint(output)
    assert after.generator is None and after.discriminator is not None
    assert after.extra["metadata"]["training"] == before.extra["metadata"]["training"]
    z = torch.randn(2, before.config["z_space_dim"])
    image, expected = (build_generator(one)(z)["image"] for one in (after, before))
    torch.testing.assert_close(image, expected, rtol=0, atol=0.02)


def test_refusals_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "page.pkl", tmp_path / "out.safetensors"
    source.write_bytes(b"<html>")
    assert convert(tmp_path, source, output) == 5
    assert "a web page" in capsys.readouterr().err
    assert convert(tmp_path, source, tmp_path / "out.pth") == 2
    assert convert(tmp_path) == 2
    assert [path.name for path in tmp_path.glob("*.*")] == ["page.pkl"]
