"""Every kind of weights file is recognised or refused with a reason."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stylegan.checkpoint import (
    CheckpointError,
    build_discriminator,
    build_generator,
    load_checkpoint,
    save_checkpoint,
    weights_id,
)
from tests.stylegan import tiny

Z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def _save(folder: Path, content: object, name: str = "weights.pth") -> Path:
    path = folder / name
    torch.save(content, path)
    return path


def _networks() -> dict[str, dict[str, torch.Tensor]]:
    smooth = tiny.generator().state_dict()
    smooth["truncation.w_avg"] = torch.ones(8)
    return {
        "generator": tiny.generator().state_dict(),
        "discriminator": tiny.discriminator().state_dict(),
        "generator_smooth": smooth,
    }


@pytest.mark.parametrize("wrap", ["plain", "models", "module", "runner"])
def test_genforce_shapes(tmp_path: Path, wrap: str) -> None:
    content = _networks()
    if wrap == "models":
        content = {"models": content, "iter": 7}
    elif wrap == "module":
        content = {n: {f"module.{k}": v for k, v in s.items()} for n, s in content.items()}
    elif wrap == "runner":
        content |= {"iter": 7, "running_metadata": {"seen": [1, 2]}}
    found = load_checkpoint(_save(tmp_path, content))
    assert (found.architecture, found.conditioned) == ("stylegan", False)
    assert "16x16" in found.description
    assert "averaged generator" in found.description
    assert found.config.items() >= tiny.GENERATOR.items()
    assert build_generator(found).truncation.w_avg[0] == 1
    generator = build_generator(found, smooth=False)
    assert not generator.training
    with torch.no_grad():
        assert torch.equal(generator(Z)["image"], tiny.generator()(Z)["image"])
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(build_discriminator(found)(images), tiny.discriminator()(images))


def test_bare_tables_of_one_network(tmp_path: Path) -> None:
    found = load_checkpoint(_save(tmp_path, tiny.generator().state_dict()))
    assert found.generator is not None
    assert found.discriminator is None
    with pytest.raises(CheckpointError, match="No discriminator was found"):
        build_discriminator(found)
    found = load_checkpoint(_save(tmp_path, tiny.discriminator().state_dict()))
    assert build_discriminator(found).resolution == 16
    with pytest.raises(CheckpointError, match="No generator was found"):
        build_generator(found)


def test_published_size_is_inferred(tmp_path: Path) -> None:
    from stylegan.recognition import recognise_discriminator, recognise_generator
    from stylegan.stylegan_discriminator import StyleGANDiscriminator
    from stylegan.stylegan_generator import StyleGANGenerator

    with torch.device("meta"):
        generator, discriminator = StyleGANGenerator(256), StyleGANDiscriminator(256)
    assert recognise_generator(generator.state_dict()).config == {
        name: value for name, value in generator.config.items() if name != "mapping_lr_mul"
    }
    found = recognise_discriminator(discriminator.state_dict()).config
    assert found.items() <= discriminator.config.items()


@pytest.mark.parametrize("label_size", [16, 24])
def test_reference_generator_with_label_matrix(tmp_path: Path, label_size: int) -> None:
    state = tiny.generator().state_dict()
    state["mapping.label_weight"] = torch.randn(7, label_size)
    state["mapping.dense0.weight"] = torch.randn(8, 8 + label_size)
    found = load_checkpoint(_save(tmp_path, {"generator": state}))
    assert found.conditioned
    assert found.extra["property_count"] == 7
    assert found.extra["label_size"] == label_size
    assert found.config["z_space_dim"] == 8
    with pytest.raises(CheckpointError, match="takes properties"):
        build_generator(found)


def test_reference_discriminator_with_properties(tmp_path: Path) -> None:
    state = tiny.discriminator().state_dict()
    state["layer6.weight"] = torch.randn(1, 15)
    found = load_checkpoint(_save(tmp_path, state))
    assert found.conditioned
    assert found.extra["conditioning"] == "additive"
    assert found.extra["property_count"] == 7
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
        assert all(torch.equal(getattr(found, name)[key], value) for key, value in state.items())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_weights_id_names_the_contents(tmp_path: Path) -> None:
    first, second, other = tmp_path / "a.safetensors", tmp_path / "b.pth", tmp_path / "c.pth"
    save_checkpoint(first, **_networks(), metadata={"config": tiny.GENERATOR})
    save_checkpoint(second, **_networks())
    changed = _networks()
    changed["generator_smooth"]["synthesis.output0.bias"] += 1
    save_checkpoint(other, **changed)
    assert len(weights_id(first)) == 16
    assert weights_id(first) == weights_id(second)
    assert weights_id(first) != weights_id(other)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, generator={k: v.half() for k, v in tiny.generator().state_dict().items()})
    assert {v.dtype for v in load_checkpoint(path).generator.values()} == {torch.float32}


def test_one_different_entry_is_named(tmp_path: Path) -> None:
    state = tiny.generator().state_dict()
    state["synthesis.layer3.weight"] = torch.zeros(8, 7, 3, 3)
    del state["synthesis.layer2.style.bias"]
    state["surplus"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(_save(tmp_path, state))
    message = str(caught.value)
    assert "a StyleGAN v1 generator at 16x16" in message
    assert "`synthesis.layer3.weight` is [8, 7, 3, 3] instead of [8, 8, 3, 3]" in message
    assert "`synthesis.layer2.style.bias` is missing" in message
    assert "`surplus` does not belong there" in message


def test_half_a_generator_is_refused_with_the_nearest_network(tmp_path: Path) -> None:
    state = {k: v for k, v in tiny.generator(resolution=32).state_dict().items() if "mapping" not in k}
    with pytest.raises(CheckpointError, match="nearest known network is a StyleGAN v1 generator at 32x32"):
        load_checkpoint(_save(tmp_path, state))


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("synthesis.input.weight", r"StyleGAN3.*Take StyleGAN2-ADA's ffhq\.pkl"),
        ("synthesis.early_layer.const", r"StyleGAN2 generator \(GenForce\).*Take"),
        ("output0.weight", "ProGAN.*no W space.*Take"),
        ("noise2feat.linear.weight_orig", "ProGAN.*no W space.*Take"),
        ("shared.weight", "BigGAN.*no W space.*Take"),
        ("backbone.0.0.0.weight", "FaceXFormer"),
        ("conv1.weight", "no StyleGAN network"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path: Path, entry: str, name: str) -> None:
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(_save(tmp_path, {entry: torch.zeros(2)}))


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("plain_pickle", [False, True])
def test_malicious_file_is_refused_and_not_run(tmp_path: Path, plain_pickle: bool) -> None:
    path, trap = tmp_path / "weights.pth", tmp_path / "trap"
    content = {"generator": _Malicious(trap)}
    if plain_pickle:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="could run foreign code"):
        load_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    save_checkpoint(path, **_networks())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:10], b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="Get the file again"):
            load_checkpoint(path)


def test_missing_file_and_other_contents(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no weights file"):
        load_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_checkpoint(_save(tmp_path, [1, 2]))
    with pytest.raises(CheckpointError, match=r"no table of weights, only `generator` \(dict\)"):
        load_checkpoint(_save(tmp_path, {"generator": {"mapping": 3}}))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda g, d: {"epoch": 3, "g_ema": g, "d": d},
        lambda g, d: {"state_dict": {"G_ema": g, "D": d}, "args": {"lr": 1e-3}},
        lambda g, d: {"state_dict": {**{f"g_ema.{k}": v for k, v in g.items()}, **_below("d", d)}},
        lambda g, d: {"models": [{"generator_ema": {f"module.{k}": v for k, v in g.items()}}, d]},
        lambda g, d: {"model": {**_below("module.ema", g), **_below("module.netD", d)}, "step": 1},
    ],
)
def test_nested_tables_are_looked_into(tmp_path: Path, wrap: Callable[[dict, dict], object]) -> None:
    """Under whatever names; optimizer states beside them are no networks."""
    generator, discriminator = tiny.generator().state_dict(), tiny.discriminator().state_dict()
    content = wrap(generator, discriminator) | {"optim": {"state": {0: {"exp_avg": torch.ones(3)}}}}
    found = load_checkpoint(_save(tmp_path, content))
    assert found.generator is None
    for mine, theirs in ((generator, found.generator_smooth), (discriminator, found.discriminator)):
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def _below(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": value for key, value in state.items()}


def test_two_generators_are_not_chosen_between(tmp_path: Path) -> None:
    one, other = tiny.generator().state_dict(), tiny.generator().state_dict()
    with pytest.raises(CheckpointError, match=r"`stages\.0` and `stages\.1`"):
        load_checkpoint(_save(tmp_path, {"stages": [one, other]}))


def test_a_network_of_another_kind_is_named_wherever_it_is(tmp_path: Path) -> None:
    foreign = {"synthesis.early_layer.const": torch.zeros(2)}
    with pytest.raises(CheckpointError, match="StyleGAN2 generator"):
        load_checkpoint(_save(tmp_path, {"d": {f"x{n}": torch.zeros(1) for n in range(9)}, "g_ema": foreign}))


def test_the_configuration_beside_the_weights_counts(tmp_path: Path) -> None:
    """As files of fine-tuned generators have it; shapes do not tell the learning-rate multiplier."""
    generator = tiny.generator(mapping_lr_mul=0.1)
    found = load_checkpoint(
        _save(tmp_path, {"generator": generator.state_dict(), "config": generator.config})
    )
    assert found.config["mapping_lr_mul"] == 0.1


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights"])
def test_safetensors_under_another_name(tmp_path: Path, name: str) -> None:
    save_checkpoint(tmp_path / "a.safetensors", **_networks(), metadata={"note": "kept"})
    (tmp_path / "a.safetensors").rename(tmp_path / name)
    assert load_checkpoint(tmp_path / name).extra["metadata"] == {"note": "kept"}


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, generator=tiny.generator().state_dict())
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(path, **_networks(), metadata={"not": object()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_safetensors_of_a_bare_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(tiny.discriminator().state_dict(), path)
    assert load_checkpoint(path).discriminator.keys() == load_file(path).keys()
