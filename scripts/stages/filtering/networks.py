"""Whose the filter stage's networks are: trained here, or a person's own, which are used and never lost."""

from __future__ import annotations

from pathlib import Path

from cnn.models import load_filter_cnn
from scripts.pipeline import Stage, UserError, files
from scripts.pipeline.files import sha256_file
from scripts.stages.workspace import FILTER_NETWORK, FILTER_NETWORKS, FILTERS
from stylegan.weights_file import WeightsFileError, read_torch

TRAINED = "networks.json"  # path -> SHA-256 with which this stage wrote it


def begin(stage: Stage) -> None:
    """Start the record in a workspace that has none."""
    if not (stage.folder / TRAINED).exists():
        files.write(stage.folder / TRAINED, {})


def remember(stage: Stage, relative: str, network: Path) -> None:
    """Record the contents of a network that was trained here, before it gets its name."""
    path = stage.folder / TRAINED
    files.write(path, {**files.read_json(path), relative: sha256_file(network)})


def is_given(stage: Stage, relative: str) -> bool:
    """Whether a file is there that this stage did not write: the document trains only what is missing."""
    path = stage.workspace / relative
    return path.is_file() and sha256_file(path) != _trained(stage, relative)


def belonging_to_the_user(stage: Stage) -> set[str]:
    """Networks that ``--force`` must leave: those that this stage did not write.

    One that it wrote and that can no longer be read was damaged, and is no person's.
    """
    folder = stage.workspace / FILTER_NETWORKS
    present = (f"{FILTER_NETWORKS}/{path.name}" for path in folder.iterdir()) if folder.is_dir() else ()
    return {
        relative
        for relative in present
        if is_given(stage, relative) and not (_trained(stage, relative) and _is_damaged(stage, relative))
    }


def check_given(stage: Stage, fold_count: int, image_size: int) -> None:
    """Raise `UserError` if a person's own network cannot judge pictures of this height and width."""
    kept = belonging_to_the_user(stage) if stage.options.force else None
    for name in FILTERS:
        for relative in (FILTER_NETWORK.format(name, fold) for fold in range(fold_count)):
            if not (is_given(stage, relative) if kept is None else relative in kept):
                continue
            if complaint := _complaint(stage, relative, name, image_size):
                raise UserError(
                    f"{stage.workspace / relative} was not trained here, so it is not overwritten, and it "
                    f"cannot be used: {complaint}. Move it away to have this network trained, and give the "
                    "same command again."
                )


def _complaint(stage: Stage, relative: str, name: str, image_size: int) -> str:
    """Why a file cannot be used as a network for a property; empty if it can."""
    try:
        network, extra = load_filter_cnn(stage.workspace / relative)
    except (ValueError, OSError) as error:
        return str(error).rstrip(".")
    if extra.get("property", name) != name:
        return f"it judges {extra['property']}, not {name}"
    if network.config.image_size > image_size:
        return f"it sees pictures of {network.config.image_size} px, and these have {image_size}"
    return ""


def _is_damaged(stage: Stage, relative: str) -> bool:
    """Whether a file is no whole torch file; one that holds foreign objects is whole, and somebody's."""
    try:
        read_torch(stage.workspace / relative)
    except WeightsFileError as error:
        return "foreign code" not in str(error)
    return False


def _trained(stage: Stage, relative: str) -> str:
    """Checksum with which this stage wrote a file; empty if it never did."""
    try:
        return str(files.read_json(stage.folder / TRAINED).get(relative, ""))
    except (FileNotFoundError, files.TextFileError):  # a workspace of before there was this record
        return stage.recorded_sha256(relative)
