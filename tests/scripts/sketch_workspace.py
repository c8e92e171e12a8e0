"""A workspace as stage 03 leaves it, of drawn faces, for the tests of the row of sketches."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from scripts.pipeline import REPOSITORY
from scripts.stages.workspace import BUNDLED_PARSER, FACES, PARSER, segmented_path
from tests.segmentation.drawn_faces import draw_face

COUNT = 40


def make_workspace(root: Path) -> Path:
    """Faces of ellipses in pictures of 112 px; the crop is the whole picture."""
    rows = []
    for number in range(COUNT):
        label_map, picture = draw_face(gap=2.0 * (number % 8), turn=number / 4 - 5, hair_bottom=110 + number)
        path = f"stylegan/synthesize_results_filtered/{number:06d}.png"
        for name, content in ((path, picture[::2, ::2]), (segmented_path("parsing", number), label_map)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(content)).save(root / name)
        rows.append(
            {"img_no": number, "img_path": path, "status": "ok", "x0": 0, "y0": 0, "x1": 112, "y1": 112}
        )
    pd.DataFrame(rows).to_csv(root / FACES, index=False)
    (root / PARSER).parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / BUNDLED_PARSER, root / PARSER)
    return root
