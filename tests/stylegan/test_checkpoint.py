"""Every kind of weights file is recognised or refused with a reason."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylegan.checkpoint import (
    CheckpointError,
    build_discriminator,
    build_generator,
    load_checkpoint,
    save_checkpoint,
    weights_id,
)
from stylegan.recognition import recognise_ours
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from tests.stylegan import tiny

State = dict[str, torch.Tensor]
Z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def _save(folder: Path, content: object) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def _networks() -> dict[str, State]:
    smooth = tiny.generator().state_dict()
    smooth["truncation.w_avg"] = torch.ones(8)
    return {
        "generator": tiny.generator().state_dict(),
        "discriminator": tiny.discriminator().state_dict(),
        "generator_smooth": smooth,
    }


def _below(name: str, state: State) -> State:
    return {f"{name}.{key}": value for key, value in state.items()}


def _assert_same(found: State | None, expected: State) -> None:
    assert found is not None and found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda n: n,
        lambda n: {"models": n, "iter": 7},
        lambda n: {name: _below("module", state) for name, state in n.items()},
        lambda n: n | {"iter": 7, "running_metadata": {"seen": [1, 2]}},
    ],
    ids=["plain", "models", "module", "runner"],
)
def test_genforce_files(tmp_path: Path, wrap: Callable[[dict[str, State]], object]) -> None:
    found = load_checkpoint(_save(tmp_path, wrap(_networks())))
    assert (found.architecture, found.conditioned) == ("stylegan", False)
    assert "16x16" in found.description and "averaged generator" in found.description
    assert found.config.items() >= tiny.GENERATOR.items()
    assert build_generator(found).truncation.w_avg[0] == 1
    generator = build_generator(found, smooth=False)
    assert not generator.training
    with torch.no_grad():
        assert torch.equal(generator(Z)["image"], tiny.generator()(Z)["image"])
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(build_discriminator(found)(images), tiny.discriminator()(images))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda g, d: {"epoch": 3, "g_ema": g, "d": d},
        lambda g, d: {"state_dict": {"G_ema": g, "D": d}, "args": {"lr": 1e-3}},
        lambda g, d: {"state_dict": {**_below("g_ema", g), **_below("d", d)}},
        lambda g, d: {"models": [{"generator_ema": _below("module", g)}, d]},
        lambda g, d: {"model": {**_below("module.ema", g), **_below("module.netD", d)}, "step": 1},
    ],
)
def test_nested_tables_are_looked_into(tmp_path: Path, wrap: Callable[[State, State], Any]) -> None:
    """Under whatever names; optimizer states beside them are no networks."""
    generator, discriminator = tiny.generator().state_dict(), tiny.discriminator().state_dict()
    content = wrap(generator, discriminator) | {"optim": {"state": {0: {"exp_avg": torch.ones(3)}}}}
    found = load_checkpoint(_save(tmp_path, content))
    assert found.generator is None
    _assert_same(found.generator_smooth, generator)
    _assert_same(found.discriminator, discriminator)


def test_bare_tables_of_one_network(tmp_path: Path) -> None:
    found = load_checkpoint(_save(tmp_path, tiny.generator().state_dict()))
    _assert_same(found.generator, tiny.generator().state_dict())
    with pytest.raises(CheckpointError, match="No discriminator was found"):
        build_discriminator(found)
    found = load_checkpoint(_save(tmp_path, tiny.discriminator().state_dict()))
    assert build_discriminator(found).resolution == 16
    with pytest.raises(CheckpointError, match="No generator was found"):
        build_generator(found)


def test_published_size_is_inferred() -> None:
    with torch.device("meta"):
        generator, discriminator = StyleGANGenerator(256), StyleGANDiscriminator(256)
    found = recognise_ours("generator", generator.state_dict()).config
    assert found == {name: value for name, value in generator.config.items() if name != "mapping_lr_mul"}
    found = recognise_ours("discriminator", discriminator.state_dict()).config
    assert found.items() <= discriminator.config.items()


@pytest.mark.parametrize("label_size", [16, 24])
def test_reference_generator_with_label_matrix(tmp_path: Path, label_size: int) -> None:
    state = tiny.generator().state_dict()
    state["mapping.label_weight"] = torch.randn(7, label_size)
    state["mapping.dense0.weight"] = torch.randn(8, 8 + label_size)
    found = load_checkpoint(_save(tmp_path, {"generator": state}))
    assert found.conditioned and found.config["z_space_dim"] == 8
    assert (found.extra["property_count"], found.extra["label_size"]) == (7, label_size)
    with pytest.raises(CheckpointError, match="takes properties"):
        build_generator(found)


def test_reference_discriminator_with_properties(tmp_path: Path) -> None:
    found = load_checkpoint(
        _save(tmp_path, tiny.discriminator().state_dict() | {"layer6.weight": torch.randn(1, 15)})
    )
    assert found.conditioned
    assert (found.extra["property_count"], found.extra["conditioning"]) == (7, "additive")
    with pytest.raises(CheckpointError, match="takes properties"):
        build_discriminator(found)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_our_own_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    config = {**tiny.GENERATOR, "mapping_lr_mul": 0.1}
    save_checkpoint(path, **_networks(), metadata={"config": config, "note": "kept"})
    found = load_checkpoint(path)
    assert found.config["mapping_lr_mul"] == 0.1
    assert found.extra["metadata"]["note"] == "kept"
    for name, state in _networks().items():
        _assert_same(getattr(found, name), state)
    with pytest.raises((TypeError, AttributeError)):  # a failed write leaves the earlier file, and no other
        save_checkpoint(path, **_networks(), metadata={"not": lambda: None})
    _assert_same(load_checkpoint(path).generator, _networks()["generator"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_weights_id_names_the_contents(tmp_path: Path) -> None:
    first, second, other = tmp_path / "a.safetensors", tmp_path / "b.pth", tmp_path / "c.pth"
    save_checkpoint(first, **_networks(), metadata={"config": tiny.GENERATOR})
    save_checkpoint(second, **_networks())
    changed = _networks()
    changed["generator_smooth"]["synthesis.output0.bias"] += 1
    save_checkpoint(other, **changed)
    assert len(weights_id(first)) == 16
    assert weights_id(first) == weights_id(second) != weights_id(other)


def test_the_configuration_beside_the_weights_counts(tmp_path: Path) -> None:
    """As files of fine-tuned generators have it; shapes do not tell the learning-rate multiplier."""
    generator = tiny.generator(mapping_lr_mul=0.1)
    path = _save(tmp_path, {"generator": generator.state_dict(), "config": generator.config})
    assert load_checkpoint(path).config["mapping_lr_mul"] == 0.1


def _without_mapping() -> State:
    return {k: v for k, v in tiny.generator(resolution=32).state_dict().items() if "mapping" not in k}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"synthesis.input.weight": torch.zeros(2)}, r"StyleGAN3.*Take StyleGAN2-ADA's ffhq\.pkl"),
        ({"synthesis.early_layer.const": torch.zeros(2)}, r"StyleGAN2 generator \(GenForce\).*Take"),
        ({"output0.weight": torch.zeros(2)}, "ProGAN.*no W space.*Take"),
        ({"noise2feat.linear.weight_orig": torch.zeros(2)}, "ProGAN.*no W space.*Take"),
        ({"shared.weight": torch.zeros(2)}, "BigGAN.*no W space.*Take"),
        ({"backbone.0.0.0.weight": torch.zeros(2)}, "FaceXFormer"),
        ({"conv1.weight": torch.zeros(2)}, "no StyleGAN network"),
        (
            {
                "d": {f"x{n}": torch.zeros(1) for n in range(9)},
                "g_ema": {"synthesis.early_layer.const": torch.zeros(2)},
            },
            "StyleGAN2 generator",
        ),
        (_without_mapping(), "nearest known network is a StyleGAN v1 generator at 32x32"),
        ({"stages": [tiny.generator().state_dict() for _ in range(2)]}, r"`stages\.0` and `stages\.1`"),
        ([1, 2], "holds a list"),
        ({"generator": {"mapping": 3}}, r"no table of weights, only `generator` \(dict\)"),
    ],
)
def test_other_contents_are_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(_save(tmp_path, content))


def test_different_entries_are_named(tmp_path: Path) -> None:
    state = tiny.generator().state_dict() | {"surplus": torch.zeros(1)}
    state["synthesis.layer3.weight"] = torch.zeros(8, 7, 3, 3)
    del state["synthesis.layer2.style.bias"]
    with pytest.raises(CheckpointError, match="a StyleGAN v1 generator at 16x16") as caught:
        load_checkpoint(_save(tmp_path, state))
    message = str(caught.value)
    assert "`synthesis.layer3.weight` is [8, 7, 3, 3] instead of [8, 8, 3, 3]" in message
    assert "`synthesis.layer2.style.bias` is missing" in message
    assert "`surplus` does not belong there" in message


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("plain_pickle", [False, True])
def test_malicious_file_is_refused_and_not_run(tmp_path: Path, plain_pickle: bool) -> None:
    trap = tmp_path / "trap"
    content = {"generator": _Malicious(trap)}
    path = _save(tmp_path, content)
    if plain_pickle:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="could run foreign code"):
        load_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_and_missing_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(CheckpointError, match="There is no weights file"):
        load_checkpoint(path)
    save_checkpoint(path, **_networks())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:10], b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="Get the file again"):
            load_checkpoint(path)
