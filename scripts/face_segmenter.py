"""The networks of the segmentation stage: from pictures to faces with label maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from scripts.pipeline import Stage, UserError

if TYPE_CHECKING:
    import numpy as np

    from segmentation.face_crop import FaceCrop
    from segmentation.facexformer import FaceXFormer

PUBLISHED_PARSER = "segmentation/models/segmentation_model.pt"
AGREEMENT = 0.995
"""Share of equal pixels that a faster arithmetic must reach."""


class Segmented(NamedTuple):
    """A face with its label map."""

    crop: "FaceCrop"
    label_map: "np.ndarray"
    mean_probability: float
    outputs: "dict[str, np.ndarray]"


class Segmenter:
    """The two networks, loaded once: the detector and the parser."""

    def __init__(
        self,
        stage: Stage,
        parser_file: str,
        batch_size: int,
        detection: tuple[int, float, float] = (160, 0.2, 0.25),
        with_attributes: bool = False,
    ) -> None:
        """Loads them.

        Args:
            stage: decides the device.
            parser_file: workspace-relative weights of the parser.
            batch_size: pictures at once; halved when memory runs out.
            detection: see `FaceCropper`: detection size in pixels, smallest face and margin as shares.
            with_attributes: also calculate `face_attributes.ATTRIBUTE_TASKS`.

        Raises:
            UserError: the parser's file is damaged, or it was not trained for the attributes.
        """
        import torch

        from segmentation.face_attributes import ATTRIBUTE_TASKS
        from segmentation.face_crop import FaceCropper
        from segmentation.facexformer import FaceXFormerWeightsError, load_facexformer

        mend = f"Fetch it anew:\n    {stage.command('00_fetch_weights', '--force')}"
        with stage.foreseen(FaceXFormerWeightsError, mend=mend):
            self.parser: FaceXFormer = load_facexformer(stage.workspace / parser_file)
        self.further_tasks = ATTRIBUTE_TASKS if with_attributes else ()
        untrained = [task for task in self.further_tasks if task not in self.parser.trained_tasks]
        if untrained:
            whole = stage.command(stage.name, "--extras", "--parser", PUBLISHED_PARSER)
            raise UserError(
                f"--extras needs {', '.join(untrained)}, but {parser_file} was trained for "
                f"{', '.join(self.parser.trained_tasks)} alone, so the columns would hold noise. Leave out "
                f"--extras, or give the published FaceXFormer:\n    {whole}"
            )
        self.parser.to(stage.device)
        self.batch_size, self._stage = batch_size, stage
        self.cropper = FaceCropper(stage.device, *detection, batch_size, on_shrink=self._report_shrinking)
        self.precision = torch.float32

    def _report_shrinking(self, size: int) -> None:
        self._stage.log(f"memory ran out; pictures at once from now on: {size}")
        self.batch_size = min(self.batch_size, size)

    def choose_precision(self, wanted: str, pictures: Sequence["np.ndarray"]) -> None:
        """Fix the arithmetic of the parser; ``auto`` compares bfloat16 with float32 on these pictures."""
        import torch

        from segmentation.parsing import best_precision

        self.precision = torch.float32 if wanted == "auto" else getattr(torch, wanted)
        if wanted != "auto" or best_precision(self._stage.device) == torch.float32:
            return
        exact = [face for face in self(pictures) if face is not None]
        self.precision = torch.bfloat16
        rough = [face for face in self(pictures) if face is not None]
        same = [(a.label_map == b.label_map).mean() for a, b in zip(exact, rough, strict=True)]
        agreement = sum(same) / max(len(same), 1)
        if agreement < AGREEMENT:
            self.precision = torch.float32
        name = str(self.precision).removeprefix("torch.")
        self._stage.log(
            f"parser in {name}: bfloat16 keeps {agreement:.2%} of the pixels of {len(same)} faces"
        )

    def __call__(self, pictures: Sequence["np.ndarray"]) -> list[Segmented | None]:
        """Crop and parse pictures; None where there is no face."""
        import numpy as np

        from segmentation.parsing import parse_faces

        crops = self.cropper(pictures)
        found = [crop for crop in crops if crop is not None]
        if not found:
            return [None] * len(crops)
        parsed = parse_faces(
            self.parser,
            np.stack([crop.image for crop in found]),
            self.batch_size,
            self.precision,
            self.further_tasks,
            self._report_shrinking,
        )
        faces = iter(
            Segmented(
                crop,
                parsed.label_maps[row],
                float(parsed.probabilities[row]),
                {task: values[row] for task, values in parsed.outputs.items()},
            )
            for row, crop in enumerate(found)
        )
        return [None if crop is None else next(faces) for crop in crops]
