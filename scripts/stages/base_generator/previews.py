"""What a training generator draws for fixed latents: a sheet at each look, and all looks in one filmstrip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scripts.pipeline import files
from scripts.pipeline.files import ArrayFileError, read_arrays
from scripts.stages.sheets import contact_sheet, labelled_grid
from scripts.stages.training_events import TrainingEvents
from stylegan.sampling import to_uint8
from stylegan.training import StyleGANTrainer

SHEET_COLUMNS = 8
STRIP_COLUMNS = 8
STRIP_ROWS = 24


class Previews:
    """Pictures of a training in its folder.

    Args:
        folder: of the run; `preview.png`, `filmstrip.png` and `previews/` are written there.
        trainer: whose averaged generator is drawn.
        events: which show the sheets in TensorBoard.
        count: pictures on a sheet.
    """

    def __init__(self, folder: Path, trainer: StyleGANTrainer, events: TrainingEvents, count: int) -> None:
        self.folder = folder
        self.trainer = trainer
        self.events = events
        self.count = count

    def write(self) -> None:
        """Draw the present state: a sheet, each picture beside its portrait if there is one, and a row."""
        pictures, paired = self.trainer.preview(self.count)
        drawn = to_uint8(pictures)
        if paired is not None:
            pictures = torch.stack([paired, pictures], dim=1).flatten(0, 1)
        columns = SHEET_COLUMNS if paired is None else 2 * SHEET_COLUMNS
        sheet = contact_sheet(to_uint8(pictures), columns=columns)
        kimg = self.trainer.counters.images / 1000
        files.write(self.folder / "previews" / f"preview_{kimg:09.2f}_kimg.png", sheet)
        files.write(self.folder / "preview.png", sheet)
        self.events.picture(self.trainer.counters.step, "preview", sheet)
        self._add_row(kimg, drawn[:STRIP_COLUMNS])

    def _add_row(self, kimg: float, pictures: np.ndarray) -> None:
        rows = [row for row in self._read_rows(pictures.shape) if row[0] < kimg]
        rows.append((kimg, pictures))
        if len(rows) > STRIP_ROWS:
            rows = rows[:-1:2] + rows[-1:]
        times, frames = zip(*rows, strict=True)
        files.write(self._frames, {"kimg": np.array(times), "pictures": np.stack(frames)})
        labels = [f"{time:.1f} thousand images" for time in times]
        files.write(self.folder / "filmstrip.png", labelled_grid(frames, labels, [""] * len(pictures)))

    @property
    def _frames(self) -> Path:
        return self.folder / "previews" / "filmstrip.npz"

    def _read_rows(self, shape: tuple[int, ...]) -> list[tuple[float, np.ndarray]]:
        """Rows of earlier looks; none where there are no such rows, or pictures of another size."""
        try:
            stored = read_arrays(self._frames, ("kimg", "pictures"))
            rows = list(zip(stored["kimg"].tolist(), stored["pictures"], strict=True))
        except (ArrayFileError, TypeError, ValueError):
            return []
        return [row for row in rows if row[1].shape == shape]
