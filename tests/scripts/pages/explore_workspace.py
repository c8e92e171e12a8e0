"""A workspace with tiny generators of every version, to explore."""

import base64
import io
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from scripts.pages.explorer.explorer import Explorer
from scripts.pages.explorer.server import ExploreServer
from scripts.pipeline import REPOSITORY, Tool, ToolOptions
from scripts.pipeline.console import StopRequest
from scripts.stages import workspace as paths
from segmentation.normalization import fit
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES
from stylegan_modified.projection import ProjectionRecipe
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from tests.processes import exit_code
from tests.scripts.pages.page_serving import answering
from tests.stylegan_modified import tiny


def make_workspace(root: Path) -> Path:
    """Score statistics, four generators whose dials do something, property CNN and encoder."""
    scores = np.random.default_rng(0).normal(size=(200, len(PROPERTY_NAMES)))
    statistics = {f"algorithm_{LABEL_ALGORITHM}": fit(scores, np.ones(scores.shape, bool)).to_dict()}
    (root / paths.STATISTICS).parent.mkdir(parents=True)
    (root / paths.STATISTICS).write_text(json.dumps(statistics))
    base, model = tiny.base_generator(), tiny.dial_generator()
    v1 = transplant(base)
    torch.manual_seed(5)
    with torch.no_grad():
        v1.mapping.label_weight.normal_()
        for parameter in model.dials.parameters():
            parameter.normal_(0, 0.1)
    encoder = Encoder(EncoderConfig(tiny.RESOLUTION, tiny.Z_DIM, width=0.25, hidden=32))
    save(root, paths.GENERATOR, {"generator": base.state_dict(), "config": base.config})
    save(root, paths.FINE_TUNED["v1"], v1.checkpoint())
    for version in ("v2", "v3"):
        save(root, paths.FINE_TUNED[version], model.checkpoint())
    save(root, paths.PROPERTY_CNN, model.property_cnn.checkpoint())
    save(root, paths.ENCODER, encoder.checkpoint())
    return root


def save(root: Path, relative: str, content: dict) -> None:
    """Write a file of weights."""
    (root / relative).parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, root / relative)


def make_tool(root: Path) -> Tool:
    """The running script, as its modules see it."""
    return Tool("explore", ToolOptions(workspace=root, device="cpu", quiet=True), StopRequest())


def quick_explorer(root: Path) -> Explorer:
    """An explorer that seeks people in few steps."""
    return Explorer(make_tool(root), recipe=ProjectionRecipe(w_steps=3, wp_steps=3), tune_steps=3)


def properties(**turned: float) -> dict[str, float]:
    """All dials at zero but those given."""
    return dict.fromkeys(PROPERTY_NAMES, 0.0) | turned


def photograph(width: int = tiny.RESOLUTION, height: int = tiny.RESOLUTION, seed: int = 1) -> bytes:
    """A PNG with smooth random colours."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def upload(content: bytes, name: str = "my face.png") -> dict[str, str]:
    """The message that sends a photograph."""
    return {"name": name, "content": base64.b64encode(content).decode()}


def read_png(text: str) -> Image.Image:
    """A picture of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(text)))


def pixels(text: str) -> np.ndarray:
    """A picture of an answer, uint8 [H, W, 3]."""
    return np.asarray(read_png(text))


@contextmanager
def serving(explorer: Explorer, port: int = 0) -> Iterator[ExploreServer]:
    """A server of the explorer's page that answers."""
    with answering(ExploreServer(explorer, port)) as server:
        yield server


def run_command(command: str, *arguments: object) -> int:
    """Run a copied command line, with more arguments, in this process; its exit code."""
    _, script, *words = shlex.split(command)
    return exit_code(REPOSITORY / script, *words, *arguments)


def regenerated(workspace: Path, count: int = 1) -> list[np.ndarray]:
    """So many pictures that 08 has just made; they stand at the top of its table."""
    table = pd.read_csv(workspace / "stylegan_modified/synthesize_results/images.csv").head(count)
    return [np.asarray(Image.open(workspace / name)) for name in table["file"]]
