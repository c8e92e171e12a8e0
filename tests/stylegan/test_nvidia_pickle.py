"""NVIDIA's pickles give their networks and run nothing; whatever else may be taken for one is refused."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylegan.checkpoint import CheckpointError, build_discriminator, build_generator, load_checkpoint
from tests.stylegan import nvidia_files, tiny

SNAPSHOT = Path(__file__).parents[1] / "golden" / "stylegan2_snapshot_32.pkl"
Z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
Change = Callable[[dict[str, Any]], None]


def _write(path: Path, place: str = "", change: Change = lambda attributes: None, **options: Any) -> Path:
    """A file of a generator; `change` gets the attributes of modules whose names end with `place`."""

    def changed(name: str, attributes: dict[str, Any]) -> None:
        if name.endswith(place):
            change(attributes)

    networks = {"G_ema": tiny.stylegan2_generator()}
    path.write_bytes(nvidia_files.pickled(networks, change=changed, **options))
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
def test_clamp_is_taken_over_and_the_program_text_is_neither_run_nor_imported(tmp_path: Path) -> None:
    marker, path, before = tmp_path / "marker", tmp_path / "a.pkl", set(sys.modules)
    generator = tiny.stylegan2_generator(conv_clamp=0.5)
    networks = {"G": generator, "D": tiny.stylegan2_discriminator(conv_clamp=0.5), "G_ema": generator}
    path.write_bytes(nvidia_files.pickled(networks, module_src=f"open({str(marker)!r}, 'w')"))
    found = load_checkpoint(path)
    assert found.config["conv_clamp"] == found.discriminator_config["conv_clamp"] == 0.5
    assert torch.equal(build_generator(found)(Z)["image"], generator(Z)["image"])
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(build_discriminator(found)(images), networks["D"](images))
    assert not marker.exists()
    assert not {name for name in set(sys.modules) - before if "persistence" in name or "torch_utils" in name}


def test_generator_alone_and_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(nvidia_files.pickled({"G_ema": tiny.stylegan2_generator().half(), "D": None}))
    found = load_checkpoint(path)
    assert {value.dtype for value in found.generator_smooth.values()} == {torch.float32}
    with pytest.raises(CheckpointError, match="No discriminator was found"):
        build_discriminator(found)


FOREIGN_CALLS: dict[str, Callable[[Path], nvidia_files.Call]] = {
    "attribute": lambda marker: nvidia_files.Call(os.mkdir, str(marker)),
    "storage": lambda marker: nvidia_files.Call(
        torch.storage._load_from_bytes, nvidia_files.torch_file_that_calls(os.mkdir, str(marker))
    ),
    "another function of torch": lambda marker: nvidia_files.Call(torch.load, str(marker)),
}


@pytest.mark.parametrize("place", [*FOREIGN_CALLS, "top"])
def test_calls_of_foreign_code_are_refused(tmp_path: Path, place: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / "a.pkl"
    call = FOREIGN_CALLS.get(place, FOREIGN_CALLS["attribute"])(marker)
    if place == "top":
        path.write_bytes(pickle.dumps({"G_ema": call}, protocol=4))
    else:
        _write(path, "G_ema.mapping", lambda attributes: attributes.update(w_avg_beta=call))
    with pytest.raises(CheckpointError, match="could run foreign code") as caught:
        load_checkpoint(path)
    assert not marker.exists() and "\n" not in str(caught.value)


def _huge(attributes: dict[str, Any]) -> None:
    """A tensor larger than its numbers."""
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(2).untyped_storage(), dtype=torch.float32, _internal=True
    )
    rebuilt = (storage, 0, (1 << 40,), (0,), False, None)
    attributes["_buffers"]["w_avg"] = nvidia_files.Call(torch._utils._rebuild_tensor_v2, *rebuilt)


def _incomplete(attributes: dict[str, Any]) -> None:
    del attributes["_parameters"]["bias"]
    attributes["_parameters"]["weight"] = torch.zeros(8, 7, 3, 3)


def _without_weight(attributes: dict[str, Any]) -> None:
    del attributes["_parameters"]["weight"]


def _infinite(attributes: dict[str, Any]) -> None:
    attributes["_buffers"]["w_avg"] = torch.full((8,), float("nan"))


STYLEGAN3 = {"class_names": {"G_ema.synthesis.b4": "SynthesisInput"}}
INSTEAD = r".*ffhq\.pkl"


@pytest.mark.parametrize(
    ("place", "change", "options", "message"),
    [
        (
            "b8.conv0",
            _incomplete,
            {},
            r"StyleGAN2 generator at 16x16.*`synthesis\.b8\.conv0\.weight` is \[8, 7, 3, 3\] instead of "
            r"\[8, 8, 3, 3\].*`synthesis\.b8\.conv0\.bias` is missing",
        ),
        ("b16.conv1", _without_weight, {}, r"at 16x16, but `synthesis\.b16\.conv1\.weight` is missing\."),
        ("G_ema.mapping", _huge, {}, "damaged"),
        ("G_ema.mapping", _infinite, {}, "not finite"),
        ("", lambda attributes: None, STYLEGAN3, f"StyleGAN3{INSTEAD}"),
        # An array, which no pickle of StyleGAN2 has: StyleGAN3 is named even where its pickle is refused.
        ("G_ema", lambda a: a.update(freqs=np.zeros(3)), STYLEGAN3, f"StyleGAN3{INSTEAD}"),
        ("G_ema", lambda a: a.update(c_dim=10), {}, f"class labels{INSTEAD}"),
        ("fc0", lambda a: a.update(activation="swish"), {}, f"swish{INSTEAD}"),
        ("b8.conv0", lambda a: a.update(conv_clamp=7), {}, f"clamped differently{INSTEAD}"),
    ],
)
def test_other_networks_are_refused_by_name(
    tmp_path: Path, place: str, change: Change, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(_write(tmp_path / "a.pkl", place, change, **options))


def test_files_that_are_none(tmp_path: Path) -> None:
    whole = SNAPSHOT.read_bytes()
    contents = [
        (b"<!DOCTYPE html><html>Too many requests</html>", "a web page"),
        (b"\xef\xbb\xbf\n<html>", "a web page"),
        (pickle.dumps([1, 2]), "without networks of NVIDIA's program"),
        *((whole[:size], "damaged, cut off") for size in (2, 20, len(whole) // 2, len(whole) - 1)),
    ]
    for content, message in contents:
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(tmp_path / "a.pkl")
