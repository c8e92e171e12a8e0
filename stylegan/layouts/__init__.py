"""StyleGAN weights of other programs, as tables under the names of this package.

A layout is a pair of patterns that give its networks away and a pair of functions from a table of weights to
`Converted`; another one is one more row of `LAYOUTS`. Our own names are GenForce's (v1) and NVIDIA's (v2),
and need none.
"""

import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from torch import Tensor

from stylegan.layouts import interfacegan, openmmlab, rosinality
from stylegan.layouts.renaming import Converted, LayoutError, with_turned_colours

__all__ = ["LAYOUTS", "Converted", "Layout", "LayoutError", "layout_of", "with_turned_colours"]

Convert = Callable[[Mapping[str, Tensor]], Converted]


class Layout(NamedTuple):
    """One kind of network of one program."""

    kind: Literal["generator", "discriminator"]
    sign: str
    """Pattern that some entry's name begins with, and no other network's."""
    convert: Convert


LAYOUTS = (
    Layout("generator", r"convs\.\d+\.adain\d\.", openmmlab.convert_v1_generator),
    Layout("discriminator", r"from_rgb\.\d+\.", openmmlab.convert_v1_discriminator),
    Layout("generator", r"\w+(\.\d+)?\.conv\.style_modulation\.", openmmlab.convert_v2_generator),
    Layout("discriminator", r"(convs|final_conv)\..*conv\.weight_orig$", openmmlab.convert_v2_discriminator),
    Layout("generator", r"\w+(\.\d+)?\.conv\.modulation\.", rosinality.convert_generator),
    Layout("discriminator", r"convs\.\d+\.conv1\.0\.weight$", rosinality.convert_discriminator),
    Layout("generator", r"synthesis\.layer\d+\.epilogue\.", interfacegan.convert_generator),
)


def layout_of(state: Mapping[str, Tensor]) -> Layout | None:
    """The layout of a table of weights; None where it is none of other programs."""
    for layout in LAYOUTS:
        if any(re.match(layout.sign, name) for name in state):
            return layout
    return None
