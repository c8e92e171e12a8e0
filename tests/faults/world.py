"""A world so small that every script ends within seconds, and what each script is started with."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from scripts.pipeline import REPOSITORY
from scripts.pipeline.places import script_path
from stylegan.checkpoint import build_generator, load_checkpoint, save_checkpoint, weights_id
from stylegan.sampling import sample_z
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from tests.faults.fault import in_parallel
from tests.faults.injection import count_operations
from tests.processes import ScriptProcess

HERE = Path(__file__).parent
BUNDLED = REPOSITORY / "data/embedded/stylegan_model.safetensors"
NETWORK = {"resolution": 64, "fmaps_base": 2048, "fmaps_max": 128}
LATENT_DIM = 12  # fewer than there are candidates with scores, so that linear models can be fitted
LABEL_COUNT = 40
WORKSPACE = "ws"  # relative to the current folder, so that no file holds a path of its own


@dataclass(frozen=True)
class Target:
    """A script that is broken on purpose.

    Attributes:
        name: names it in the results.
        script: its name without ``.py``.
        arguments: of its command line, beside the workspace; ``{folder}`` is the current folder, ``{root}``
            that of the world.
        often_saving: arguments that make it save after each step.
    """

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    often_saving: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The script's file."""
        return REPOSITORY / script_path(self.script)


STAGES = (
    Target("00", "00_fetch_weights", ("--from", "{root}/weights")),
    Target("01", "01_generate_candidates"),
    Target("02", "02_filter_candidates"),
    Target("03", "03_segment_faces"),
    Target("04", "04_compute_property_scores"),
    Target("05", "05_fine_tune_v1", often_saving=("--save-seconds", "0")),
    Target("06", "06_fine_tune_v2", often_saving=("--save-seconds", "0")),
    Target("07", "07_fine_tune_v3", often_saving=("--save-seconds", "0")),
    Target("08", "08_regenerate_images"),
    Target("09", "09_evaluate"),
)
SAVING = ("--save-seconds", "0")
TRAINERS = (
    Target(
        "train_stylegan",
        "train_stylegan",
        (
            *("--plan", str(HERE / "plan.toml"), "--portraits", "8", "--processes", "1", "--previews", "4"),
            *("--kid-count", "4", "--kid-kimg", "0.1", "--preview-kimg", "0.1"),
        ),
        often_saving=("--save-seconds", "0"),
    ),
    Target("train_parser", "train_parser", ("--out", "{folder}/parser.safetensors"), SAVING),
    Target("train_oracle", "train_oracle", ("--out", "{folder}/oracle.safetensors"), SAVING),
)


TARGETS = (*STAGES, *TRAINERS)


@dataclass(frozen=True)
class Cost:
    """An undisturbed run: how long it took and how many operations on files it made."""

    seconds: float
    operations: int


class World:
    """Undisturbed results of every script, and the workspace that each of them finds at its start.

    Args:
        root: folder for everything, made here.

    Attributes:
        costs: of the undisturbed runs, by target.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.costs: dict[str, Cost] = {}
        root.mkdir(parents=True)
        make_weights(root / "weights")
        list(in_parallel([self._make_stages, *(partial(self._train, target) for target in TRAINERS)]))

    def _train(self, target: Target) -> None:
        self._folder(target.name, "before").joinpath(WORKSPACE).mkdir(parents=True)
        copy_tree(self._folder(target.name, "before"), self._folder(target.name, "after"))
        self._measure(target, self._folder(target.name, "after"))

    def _make_stages(self) -> None:
        current = self.root / "run"
        (current / WORKSPACE).mkdir(parents=True)
        for target in STAGES:
            copy_tree(current, self._folder(target.name, "before"))
            self._measure(target, current)
            copy_tree(current, self._folder(target.name, "after"))

    def _measure(self, target: Target, folder: Path) -> None:
        counted = self.root / f"operations_{target.name}"
        started = time.monotonic()
        result = self.start(target, folder, prepare=partial(count_operations, folder, counted)).wait()
        if result.returncode:
            raise RuntimeError(f"{target.name} failed undisturbed:\n{result.stdout}\n{result.stderr}")
        self.costs[target.name] = Cost(time.monotonic() - started, counted.stat().st_size)

    def _folder(self, name: str, when: str) -> Path:
        return self.root / when / name

    def undisturbed(self, target: Target) -> Path:
        """Folder with the result of a run that nothing broke. Its files are shared: never write into them."""
        return self._folder(target.name, "after")

    def begin(self, target: Target, folder: Path) -> Path:
        """Make ``folder`` anew, with what the target finds at its start; returns its workspace."""
        return self._fill(self._folder(target.name, "before"), folder)

    def start(
        self, target: Target, folder: Path, *more: str, prepare: Callable[[], None] | None = None
    ) -> ScriptProcess:
        """Start a script in ``folder/ws``; of an option that is given twice the last one counts."""
        config = () if target.script == "train_stylegan" else ("--config", str(HERE / "tiny.toml"))
        given = [word.format(folder=folder, root=self.root) for word in target.arguments]
        arguments = ("--preset", "smoke", *config, "--workspace", WORKSPACE, *given, *more)
        return ScriptProcess(target.path, *arguments, folder=folder, prepare=prepare)

    @staticmethod
    def _fill(source: Path, folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        copy_tree(source, folder)
        return folder / WORKSPACE


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder; the files are hard links, since scripts replace files and hardly ever write into them.

    Journals, logs and locks are written into, so they are copied.
    """

    def copy(original: str, copied: str) -> None:
        growing = original.endswith((".csv", ".txt", "lock")) or "/events/" in original
        (shutil.copy2 if growing or other_disk else os.link)(original, copied)

    target.mkdir(parents=True, exist_ok=True)
    other_disk = source.stat().st_dev != target.stat().st_dev
    shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)


def make_weights(folder: Path) -> None:
    """A generator of 64 px whose latents have few dimensions, its discriminator, and labels for its pictures.

    The bundled synthesis network draws the pictures: what it wants to know of its own w, the principal axes
    of that, is folded into its style layers.
    """
    folder.mkdir()
    torch.manual_seed(0)
    full = build_generator(load_checkpoint(BUNDLED))
    small = StyleGANGenerator(
        **NETWORK,
        z_space_dim=LATENT_DIM,
        w_space_dim=LATENT_DIM,
        mapping_layers=2,
        mapping_fmaps=LATENT_DIM,
    ).eval()
    with torch.no_grad():
        w = full.mapping(sample_z(range(1000), 0, full.z_space_dim))
        small_w = small.mapping(sample_z(range(1000), 0, LATENT_DIM))
    _, spread, axes = torch.linalg.svd(w - w.mean(0), full_matrices=False)
    matrix = axes[:LATENT_DIM].T * spread[:LATENT_DIM] / len(w) ** 0.5 / small_w.std(0)
    offset = w.mean(0) - matrix @ small_w.mean(0)
    theirs, state = full.state_dict(), small.state_dict()
    for name, value in theirs.items():
        if not name.startswith("synthesis.") or name not in state:
            continue
        if name.endswith("style.weight"):
            value = value @ matrix * (LATENT_DIM / w.shape[1]) ** 0.5
        elif name.endswith("style.bias"):
            value = value + theirs[name.replace("bias", "weight")] @ offset / w.shape[1] ** 0.5
        state[name] = value
    path = folder / "stylegan_model.pth"
    discriminator = StyleGANDiscriminator(**NETWORK).state_dict()
    save_checkpoint(path, generator_smooth=state, discriminator=discriminator)

    draws = np.random.default_rng(0).random((LABEL_COUNT, 2))
    rows = [
        f"{n:06d}.jpg,{int(quality > 0.2)},{int(gender > 0.2)}" for n, (quality, gender) in enumerate(draws)
    ]
    table = folder / "synthesize_results_quality_and_gender.csv"
    table.write_text("\n".join(["img_name,quality,gender", *rows]) + "\n")
    record = {"weights_id": weights_id(path), "seed": 0, "count": LABEL_COUNT, "made_by": "hand"}
    table.with_suffix(".json").write_text(json.dumps(record))
