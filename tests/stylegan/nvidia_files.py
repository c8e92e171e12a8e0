"""Pickles as NVIDIA's StyleGAN2-ADA program writes them, of our networks, and what one may slip into them."""

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from stylegan.stylegan2_layers import ConvLayer, SynthesisLayer, ToRGB


class Call:
    """Pickled as the call of a function, which need not exist here."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.parts


@contextmanager
def foreign_function(module: str, name: str) -> Iterator[Callable[..., Any]]:
    """A function of another program, which exists as long as something is pickled with it."""

    def function(*_: Any) -> None:
        raise AssertionError("code of the file was run")

    function.__module__, function.__qualname__ = module, name
    parts = module.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: ModuleType(name) for name in names})
    setattr(sys.modules[module], name, function)
    try:
        yield function
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old


def pickled(
    networks: dict[str, nn.Module | None],
    module_src: str = "",
    change: Callable[[str, dict[str, Any]], None] = lambda name, attributes: None,
    class_names: dict[str, str] | None = None,
) -> bytes:
    """A snapshot of networks.

    Args:
        module_src: the program text that every module carries.
        change: called with the name of every module ("G_ema.synthesis.b4") and its attributes.
        class_names: by name of a module; otherwise that of our class.
    """

    def persistent(module: nn.Module, name: str) -> Call:
        attributes: dict[str, Any] = {
            "training": False,
            "_parameters": OrderedDict(module._parameters),
            "_buffers": OrderedDict(module._buffers),
            "_non_persistent_buffers_set": set(),
            "_modules": OrderedDict(
                (child, persistent(value, f"{name}.{child}"))
                for child, value in module._modules.items()
                if value is not None
            ),
            "_init_kwargs": {"c_dim": 0},
        }
        if isinstance(module, (SynthesisLayer, ToRGB, ConvLayer)):
            attributes["conv_clamp"] = networks[name.partition(".")[0]].config["conv_clamp"]
        if hasattr(module, "group_size"):
            attributes["group_size"] = module.group_size
        change(name, attributes)
        meta = {
            "type": "class",
            "version": 6,
            "module_src": module_src,
            "class_name": (class_names or {}).get(name, type(module).__name__),
            "state": attributes,
        }
        return Call(reconstruct, meta)

    with foreign_function("torch_utils.persistence", "_reconstruct_persistent_obj") as reconstruct:
        content = {name: network and persistent(network, name) for name, network in networks.items()}
        return pickle.dumps({**content, "augment_pipe": None}, protocol=4)


def torch_file_that_calls(function: Callable[..., Any], *arguments: Any) -> bytes:
    """What stands for the numbers of a tensor, but is the call of a function."""
    buffer = io.BytesIO()
    torch.save(Call(function, *arguments), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()
