"""A small workspace with candidates to label, and the results of a filter stage that never ran."""

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from scripts.label_images import Options
from scripts.pages.labelling.answers import AnswerJournal
from scripts.pages.labelling.candidates import load_candidates
from scripts.pages.labelling.session import LabelSession
from scripts.pipeline import Tool, files, records
from scripts.pipeline.console import StopRequest
from scripts.stages.workspace import CANDIDATES, LABELS, LABELS_RECORD

WEIGHTS_ID, FIRST_SEED, COUNT = "0123456789abcdef", 5, 30


def make_workspace(root: Path, count: int = COUNT, first_seed: int = FIRST_SEED) -> Path:
    """Candidates of 16 px, each of one grey."""
    folder = root / "stylegan/synthesize_results"
    folder.mkdir(parents=True)
    paths = [f"stylegan/synthesize_results/{img_no:06d}.jpg" for img_no in range(count)]
    for img_no, path in enumerate(paths):
        Image.fromarray(np.full((16, 16, 3), 6 * img_no % 256, np.uint8)).save(root / path)
    write_candidates(root, paths, first_seed)
    return root


def write_candidates(root: Path, paths: list[str], first_seed: int, weights_id: str = WEIGHTS_ID) -> None:
    """The table of stage 01."""
    numbers = np.arange(len(paths))
    columns = {"img_no": numbers, "img_path": paths, "seed": numbers + first_seed, "weights_id": weights_id}
    pd.DataFrame(columns).to_csv(root / CANDIDATES, index=False)


def write_labels(root: Path, genders: list[int], qualities: list[int], **record: object) -> None:
    """A label table of the first pictures with its record."""
    names = [f"{img_no:06d}.jpg" for img_no in range(len(genders))]
    (root / "cnn").mkdir(exist_ok=True)
    table = pd.DataFrame({"img_name": names, "quality": qualities, "gender": genders})
    table.to_csv(root / LABELS, index=False)
    values = {"weights_id": WEIGHTS_ID, "seed": FIRST_SEED, "count": len(names), "made_by": "hand"} | record
    (root / LABELS_RECORD).write_text(json.dumps(values))


def write_scores(root: Path, women: list[float], good: list[float], labelled: int) -> None:
    """Results of stage 02: out-of-fold probabilities of the first pictures, estimates of the others."""
    for name, values in (("gender", women), ("quality", good)):
        table = pd.DataFrame({"img_no": range(len(values)), name: values, "probability": values})
        for folder in ("cnn/log", "cnn/inference_result"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        table[:labelled].to_csv(root / f"cnn/log/{name}_out_of_fold.csv", index=False)
        table[labelled:].to_csv(root / f"cnn/inference_result/{name}.csv", index=False)
    digest = f"sha256 {files.sha256_file(root / CANDIDATES)}"
    record = {
        "state": "complete",
        "fingerprint": "",
        "depends_on": {"inputs": {CANDIDATES: digest}},
    }
    records.write(root, "02_filter_candidates", record)


def make_tool(root: Path) -> Tool:
    """The running script, as its modules see it."""
    return Tool("label_images", Options(workspace=root, quiet=True), StopRequest())


class Sessions:
    """Labelling sessions one after the other. Used as a context manager."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stack = ExitStack()

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, **options: object) -> LabelSession:
        """Open a session; the one before is closed, as if its process had ended."""
        self._stack.close()
        tool = make_tool(self.root)
        candidates = load_candidates(tool)
        journal = self._stack.enter_context(AnswerJournal(self.root, WEIGHTS_ID))
        return LabelSession(tool, Options(**options), candidates, journal)


def label_all(session: LabelSession, count: int) -> None:
    """Label the first pictures one by one: every second is a woman, every third is bad."""
    for n in range(count):
        session.label([[n, n % 2, int(n % 3 > 0)]])
