"""Why a file cannot be read as weights, and what to do about it, from how it begins."""

from __future__ import annotations

import re
from pathlib import Path

AGAIN = "Get the file again from its source."
TABLES_ONLY = "Only tables of weights are read; nothing in the file was run. Where the program that made it"
HEAD_BYTES = 1 << 16
UNSAFE = re.compile(r"[Uu]nsupported (?:global: )?GLOBAL ([\w.]+)")  # the latter where a module is blocked

# Patterns of how files begin that are no weights files: what they are, and what to do.
OTHER_FILES: tuple[tuple[bytes, str, str], ...] = (
    (rb"version https://git-lfs", "it is a pointer of Git LFS, not the file", "Fetch that: git lfs pull"),
    (
        rb"(?:\xef\xbb\xbf)?\s*<",
        "it is a web page, saved where a download failed or asked for a login",
        AGAIN,
    ),
    (
        rb"\x93NUMPY|PK\x03\x04.{26,200}?\.npy",
        "it holds numpy arrays",
        "Save them as a table of weights: torch.save({name: torch.from_numpy(array), ...}, 'weights.pth')",
    ),
    (
        rb"\x89HDF",
        "it is an HDF5 file, as Keras writes them",
        "Only StyleGAN weights of PyTorch are read: give a .pth, .pt or .safetensors file.",
    ),
    (rb"\x1f\x8b", "it is packed with gzip", "Unpack it first: gunzip FILE"),
    (rb"\x89PNG|\xff\xd8\xff", "it is a picture", "Give the weights file instead."),
)
# Names inside a refused pickle: what it holds, and what to do.
OBJECTS: tuple[tuple[str, str, str], ...] = (
    (
        "dnnlib.tflib",
        "it holds TensorFlow networks of NVIDIA's StyleGAN or StyleGAN2 program",
        "is installed, convert it to PyTorch and save its state_dict; or take a pickle of StyleGAN2-ADA, the "
        "PyTorch program, instead, such as NVIDIA's ffhq.pkl.",
    ),
    (
        "numpy",
        "it holds numpy arrays, which torch's safe reader does not take",
        "is installed, save tensors instead: torch.save({name: torch.from_numpy(array), ...}, 'weights.pth')",
    ),
    (
        "torch.nn.modules",
        "it holds a whole network, as torch.save(network) writes it, not the table of its weights",
        "is installed, save the table alone: torch.save(network.state_dict(), 'weights.pth')",
    ),
)
OTHER_OBJECTS = (
    "it holds Python objects besides weights",
    "is installed, save the tables of weights alone: torch.save(network.state_dict(), 'weights.pth')",
)


def refusal(path: Path, error: Exception) -> str:
    """What a file is that a reader of weights refused, and what to do: the end of a sentence that names it.

    Args:
        error: what torch or safetensors raised.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for beginning, what, mend in OTHER_FILES:
        if re.match(beginning, head, re.DOTALL):
            return f"cannot be read: {what}. {mend}"
    found = UNSAFE.search(str(error))
    name = found[1] if found else ""
    if not name:
        return f"cannot be read: it is damaged, cut off, or no weights file. {AGAIN}"
    what, mend = next(((what, mend) for part, what, mend in OBJECTS if part in name), OTHER_OBJECTS)
    return (
        f"is refused: {what} (first {name}), and reading those could run foreign code. {TABLES_ONLY} {mend}"
    )
