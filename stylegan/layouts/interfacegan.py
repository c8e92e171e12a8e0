"""InterFaceGAN's StyleGAN v1 generator, as GenForce's: other names, one kind of kernel laid out otherwise."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from stylegan.layers import TRANSPOSED_FROM_RESOLUTION
from stylegan.layouts.renaming import Converted, Rule, rename, resolution_of

PROGRAM = "InterFaceGAN"


def _same(name: str) -> Rule:
    return Rule(re.escape(name), lambda: name)


def _layer(end: str) -> Callable[[int], str]:
    return lambda k: f"synthesis.layer{k}.{end}"


RULES = (
    Rule(r"mapping\.dense(\d+)\.linear\.weight", lambda i: f"mapping.dense{i}.weight"),
    Rule(r"mapping\.dense(\d+)\.wscale\.bias", lambda i: f"mapping.dense{i}.bias"),
    _same("truncation.w_avg"),
    Rule(r"truncation\.truncation", None),  # how far each layer is truncated: a setting
    _same("synthesis.lod"),
    Rule(r"synthesis\.layer0\.first_layer", lambda: "synthesis.layer0.const"),
    Rule(r"synthesis\.layer(\d+)\.(?:conv\.)?weight", _layer("weight")),
    Rule(r"synthesis\.layer(\d+)\.blur\.kernel", _layer("blur.kernel")),
    Rule(r"synthesis\.layer(\d+)\.epilogue\.apply_noise\.weight", _layer("apply_noise.weight")),
    Rule(r"synthesis\.layer(\d+)\.epilogue\.apply_noise\.noise", _layer("apply_noise.noise")),
    Rule(r"synthesis\.layer(\d+)\.epilogue\.bias", _layer("bias")),
    Rule(r"synthesis\.layer(\d+)\.epilogue\.style_mod\.dense\.linear\.weight", _layer("style.weight")),
    Rule(r"synthesis\.layer(\d+)\.epilogue\.style_mod\.dense\.wscale\.bias", _layer("style.bias")),
    Rule(r"synthesis\.output(\d+)\.conv\.weight", lambda b: f"synthesis.output{b}.weight"),
    Rule(r"synthesis\.output(\d+)\.bias", lambda b: f"synthesis.output{b}.bias"),
)
KERNEL = re.compile(r"synthesis\.layer(\d+)\.(conv\.)?weight")


def convert_generator(state: Mapping[str, Tensor]) -> Converted:
    return Converted(PROGRAM, rename({name: _kernel(name, v) for name, v in state.items()}, RULES, PROGRAM))


def _kernel(name: str, value: Tensor) -> Tensor:
    """An entry as it is, or the kernel of an up-convolution laid out as ours.

    There, either kind is possible at every resolution: ordinary ones [out,in,3,3], called `conv.weight`, and
    transposed ones [3,3,in,out]. Here, the resolution decides, and the other kind is turned by 180 degrees.
    """
    found = KERNEL.fullmatch(name)
    if found is None or value.ndim != 4:
        return value
    layer, transposed = int(found[1]), found[2] is None
    if transposed:
        value = value.permute(3, 2, 0, 1)
    ours_transposed = resolution_of(layer // 2) >= TRANSPOSED_FROM_RESOLUTION
    return value.flip(2, 3) if layer % 2 == 0 and transposed != ours_transposed else value
