"""The work of stage 01: candidates from the original StyleGAN, each from the seed of its number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from scripts.pipeline import Journal, Stage, files
from scripts.pipeline.items import ItemWork
from scripts.stages.fetching.weight_files import ORIGINS, UNKNOWN, read_record
from scripts.stages.image_files import read_image
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import CANDIDATE_PICTURES, CANDIDATE_SHEET, CANDIDATES, GENERATOR, LATENTS
from stylegan.checkpoint import CheckpointError, build_generator, load_checkpoint, weights_id
from stylegan.interface import Generator
from stylegan.sampling import sample_z, to_uint8

COLUMNS = ("img_no", "img_path", "seed", "weights_id")
SHEET_COUNT, SHEET_COLUMNS = 96, 12
WRITER_THREADS = 4


def image_path(img_no: int) -> str:
    """Workspace-relative path of a candidate."""
    return f"{CANDIDATE_PICTURES}/{img_no:06d}.jpg"


@lru_cache(maxsize=1)  # of one run: its check, its pictures and its latents
def load_generator(stage: Stage) -> Generator:
    """The averaged generator of the weights file, in eval mode on the device."""
    mend = f"Fetch it anew: {stage.command('00_fetch_weights', '--force')}"
    with stage.foreseen(CheckpointError, mend=mend):
        checkpoint = load_checkpoint(stage.workspace / GENERATOR)
        origin = read_record(stage, ORIGINS).get(GENERATOR, UNKNOWN)
        stage.log(f"{GENERATOR}: {checkpoint.description}, {origin}")
        return build_generator(checkpoint, smooth=True).to(stage.device)


@torch.inference_mode()
def make_candidates(stage: Stage, options: Any, batches: Sequence[Sequence[int]], journal: Journal) -> None:
    """Generate the images of the batches; z comes from the number of an image, not from its batch."""
    if not batches:
        return
    generator = load_generator(stage)
    identity = weights_id(stage.workspace / GENERATOR)

    def draw(batch: Sequence[int]) -> np.ndarray:
        z = sample_z(batch, options.seed, generator.z_space_dim).to(stage.device)
        return to_uint8(generator(z, trunc_psi=options.trunc_psi, trunc_layers=options.trunc_layers)["image"])

    def save(img_no: int, image: np.ndarray) -> int:
        files.write(stage.path(image_path(img_no)), image, subsampling=0)
        return img_no

    with stage.progress(sum(map(len, batches))) as progress, ThreadPoolExecutor(WRITER_THREADS) as writers:
        saving: Iterable[int] = ()
        for batch in (*batches, ()):  # the last round only records
            ahead = writers.map(save, batch, draw(batch)) if batch else ()
            for img_no in saving:  # files are written while the next batch is drawn
                if img_no not in journal:
                    row = (img_no, image_path(img_no), options.seed + img_no, identity)
                    journal.append(dict(zip(COLUMNS, row, strict=True)))
                progress.update()
            saving = ahead


@torch.inference_mode()
def finish(stage: Stage, options: Any, candidates: pd.DataFrame) -> None:
    """Write the tables, the latents and the contact sheet of the first candidates."""
    generator = load_generator(stage)
    identity = weights_id(stage.workspace / GENERATOR)
    z = sample_z(range(options.count), options.seed, generator.z_space_dim)
    w = torch.cat([generator.mapping(part.to(stage.device)).cpu() for part in z.split(1024)])
    latents = {"z": z.float().contiguous(), "w": w.float().contiguous()}  # w before truncation
    with stage.atomic(LATENTS) as temporary:
        # One entry: the order of several would differ from file to file, and with it the checksum.
        metadata = {"metadata": json.dumps({"seed": options.seed, "weights_id": identity})}
        save_file(latents, temporary, metadata=metadata)
    first = range(min(options.count, SHEET_COUNT))
    images = [read_image(stage.workspace / image_path(img_no)) for img_no in first]
    scale = max(1, 128 // images[0].shape[0])
    stage.write(CANDIDATE_SHEET, contact_sheet(images, SHEET_COLUMNS, list(map(str, first)), scale))
    stage.write(CANDIDATES, candidates)
    stage.finish(
        {
            "images": f"{len(candidates)} of {generator.resolution} px",
            "seeds": f"from {options.seed}",
            "weights": f"{identity}, {read_record(stage, ORIGINS).get(GENERATOR, UNKNOWN)}",
        },
        [CANDIDATE_SHEET, CANDIDATES, CANDIDATE_PICTURES],
    )


WORK = ItemWork(
    columns=lambda options: COLUMNS,
    keys=lambda stage, options: range(options.count),
    files=lambda row: (row["img_path"],),
    make=make_candidates,
    finish=finish,
)
