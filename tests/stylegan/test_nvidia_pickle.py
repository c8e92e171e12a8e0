"""NVIDIA's pickles give their networks and run nothing; whatever else may be taken for one is refused."""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylegan.checkpoint import CheckpointError, build_discriminator, build_generator, load_checkpoint
from tests.stylegan import nvidia_files, tiny

GOLDEN = Path(__file__).parents[1] / "golden"
SNAPSHOT = GOLDEN / "stylegan2_snapshot_32.pkl"
Z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def _networks() -> dict[str, Any]:
    generator = tiny.stylegan2_generator(conv_clamp=0.5)
    return {"G": generator, "D": tiny.stylegan2_discriminator(conv_clamp=0.5), "G_ema": generator}


def _write(path: Path, *arguments: Any, **options: Any) -> Path:
    path.write_bytes(nvidia_files.pickled(*arguments, **options))
    return path


@torch.no_grad()
def test_published_format_equals_reference() -> None:
    with np.load(SNAPSHOT.with_suffix(".npz")) as file:
        stored = dict(file)
    checkpoint = load_checkpoint(SNAPSHOT)
    assert checkpoint.architecture == "stylegan2"
    assert "averaged generator" in checkpoint.description
    assert checkpoint.discriminator_config["minibatch_std_group_size"] == 4
    generator, discriminator = build_generator(checkpoint), build_discriminator(checkpoint)
    rng = torch.Generator().manual_seed(int(stored["seed"]))
    image = generator(torch.randn(int(stored["n"]), 32, generator=rng))["image"]
    assert np.abs(image.numpy() - stored["image"]).max() < 1e-3 * stored["image"].std()
    score = discriminator(torch.from_numpy(stored["image"]))
    assert np.abs(score.numpy() - stored["score"]).max() < 1e-3 * stored["score"].std()


@torch.no_grad()
def test_clamp_is_taken_over(tmp_path: Path) -> None:
    networks = _networks()
    found = load_checkpoint(_write(tmp_path / "a.pkl", networks))
    assert found.config["conv_clamp"] == found.discriminator_config["conv_clamp"] == 0.5
    assert torch.equal(build_generator(found)(Z)["image"], networks["G_ema"](Z)["image"])
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(build_discriminator(found)(images), networks["D"](images))


def test_program_text_is_neither_run_nor_imported(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    before = set(sys.modules)
    path = _write(tmp_path / "a.pkl", _networks(), module_src=f"open({str(marker)!r}, 'w')")
    build_generator(load_checkpoint(path))
    assert not marker.exists()
    assert not {name for name in set(sys.modules) - before if "persistence" in name or "torch_utils" in name}


@pytest.mark.parametrize("place", ["attribute", "storage", "top", "another function of torch"])
def test_calls_of_foreign_code_are_refused(tmp_path: Path, place: str) -> None:
    marker = tmp_path / "marker"
    call = nvidia_files.Call(os.mkdir, str(marker))

    def change(name: str, attributes: dict[str, Any]) -> None:
        if name == "G_ema.mapping" and place == "attribute":
            attributes["w_avg_beta"] = call
        if name == "G_ema.mapping" and place == "storage":
            inside = nvidia_files.torch_file_that_calls(os.mkdir, str(marker))
            attributes["w_avg_beta"] = nvidia_files.Call(torch.storage._load_from_bytes, inside)
        if name == "G_ema.mapping" and place == "another function of torch":
            attributes["w_avg_beta"] = nvidia_files.Call(torch.load, str(marker))

    path = tmp_path / "a.pkl"
    if place == "top":
        path.write_bytes(pickle.dumps({"G_ema": call}, protocol=4))
    else:
        _write(path, {"G_ema": _networks()["G_ema"]}, change=change)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert not marker.exists()
    assert "could run foreign code" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_tensor_and_foreign_shape_are_named(tmp_path: Path) -> None:
    def change(name: str, attributes: dict[str, Any]) -> None:
        if name == "G_ema.synthesis.b8.conv0":
            del attributes["_parameters"]["bias"]
            attributes["_parameters"]["weight"] = torch.zeros(8, 7, 3, 3)

    path = _write(tmp_path / "a.pkl", {"G_ema": _networks()["G_ema"]}, change=change)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert "StyleGAN2 generator at 16x16" in str(caught.value)
    assert "`synthesis.b8.conv0.bias` is missing" in str(caught.value)
    assert "`synthesis.b8.conv0.weight` is [8, 7, 3, 3] instead of [8, 8, 3, 3]" in str(caught.value)


def test_tensors_larger_than_their_numbers_are_refused(tmp_path: Path) -> None:
    def change(name: str, attributes: dict[str, Any]) -> None:
        if name == "G_ema.mapping":
            storage = torch.storage.TypedStorage(
                wrap_storage=torch.zeros(2).untyped_storage(), dtype=torch.float32, _internal=True
            )
            few = nvidia_files.Call(
                torch._utils._rebuild_tensor_v2, storage, 0, (1 << 40,), (0,), False, None
            )
            attributes["_buffers"]["w_avg"] = few

    path = _write(tmp_path / "a.pkl", {"G_ema": _networks()["G_ema"]}, change=change)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def _of_another_kind(name: str, attributes: dict[str, Any]) -> None:
    if name == "G_ema":
        attributes["c_dim"] = 10


def _activated_otherwise(name: str, attributes: dict[str, Any]) -> None:
    if name.endswith("fc0"):
        attributes["activation"] = "swish"


def _clamped_differently(name: str, attributes: dict[str, Any]) -> None:
    if name.endswith("b8.conv0"):
        attributes["conv_clamp"] = 7


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"class_names": {"G_ema.synthesis.b4": "SynthesisInput"}}, "StyleGAN3"),
        ({"change": _of_another_kind}, "class labels"),
        ({"change": _activated_otherwise}, "swish"),
        ({"change": _clamped_differently}, "clamped differently"),
    ],
)
def test_other_networks_are_refused_with_what_to_take(
    tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    path = _write(tmp_path / "a.pkl", {"G_ema": _networks()["G_ema"]}, **options)
    with pytest.raises(CheckpointError, match=what) as caught:
        load_checkpoint(path)
    assert "ffhq.pkl" in str(caught.value)


def test_stylegan3_is_named_even_where_its_pickle_is_refused(tmp_path: Path) -> None:
    def change(name: str, attributes: dict[str, Any]) -> None:
        if name == "G_ema":
            attributes["freqs"] = np.zeros(3)  # an array, which no pickle of StyleGAN2 has

    classes = {"G_ema.synthesis.b4": "SynthesisInput"}
    path = _write(tmp_path / "a.pkl", {"G_ema": _networks()["G_ema"]}, change=change, class_names=classes)
    with pytest.raises(CheckpointError, match=r"StyleGAN3.*ffhq\.pkl"):
        load_checkpoint(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    page = tmp_path / "page.pkl"
    page.write_bytes(b"<!DOCTYPE html><html>Too many requests</html>")
    with pytest.raises(CheckpointError, match="a web page"):
        load_checkpoint(page)
    half = tmp_path / "half.pkl"
    whole = SNAPSHOT.read_bytes()
    for size in (2, 20, len(whole) // 2, len(whole) - 1):
        half.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="damaged, cut off"):
            load_checkpoint(half)
    other = tmp_path / "other.pkl"
    other.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CheckpointError, match="without networks of NVIDIA's program"):
        load_checkpoint(other)


def test_generator_alone_and_half_precision(tmp_path: Path) -> None:
    generator = tiny.stylegan2_generator()
    found = load_checkpoint(_write(tmp_path / "a.pkl", {"G_ema": generator.half(), "D": None}))
    assert {value.dtype for value in found.generator_smooth.values()} == {torch.float32}
    with pytest.raises(CheckpointError, match="No discriminator was found"):
        build_discriminator(found)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    generator = tiny.stylegan2_generator()
    generator.mapping.w_avg.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(_write(tmp_path / "a.pkl", {"G_ema": generator}))
