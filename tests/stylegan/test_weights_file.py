"""What torch's safe reader takes is read; what it refuses is named, with what to do about it."""

import pickle
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylegan.weights_file import WeightsFileError, read_torch, read_weights


def published_training_state() -> dict[str, object]:
    """What the official FaceXFormer file holds, in small: weights, and a scheduler with a Counter."""
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[6, 10], gamma=0.1)
    return {
        "epoch": 11,
        "state_dict_backbone": {f"module.{name}": value for name, value in network.state_dict().items()},
        "state_optimizer": optimizer.state_dict(),
        "state_lr_scheduler": scheduler.state_dict(),
        "args": Namespace(lr=1e-4),
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_reads_is_read(tmp_path: Path, legacy: bool) -> None:
    state = published_training_state()
    torch.save(state, tmp_path / "model.pt", _use_new_zipfile_serialization=not legacy)
    found = read_torch(tmp_path / "model.pt")
    assert found["state_lr_scheduler"]["milestones"] == {6: 1, 10: 1}
    assert found["args"].lr == 1e-4
    for name, value in state["state_dict_backbone"].items():
        assert torch.equal(found["state_dict_backbone"][name], value)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_contents_decide_and_not_the_name(tmp_path: Path, name: str) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / name, metadata={"note": "kept"})
    found, entries = read_weights(tmp_path / name)
    assert torch.equal(found["a"], torch.ones(2)) and entries == {"note": "kept"}
    torch.save({"a": torch.zeros(2)}, tmp_path / name)
    assert torch.equal(read_weights(tmp_path / name)[0]["a"], torch.zeros(2))


def foreign_object(monkeypatch: pytest.MonkeyPatch, module: str) -> object:
    """An object that a pickle rebuilds by a function of a module which is not installed here."""

    def rebuild() -> None:
        pytest.fail("code from a weights file ran")

    class Network:
        def __reduce__(self) -> tuple:
            return rebuild, ()

    rebuild.__module__, rebuild.__qualname__ = module, "rebuild"
    parent, _, child = module.rpartition(".")
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    setattr(sys.modules[parent], child, sys.modules[module])
    sys.modules[module].rebuild = rebuild
    return Network()


Write = Callable[[Path, pytest.MonkeyPatch], object]
REFUSED: dict[str, tuple[Write, str, str]] = {
    "NVIDIA's TensorFlow pickle": (
        lambda path, patch: path.write_bytes(
            pickle.dumps([foreign_object(patch, "dnnlib.tflib")], protocol=2)
        ),
        "TensorFlow networks",
        "NVIDIA's ffhq.pkl",
    ),
    "whole network": (
        lambda path, patch: torch.save(torch.nn.Linear(2, 2), path),
        "a whole network",
        "torch.save(network.state_dict()",
    ),
    **{
        f"arrays {place}": (write, "numpy arrays", "torch.from_numpy(array)")
        for place, write in {
            "in a torch file": lambda path, patch: torch.save({"a": np.zeros(2)}, path),
            "in a pickle": lambda path, patch: path.write_bytes(pickle.dumps({"a": np.zeros(2)})),
            "alone": lambda path, patch: np.save(path.open("wb"), np.zeros(2)),
            "in an archive": lambda path, patch: np.savez(path.open("wb"), a=np.zeros(2)),
        }.items()
    },
    "web page": (
        lambda path, patch: path.write_bytes(b"\n<!DOCTYPE html><html>sign in</html>"),
        "a web page",
        "again from its source",
    ),
    "pointer": (
        lambda path, patch: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "a pointer of Git LFS",
        "git lfs pull",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_say_what_it_is_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write, what, mend = REFUSED[kind]
    path = tmp_path / "weights.pkl"
    write(path, monkeypatch)
    with pytest.raises(WeightsFileError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and what in message and mend in message
    assert ("again from its source" in message) == (kind == "web page")
