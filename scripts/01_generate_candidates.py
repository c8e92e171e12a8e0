"""Generate candidate faces with the original StyleGAN, one seed per image."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Journal, Stage, StageSpec, option
from scripts.pipeline.image_files import read_image
from scripts.pipeline.items import ItemOptions, ItemWork, run_item_stage
from scripts.stages.fetching.weight_files import UNKNOWN, read_origins
from stylegan.seeds import CANDIDATES as SEEDS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from stylegan.stylegan_generator import StyleGANGenerator

WEIGHTS = "stylegan/stylegan_model.pth"
IMAGES = "stylegan/synthesize_results"
CANDIDATES = "stylegan/candidates.csv"
LATENTS = "stylegan/latents.safetensors"
SHEET = "stylegan/candidates_sheet.png"
COLUMNS = ("img_no", "img_path", "seed", "weights_id")
SHEET_COUNT = 96
SHEET_COLUMNS = 12


@dataclass(frozen=True)
class Options(ItemOptions):
    """Generate candidate faces with the original StyleGAN, one seed per image."""

    count: int = option(2000, help="images to generate")
    seed: int = option(0, help=f"image n is made from the seed plus n, which is below {SEEDS.stop}")
    trunc_psi: float = option(1.0, help="truncation: 1 keeps the full variety, 0 gives the mean face only")
    trunc_layers: int = option(
        0, help="layers that truncation applies to, counted from the coarsest; 0: no truncation"
    )
    batch_size: int = option(32, help="images per forward pass", affects_results=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count < 1:
            raise ValueError("--count must be at least 1.")
        if self.seed < SEEDS.start or self.seed + self.count > SEEDS.stop:
            raise ValueError(
                f"--seed must be at least 0, and --seed plus --count at most {SEEDS.stop}: larger seeds "
                "belong to training, control and evaluation, whose people must not be among the candidates."
            )
        if self.trunc_psi != 1 and self.trunc_layers < 1:
            raise ValueError("--trunc-psi needs --trunc-layers, the number of layers to truncate.")


SPEC = StageSpec(
    name="01_generate_candidates",
    inputs=(Input(WEIGHTS, made_by="00_fetch_weights"),),
    outputs=(CANDIDATES, LATENTS, SHEET),
    item_folders=(IMAGES,),
    clears=(IMAGES,),
    next_script="02_filter_candidates",
    several_processes=True,
)


def image_path(img_no: int) -> str:
    """Workspace-relative path of a candidate."""
    return f"{IMAGES}/{img_no:06d}.jpg"


def load_generator(stage: Stage) -> "StyleGANGenerator":
    """The averaged generator of the weights file, in eval mode on the device."""
    from stylegan.checkpoint import CheckpointError, build_generator, load_checkpoint

    mend = f"Fetch it anew: {stage.command('00_fetch_weights', '--force')}"
    with stage.foreseen(CheckpointError, mend=mend):
        checkpoint = load_checkpoint(stage.workspace / WEIGHTS)
        stage.log(f"{WEIGHTS}: {checkpoint.description}, {read_origins(stage).get(WEIGHTS, UNKNOWN)}")
        return build_generator(checkpoint, smooth=True).to(stage.device)


def generate_images(
    stage: Stage, options: Options, generator: "StyleGANGenerator", img_nos: Sequence[int]
) -> "np.ndarray":
    """Images uint8 [N, H, W, 3] RGB; z comes from the number, not from the batch."""
    import torch

    from stylegan.sampling import sample_z, to_uint8

    z = sample_z(img_nos, options.seed, generator.z_space_dim).to(stage.device)
    with torch.inference_mode():
        output = generator(z, trunc_psi=options.trunc_psi, trunc_layers=options.trunc_layers)
    return to_uint8(output["image"])


def make_candidates(
    stage: Stage, options: Options, batches: Sequence[Sequence[int]], journal: Journal
) -> None:
    """Generate the images of the batches."""
    from stylegan.checkpoint import weights_id

    if not batches:
        return
    generator = load_generator(stage)
    identity = weights_id(stage.workspace / WEIGHTS)
    with stage.progress(sum(map(len, batches))) as progress:
        for batch in batches:
            images = generate_images(stage, options, generator, batch)
            for img_no, image in zip(batch, images, strict=True):
                stage.save_image(image_path(img_no), image, subsampling=0)
                if img_no not in journal:
                    row = (img_no, image_path(img_no), options.seed + img_no, identity)
                    journal.append(dict(zip(COLUMNS, row, strict=True)))
                progress.update()


def all_latents(stage: Stage, options: Options, generator: "StyleGANGenerator") -> dict[str, "torch.Tensor"]:
    """z [N, z_dim] and w [N, w_dim] (before truncation), float32 on the CPU; row n belongs to image n."""
    import torch

    from stylegan.sampling import sample_z

    z = sample_z(range(options.count), options.seed, generator.z_space_dim)
    with torch.inference_mode():
        w = torch.cat([generator.mapping(part.to(stage.device)).cpu() for part in z.split(1024)])
    return {"z": z.float().contiguous(), "w": w.float().contiguous()}


def save_sheet(stage: Stage, count: int) -> None:
    """Contact sheet of the first candidates, read back from their files."""
    from scripts.pipeline.pictures import contact_sheet

    img_nos = range(min(count, SHEET_COUNT))
    images = [read_image(stage.workspace / image_path(img_no)) for img_no in img_nos]
    scale = max(1, 128 // images[0].shape[0])
    stage.save_image(SHEET, contact_sheet(images, SHEET_COLUMNS, [str(img_no) for img_no in img_nos], scale))


def finish(stage: Stage, options: Options, candidates: "pd.DataFrame") -> None:
    """Write the tables and the contact sheet."""
    from safetensors.torch import save_file

    from stylegan.checkpoint import weights_id

    generator = load_generator(stage)
    identity = weights_id(stage.workspace / WEIGHTS)
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
            "weights": f"{identity}, {read_origins(stage).get(WEIGHTS, UNKNOWN)}",
        },
        [SHEET, CANDIDATES, IMAGES],
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


if __name__ == "__main__":
    run_item_stage(SPEC, Options, WORK)
