"""The work of stage 01: candidates from the original StyleGAN, each from the seed of its number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from scripts.pipeline import Journal, Stage
from scripts.pipeline.image_files import read_image
from scripts.pipeline.items import ItemWork
from scripts.pipeline.pictures import contact_sheet
from scripts.stages.fetching.weight_files import UNKNOWN, read_origins
from scripts.stages.workspace import (
    CANDIDATE_PICTURES,
    CANDIDATE_SHEET,
    CANDIDATES,
    GENERATOR,
    LATENTS,
)
from stylegan.checkpoint import CheckpointError, build_generator, load_checkpoint, weights_id
from stylegan.interface import Generator
from stylegan.sampling import sample_z, to_uint8

COLUMNS = ("img_no", "img_path", "seed", "weights_id")
SHEET_COUNT = 96
SHEET_COLUMNS = 12


def image_path(img_no: int) -> str:
    """Workspace-relative path of a candidate."""
    return f"{CANDIDATE_PICTURES}/{img_no:06d}.jpg"


def load_generator(stage: Stage) -> Generator:
    """The averaged generator of the weights file, in eval mode on the device."""
    mend = f"Fetch it anew: {stage.command('00_fetch_weights', '--force')}"
    with stage.foreseen(CheckpointError, mend=mend):
        checkpoint = load_checkpoint(stage.workspace / GENERATOR)
        stage.log(f"{GENERATOR}: {checkpoint.description}, {read_origins(stage).get(GENERATOR, UNKNOWN)}")
        return build_generator(checkpoint, smooth=True).to(stage.device)


def generate_images(stage: Stage, options: Any, generator: Generator, img_nos: Sequence[int]) -> np.ndarray:
    """Images uint8 [N, H, W, 3] RGB; z comes from the number, not from the batch."""
    z = sample_z(img_nos, options.seed, generator.z_space_dim).to(stage.device)
    with torch.inference_mode():
        output = generator(z, trunc_psi=options.trunc_psi, trunc_layers=options.trunc_layers)
    return to_uint8(output["image"])


def make_candidates(stage: Stage, options: Any, batches: Sequence[Sequence[int]], journal: Journal) -> None:
    """Generate the images of the batches."""
    if not batches:
        return
    generator = load_generator(stage)
    identity = weights_id(stage.workspace / GENERATOR)
    with stage.progress(sum(map(len, batches))) as progress:
        for batch in batches:
            images = generate_images(stage, options, generator, batch)
            for img_no, image in zip(batch, images, strict=True):
                stage.save_image(image_path(img_no), image, subsampling=0)
                if img_no not in journal:
                    row = (img_no, image_path(img_no), options.seed + img_no, identity)
                    journal.append(dict(zip(COLUMNS, row, strict=True)))
                progress.update()


def all_latents(stage: Stage, options: Any, generator: Generator) -> dict[str, torch.Tensor]:
    """z [N, z_dim] and w [N, w_dim] (before truncation), float32 on the CPU; row n belongs to image n."""
    z = sample_z(range(options.count), options.seed, generator.z_space_dim)
    with torch.inference_mode():
        w = torch.cat([generator.mapping(part.to(stage.device)).cpu() for part in z.split(1024)])
    return {"z": z.float().contiguous(), "w": w.float().contiguous()}


def save_sheet(stage: Stage, count: int) -> None:
    """Contact sheet of the first candidates, read back from their files."""
    img_nos = range(min(count, SHEET_COUNT))
    images = [read_image(stage.workspace / image_path(img_no)) for img_no in img_nos]
    scale = max(1, 128 // images[0].shape[0])
    stage.save_image(
        CANDIDATE_SHEET, contact_sheet(images, SHEET_COLUMNS, [str(img_no) for img_no in img_nos], scale)
    )


def finish(stage: Stage, options: Any, candidates: pd.DataFrame) -> None:
    """Write the tables and the contact sheet."""
    generator = load_generator(stage)
    identity = weights_id(stage.workspace / GENERATOR)
    with stage.atomic(LATENTS) as temporary:
        # One entry: the order of several would differ from file to file, and with it the checksum.
        metadata = {"metadata": json.dumps({"seed": options.seed, "weights_id": identity})}
        save_file(all_latents(stage, options, generator), temporary, metadata=metadata)
    save_sheet(stage, options.count)
    stage.write_csv(CANDIDATES, candidates)
    stage.finish(
        {
            "images": f"{len(candidates)} of {generator.resolution} px",
            "seeds": f"from {options.seed}",
            "weights": f"{identity}, {read_origins(stage).get(GENERATOR, UNKNOWN)}",
        },
        [CANDIDATE_SHEET, CANDIDATES, CANDIDATE_PICTURES],
    )


def files_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """The picture that a row of the journal vouches for."""
    return (row["img_path"],)


WORK = ItemWork(
    columns=lambda options: COLUMNS,
    keys=lambda stage, options: range(options.count),
    files=files_of,
    make=make_candidates,
    finish=finish,
)
