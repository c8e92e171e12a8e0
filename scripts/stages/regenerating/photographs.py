"""Photographs for v3: cut to the frame of the training pictures, and encoded."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from scripts.pipeline import Tool, UserError, tables
from scripts.pipeline.files import sha256_file
from scripts.stages import networks
from scripts.stages.aligning import read_photo
from scripts.stages.image_files import ImageFileError
from scripts.stages.regenerating.regenerator import Photograph
from scripts.stages.workspace import ENCODER_INPUT, FACES, PROPERTY_CNN_INPUT
from segmentation.face_alignment import FRAME_PX, Similarity, cut_out
from segmentation.face_crop import FaceCropper
from stylegan.sampling import from_uint8
from stylegan_modified.editing import encode_pictures

NO_FACE = "no face found: the centre square"
SMALLEST_FACE = 0.1  # of the photograph's shorter side
NEEDED = (ENCODER_INPUT, PROPERTY_CNN_INPUT)


def read_given(path: Path) -> np.ndarray:
    """A photograph uint8 [H, W, 3] that somebody wants to edit; `UserError` if it is no readable picture."""
    try:
        return read_photo(path)
    except ImageFileError as error:
        raise UserError(
            f"{path.name} cannot be edited: {error}. Give a JPEG or PNG picture of a face."
        ) from error


def centre_square(photo: np.ndarray) -> Similarity:
    """From frame pixels to the largest square in the middle of a photograph [H, W, 3]."""
    height, width = photo.shape[:2]
    side = min(height, width)
    return Similarity(complex(side / FRAME_PX), complex((width - side) / 2, (height - side) / 2))


class PhotographEncoder:
    """v3's encoder and the property CNN, loaded once.

    Args:
        tool: the running script.
        model: v3's generator.

    Raises:
        UserError: a network is missing or damaged.
    """

    def __init__(self, tool: Tool, model: nn.Module) -> None:
        self.tool, self._model = tool, model
        self._encoder, self._reader = networks.load_encoder(tool)
        self._identity = networks.load_identity(tool)
        self.size = self._encoder.config.resolution

    def __call__(self, path: Path) -> Photograph:
        """Encode a picture file (see `editing.encode_pictures`).

        Raises:
            UserError: the file is no readable picture.
        """
        picture, framing = self.frame(read_given(path))
        image = from_uint8(picture[None]).to(self.tool.device)
        found = encode_pictures(self._model, self._encoder, self._reader, image, self._identity)
        own = tuple(found.own[0].tolist())
        return Photograph(path, sha256_file(path), picture, own, framing, found.z[0].cpu())

    def frame(self, photo: np.ndarray) -> tuple[np.ndarray, str]:
        """Cut a photograph uint8 [H, W, 3] as the training pictures are: uint8 [R, R, 3], and how, in words.

        A picture of exactly that size is taken as it is. Else the detected face is brought to where faces are
        in the training pictures, and what lies outside the photograph is filled by blurred reflection.
        """
        height, width = photo.shape[:2]
        if height == width == self.size:
            return photo, f"taken as it is, {width} x {height} px"
        transform = self._face_transform(photo)
        framing = "cut out around the face"
        if transform is None:
            transform, framing = centre_square(photo), NO_FACE
        picture, _ = cut_out(photo, transform, self.size)
        return picture, f"{framing}, {self.size} px"

    def _face_transform(self, photo: np.ndarray) -> Similarity | None:
        """From frame pixels (256 per side) to the photograph: the face's box lands on the usual box."""
        crop = self._cropper([photo])[0]
        if crop is None or self._usual_box is None:
            return None
        left, top, right, _ = crop.box
        usual_left, usual_top, usual_right = (FRAME_PX * side for side in self._usual_box)
        factor = (right - left) / (usual_right - usual_left)
        offset = complex(
            (left + right) / 2 - factor * (usual_left + usual_right) / 2, top - factor * usual_top
        )
        return Similarity(complex(factor), offset)

    @cached_property
    def _cropper(self) -> FaceCropper:
        return networks.load_cropper(self.tool, SMALLEST_FACE)

    @cached_property
    def _usual_box(self) -> tuple[float, float, float] | None:
        """Medians of the face boxes of the training pictures: left, top, right as shares of the side.

        The lower side is left out: it is often cut off by the end of the picture.
        """
        mend = f"Make it anew: {self.tool.command('03_segment_faces', '--force')}"
        boxes = tables.read_csv(self.tool.workspace / FACES, ("status", "x0", "y0", "x1"), mend)
        boxes = boxes.loc[boxes["status"] == "ok", ["x0", "y0", "x1"]].median() / self.size
        return None if boxes.isna().any() else tuple(boxes)
