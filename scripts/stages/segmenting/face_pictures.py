"""Pictures for the segmentation: which there are, and their pixels batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from scripts.pipeline import Stage, UserError
from scripts.pipeline.image_files import ImageFileError, read_image
from scripts.stages.pictures import find_pictures, read_ahead

if TYPE_CHECKING:
    import numpy as np

PICTURES = "stylegan/synthesize_results_filtered"

Picture: TypeAlias = "np.ndarray | str"
"""uint8 [H, W, 3] RGB, or the reason why there is none."""


def list_pictures(stage: Stage) -> dict[int, str]:
    """Number and workspace-relative path of every kept picture, by number; what the folder holds counts.

    Raises:
        UserError: no picture, a name that is no number, or two pictures of one number.
    """
    found: dict[int, str] = {}
    for path in find_pictures(stage.workspace / PICTURES, deep=False).pictures.values():
        relative = stage.relative(path)
        if not (path.stem.isascii() and path.stem.isdecimal()):
            raise UserError(
                f"{relative} is not named by its number, so its row could not be joined with other tables. "
                "Rename it, for example to 000123.jpg, or move it out of the folder."
            )
        if int(path.stem) in found:
            raise UserError(
                f"{found[int(path.stem)]} and {relative} have the same number, so their results would "
                "overwrite each other. Remove one of them."
            )
        found[int(path.stem)] = relative
    if not found:
        raise UserError(
            f"{PICTURES} holds no picture, so there is nothing to segment. Filter again, perhaps with lower "
            f"thresholds:\n    {stage.command('02_filter_candidates', '--force')}"
        )
    return dict(sorted(found.items()))


def read_picture(path: Path, sha256: str = "") -> Picture:
    """The picture as `read_image` gives it; or the reason why it cannot be read."""
    try:
        return read_image(path, sha256)
    except ImageFileError as error:
        return str(error)


def decoded_batches(
    stage: Stage, paths: Mapping[int, str], batches: Sequence[Sequence[int]]
) -> Iterator[tuple[Sequence[int], list[Picture]]]:
    """Batches of numbers with their pictures; the next batch is decoded while one is worked on."""

    def decode(batch: Sequence[int]) -> list[Picture]:
        return [read_picture(stage.workspace / paths[n], stage.recorded_sha256(paths[n])) for n in batch]

    for batch, decoded in read_ahead(batches, decode):
        yield batch, decoded.result()
