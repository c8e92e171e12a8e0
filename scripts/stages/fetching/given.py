"""Weights that a person gives: found by name or by content, and brought to their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.pipeline import UserError, files
from scripts.stages.fetching.weight_files import SUFFIXES, WeightFile
from stylegan.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from stylegan.weights_file import is_safetensors


@dataclass(frozen=True)
class Given:
    """What ``--from`` holds.

    Attributes:
        found: path of an entry -> the file for it.
        unused: files of weights that are none of the entries -> why, where they were looked into.
    """

    found: dict[str, Path] = field(default_factory=dict)
    unused: dict[Path, str] = field(default_factory=dict)


def look_through(source: Path, wanted: Sequence[WeightFile]) -> Given:
    """Find the entries in a folder, or in one file: by name, then by what a file holds.

    Raises:
        UserError: no such folder or file, it holds none of the entries, or several files fit one.
    """
    if not source.exists():
        raise UserError(f"--from {source} does not exist. Give the folder that holds the files, or one file.")
    present = [source] if source.is_file() else sorted(path for path in source.iterdir() if path.is_file())
    by_name = {path.name: path for path in present}
    found = {}
    for file in wanted:
        named = next((by_name[name] for name in file.accepted_names if name in by_name), None)
        if named is not None:
            found[file.path] = named
    reasons = {
        path: ""
        for path in present
        if path not in found.values() and (source.is_file() or path.suffix.lower() in SUFFIXES)
    }
    for file in wanted:
        fitting = [path for path in reasons if file.path not in found and _fits(file, path, reasons)]
        if len(fitting) > 1:
            raise UserError(
                f"--from {source} holds several files that could be {file.path}: "
                f"{', '.join(path.name for path in fitting)}. Give the one that you mean: --from {fitting[0]}"
            )
        if fitting:
            found[file.path] = fitting[0]
    unused = {path: why for path, why in reasons.items() if path not in found.values()}
    if not found:
        looked_for = ", ".join(name for file in wanted for name in (file.name, *file.names))
        refused = [f"\n    {why or f'{path} is none of them.'}" for path, why in unused.items()]
        raise UserError(
            f"--from {source} holds none of the files that belong to the workspace, so other weights would "
            f"be used than you gave. Looked for {looked_for}, and for StyleGAN weights under any name."
            + "".join(refused)
        )
    return Given(found, unused)


def _fits(file: WeightFile, path: Path, reasons: dict[Path, str]) -> bool:
    """Whether a file is an entry by its contents; if it cannot be, `reasons` gets why."""
    if file.sha256:
        same_size = file.size_bytes in (0, path.stat().st_size)
        return same_size and files.sha256_file(path).startswith(file.sha256)
    if not file.is_stylegan:
        return False
    try:
        load_base(path)
    except CheckpointError as error:
        reasons[path] = str(error)
        return False
    return True


def load_base(path: Path) -> Checkpoint:
    """An original StyleGAN; `CheckpointError` for a damaged file, another network or a fine-tuned one."""
    checkpoint = load_checkpoint(path)
    if checkpoint.conditioned or not checkpoint.config:
        raise CheckpointError(
            f"{path} cannot be used: it holds {checkpoint.description}, and an original StyleGAN generator "
            "is needed here."
        )
    return checkpoint


def put(checkpoint: Checkpoint | None, source: Path, target: Path) -> str:
    """Bring a checked file to its place; returns how: "copied" or "converted".

    Safetensors of StyleGAN become a torch file where the place is named as one: other programs go by names.
    """
    if checkpoint is not None and target.suffix != ".safetensors" and is_safetensors(source):
        save_checkpoint(
            target,
            generator=checkpoint.generator,
            discriminator=checkpoint.discriminator,
            generator_smooth=checkpoint.generator_smooth,
            metadata=checkpoint.extra["metadata"],
        )
        return "converted"
    files.copy_file(source, target)
    return "copied"
