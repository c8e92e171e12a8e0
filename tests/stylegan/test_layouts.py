"""Weights of other programs draw here what they draw there."""

import argparse
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan.checkpoint import CheckpointError, build_discriminator, build_generator, load_checkpoint
from stylegan.layouts import layout_of, with_turned_colours
from stylegan.recognition import kind_of, recognise_ours

LAYOUTS = Path(__file__).parents[1] / "golden" / "layouts"
IMAGE_TOLERANCE, SCORE_TOLERANCE = 1e-4, 1e-5
CONVERTED = LAYOUTS / "rosinality_stylegan2_tiny_32_converted.pt"
TINY = {
    "mmgen_stylegan1_tiny_128.pth": "OpenMMLab",
    "mmgen_stylegan2_tiny_32.pth": "OpenMMLab",
    "interfacegan_stylegan1_tiny_128.pth": "InterFaceGAN",
    "rosinality_stylegan2_tiny_32_converted.pt": "rosinality",
}


def _error(found: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


def _images(count: int, size: int, seed: int) -> Tensor:
    """Pictures that the golden scores are of: the later, the stronger."""
    drawn = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return drawn * (torch.arange(1, count + 1) / count)[:, None, None, None]


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_tiny_file_equals_reference(name: str) -> None:
    path = LAYOUTS / name
    with np.load(path.with_name(f"{path.stem}_expected.npz")) as file:
        stored = dict(file)
    checkpoint = load_checkpoint(path)
    assert TINY[name] in checkpoint.description
    call = json.loads(str(stored["call"]))
    generator = build_generator(checkpoint)
    z = torch.from_numpy(stored["z"])
    found = generator(z, trunc_psi=call.get("truncation_psi"), trunc_layers=call.get("truncation_layers"))
    assert _error(found["w"], stored["w"]) < IMAGE_TOLERANCE
    image, size = found["image"], stored["center"].shape[-1]
    start = (image.shape[-1] - size) // 2
    center = image[:, :, start : start + size, start : start + size]
    assert _error(center, stored["center"]) < IMAGE_TOLERANCE
    assert _error(F.adaptive_avg_pool2d(image, 8), stored["pool8"]) < IMAGE_TOLERANCE
    if "score" in stored:
        images = _images(int(stored["images_n"]), generator.resolution, int(stored["images_seed"]))
        assert _error(build_discriminator(checkpoint)(images), stored["score"]) < SCORE_TOLERANCE
    else:
        assert checkpoint.discriminator is None


def rosinality_discriminator(resolution: int, base: int, largest: int, salt: str = "") -> dict[str, Tensor]:
    """The table `d` of a training, filled by the rules of the golden files."""
    sizes = [resolution >> block for block in range(resolution.bit_length() - 2)]
    widths = [min(base // size, largest) for size in sizes]
    shapes: dict[str, tuple[int, ...]] = {
        "convs.0.0.weight": (widths[0], 3, 1, 1),
        "convs.0.1.bias": (widths[0],),
        "final_conv.0.weight": (widths[-1], widths[-1] + 1, 3, 3),
        "final_conv.1.bias": (widths[-1],),
        "final_linear.0.weight": (widths[-1], widths[-1] * 16),
        "final_linear.0.bias": (widths[-1],),
        "final_linear.1.weight": (1, widths[-1]),
        "final_linear.1.bias": (1,),
    }
    for block, (width, narrow) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
        shapes |= {
            f"convs.{block}.conv1.0.weight": (width, width, 3, 3),
            f"convs.{block}.conv1.1.bias": (width,),
            f"convs.{block}.conv2.0.kernel": (4, 4),
            f"convs.{block}.conv2.1.weight": (narrow, width, 3, 3),
            f"convs.{block}.conv2.2.bias": (narrow,),
            f"convs.{block}.skip.0.kernel": (4, 4),
            f"convs.{block}.skip.1.weight": (narrow, width, 1, 1),
        }
    state = {}
    for name, shape in shapes.items():
        rng = torch.Generator().manual_seed(zlib.crc32((salt + name).encode()))
        state[name] = torch.randn(shape, generator=rng) * (0.1 if name.endswith("bias") else 1.0)
    return state


def _training(**changes: Any) -> dict[str, Any]:
    """A file as rosinality's training writes it, with the generator of the converted golden file."""
    state = torch.load(CONVERTED, weights_only=True)["g_ema"]
    return {
        "g": dict(state),
        "d": rosinality_discriminator(32, 256, 12),
        "g_ema": state,
        "g_optim": {"state": {0: {"step": 7, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.002}]},
        "args": argparse.Namespace(size=32, batch=16, ckpt=None, augment_p=0.0),
        "ada_aug_p": 0.0,
        **changes,
    }


@torch.no_grad()
def test_rosinality_discriminator_equals_reference(tmp_path: Path) -> None:
    with np.load(LAYOUTS / "rosinality_stylegan2_discriminator_64.npz") as file:
        stored = dict(file)
    state = rosinality_discriminator(64, 1024, 64, str(stored["salt"]))
    torch.save({"d": state}, tmp_path / "d.pt")
    discriminator = build_discriminator(load_checkpoint(tmp_path / "d.pt"))
    images = _images(int(stored["n"]), 64, int(stored["seed"]))
    assert _error(discriminator(images), stored["score"]) < SCORE_TOLERANCE


@torch.no_grad()
def test_training_file_with_its_settings(tmp_path: Path) -> None:
    torch.save(_training(), tmp_path / "550000.pt")
    found = load_checkpoint(tmp_path / "550000.pt")
    assert found.generator is not None and found.discriminator is not None
    assert [note for note in found.notes if "no average w" in note]
    z = torch.randn(2, 16)
    known = build_generator(load_checkpoint(CONVERTED))
    assert torch.equal(build_generator(found)(z)["image"], known(z)["image"])
    # Means of 10,000 numbers each: the mean of others differs by their spread over 100.
    w = known.mapping(torch.randn(10_000, 16))
    computed = build_generator(found).truncation.w_avg
    assert ((computed - w.mean(dim=0)).abs() < 0.06 * w.std(dim=0)).all()
    assert torch.equal(computed, build_generator(load_checkpoint(tmp_path / "550000.pt")).truncation.w_avg)


@torch.no_grad()
def test_older_training_file_gets_noise_pictures_of_a_fixed_seed(tmp_path: Path) -> None:
    without = {name: value for name, value in _training()["g_ema"].items() if "noises." not in name}
    old = {"g": dict(without), "d": _training()["d"], "g_ema": without}
    torch.save(old, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    found = load_checkpoint(tmp_path / "old.pt")
    assert [note for note in found.notes if "drawn from seed 0" in note]
    expected = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.generator_smooth["synthesis.b4.conv1.noise_const"], expected)
    again = load_checkpoint(tmp_path / "old.pt").generator_smooth
    assert all(torch.equal(value, again[name]) for name, value in found.generator_smooth.items())


@torch.no_grad()
def test_interfacegan_with_the_other_kinds_of_kernels(tmp_path: Path) -> None:
    """The program can be told to use either kind everywhere; what is drawn is the same."""
    path = LAYOUTS / "interfacegan_stylegan1_tiny_128.pth"
    state = torch.load(path, weights_only=True)
    others = {}
    for name, value in state.items():
        layer = re.fullmatch(r"synthesis\.layer(\d+)\.(conv\.)?weight", name)
        if layer and int(layer[1]) and int(layer[1]) % 2 == 0:
            if layer[2]:
                others[f"synthesis.layer{layer[1]}.weight"] = value.flip(2, 3).permute(2, 3, 1, 0)
            else:
                others[f"synthesis.layer{layer[1]}.conv.weight"] = value.permute(3, 2, 0, 1).flip(2, 3)
        else:
            others[name] = value
    torch.save(others, tmp_path / "others.pth")
    z = torch.randn(1, 32)
    usual, turned = (build_generator(load_checkpoint(p))(z)["image"] for p in (path, tmp_path / "others.pth"))
    assert torch.equal(usual, turned)


@torch.no_grad()
def test_unfinished_growing_network_draws_what_it_has_learned(tmp_path: Path) -> None:
    path = LAYOUTS / "mmgen_stylegan1_tiny_128.pth"
    content = torch.load(path, weights_only=True)
    content["state_dict"]["_curr_scale_int"] = torch.tensor(64, dtype=torch.int32)
    content["state_dict"]["_curr_transition_weight"] = torch.tensor(0.25)
    torch.save(content, tmp_path / "unfinished.pth")
    found = load_checkpoint(tmp_path / "unfinished.pth")
    assert [note for note in found.notes if "not reached the last resolution" in note]
    z = torch.randn(2, 32)
    finished = build_generator(load_checkpoint(path))
    # 64 px, where a quarter is the new resolution's, three quarters those of 32 px enlarged.
    expected = torch.lerp(finished(z, lod=2.0)["image"], finished(z, lod=1.0)["image"], 0.25)
    assert torch.allclose(build_generator(found)(z)["image"], expected, atol=1e-5)
    assert float(build_discriminator(found).lod) == 1.75


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("mmgen_stylegan1_256", {"generator": "generator_ema.", "discriminator": "discriminator."}),
        ("mmgen_stylegan2_256", {"generator": "generator_ema.", "discriminator": "discriminator."}),
        ("rosinality_stylegan2_256_training", {"generator": "g_ema", "discriminator": "d"}),
        ("interfacegan_stylegan1_1024", {"generator": ""}),
    ],
)
def test_names_of_published_files_are_understood(name: str, places: dict[str, str]) -> None:
    keys = json.loads((LAYOUTS / f"{name}_keys.json").read_text())
    keys = keys.get("state_dict", keys)
    for kind, place in places.items():
        shapes = keys.get(place) or {
            key.removeprefix(place): shape for key, shape in keys.items() if key.startswith(place)
        }
        table = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
        assert kind_of(table) == kind
        converted = layout_of(table).convert(table)
        found = recognise_ours(kind, converted.state, converted.config)
        assert found.architecture == ("stylegan2" if "stylegan2" in name else "stylegan")
        assert found.config["resolution"] == (1024 if "1024" in name else 256)
        assert found.config["fmaps_max"] == 512


@torch.no_grad()
def test_turned_colours() -> None:
    for name in ("mmgen_stylegan1_tiny_128.pth", "mmgen_stylegan2_tiny_32.pth"):
        found = load_checkpoint(LAYOUTS / name)
        generator, discriminator = build_generator(found), build_discriminator(found)
        z = torch.randn(4, generator.z_space_dim)
        image = generator(z)["image"]
        score = discriminator(image)
        generator.load_state_dict(with_turned_colours(generator.state_dict()))
        discriminator.load_state_dict(with_turned_colours(discriminator.state_dict()))
        assert torch.equal(generator(z)["image"].flip(1), image)
        assert torch.allclose(discriminator(image.flip(1)), score, rtol=1e-4)


def _changed(name: str, change: Callable[[str, Tensor], dict[str, Tensor]]) -> Any:
    """The content of a tiny file with every entry of its networks replaced by those that `change` gives."""

    def changed(table: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in table.items():
            found |= change(key, value) if isinstance(value, Tensor) else {key: value}
        return found

    content = torch.load(LAYOUTS / name, weights_only=True)
    for place in ("state_dict", "g_ema"):
        if place in content:
            return {**content, place: changed(content[place])}
    return changed(content)


BIASES = re.compile(
    r"(generator_ema\.)?(style_mapping\.3\.bias|style\.3\.bias|mapping\.dense2\.wscale\.bias)"
)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key, bias: {}, "`{}` is missing"),
        (lambda key, bias: {key: bias[:3]}, r"`{}` is \[3\] instead of"),
        (lambda key, bias: {key: bias, f"{key}x": bias}, "biasx` does not belong there"),
    ],
)
def test_wrong_tables_are_refused_by_name(
    tmp_path: Path, name: str, change: Callable[[str, Tensor], dict[str, Tensor]], message: str
) -> None:
    ours = "mapping.dense2.bias" if "stylegan1" in name else "mapping.fc2.bias"
    content = _changed(name, lambda key, value: change(key, value) if BIASES.fullmatch(key) else {key: value})
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=f"{TINY[name]}.*{message.format(re.escape(ours))}"):
        load_checkpoint(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", TINY)
def test_half_precision_and_parallel_prefixes(tmp_path: Path, name: str) -> None:
    usual = load_checkpoint(LAYOUTS / name)
    usual = usual.generator_smooth or usual.generator
    torch.save(_changed(name, lambda key, value: {f"module.{key}": value.half()}), tmp_path / "weights.pth")
    found = load_checkpoint(tmp_path / "weights.pth")
    found = found.generator_smooth or found.generator
    assert {value.dtype for value in found.values()} == {torch.float32}
    learned = [key for key in found if not key.endswith("w_avg")]
    # Biases of styles lose what float16 cannot hold before 1 is subtracted, so an absolute limit too.
    assert all(torch.allclose(found[key], usual[key], rtol=2e-3, atol=2e-3) for key in learned)
