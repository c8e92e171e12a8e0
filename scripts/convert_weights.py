"""Turn a StyleGAN weights file of any known program into one of ours, and show what it draws."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, ToolOptions, UsageError, files, option, run_tool
from scripts.stages.sheets import contact_sheet

# isort: split
import tyro  # behind `scripts`, which says in a sentence where it is missing

if TYPE_CHECKING:
    from stylegan.checkpoint import Checkpoint

SAMPLES = 16
COLUMNS = 4
BATCH_SIZE = 4
CELL_PX = 256
EXAMPLE = "Type\n    python scripts/convert_weights.py ffhq.pkl ffhq.safetensors"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Turn a StyleGAN weights file of any known program into one of ours, and show what it draws."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = option(
        Path(), help="weights of GenForce, OpenMMLab, InterFaceGAN, rosinality, or NVIDIA's StyleGAN2-ADA"
    )
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")] = option(
        Path(), help="the file to write; the samples lie beside it, as .png"
    )
    seed: int = option(0, help="sample n of the 16 is drawn from seed SEED + n")
    trunc_psi: float = option(0.7, help="truncation of the samples: 1 none, 0 the average")
    turn_colours: bool = option(False, help="exchange red and blue, where the samples show blue faces")
    small: bool = option(
        False, help="half precision, and of two generators the averaged one alone: a third of the size"
    )
    force: bool = option(False, help="replace the output if it exists")


def check_paths(options: Options) -> Path:
    """Raise UsageError unless the output can be written; returns the path of the samples beside it."""
    if Path() in (options.file, options.out) or options.out.suffix != ".safetensors":
        raise UsageError(f"it takes the file to read and a .safetensors file to write. {EXAMPLE}")
    sheet = options.out.with_suffix(".png")
    for path in (options.out, sheet):
        if path.exists() and not options.force:
            raise UsageError(
                f"{path} exists, and what is in it would be lost. Give another name, or --force."
            )
    if options.out.exists() and options.out.samefile(options.file):
        raise UsageError(f"{options.file} would be replaced by its own conversion. Give another name.")
    return sheet


def write(checkpoint: Checkpoint, source: str, options: Options) -> None:
    """Write the networks under our names, with their configuration."""
    from stylegan.checkpoint import NETWORKS, save_checkpoint
    from stylegan.layouts import with_turned_colours

    states = {name: getattr(checkpoint, name) for name in NETWORKS}
    if options.turn_colours:
        states = {name: state and with_turned_colours(state) for name, state in states.items()}
    if options.small:
        states = {
            name: state and {key: value.half() for key, value in state.items()}
            for name, state in states.items()
        }
        states["generator"] = None if states["generator_smooth"] else states["generator"]
    metadata = {
        **checkpoint.extra.get("metadata", {}),
        "config": checkpoint.config,
        "discriminator_config": checkpoint.discriminator_config,
        "converted_from": source,
        "description": checkpoint.description,
        "notes": list(checkpoint.notes),
    }
    save_checkpoint(options.out, **states, metadata=metadata)


def run(tool: Tool, options: Options) -> None:
    """Read, draw, write and say what was found. Nothing is written unless the pictures could be drawn."""
    import torch

    from stylegan.checkpoint import CheckpointError, build_generator, load_checkpoint
    from stylegan.sampling import sample_z, synthesize, to_uint8

    sheet_path = check_paths(options)
    with tool.foreseen(CheckpointError, OSError):
        checkpoint = load_checkpoint(options.file)
        generator = build_generator(checkpoint).to(tool.device)
    z = sample_z(range(SAMPLES), options.seed, generator.z_space_dim)
    parts = synthesize(generator, z, batch_size=BATCH_SIZE, trunc_psi=options.trunc_psi)
    images = to_uint8(torch.cat([part["image"] for part in parts]))
    if options.turn_colours:
        images = images[..., ::-1]
    write(checkpoint, options.file.name, options)
    scale = max(1, CELL_PX // generator.resolution)
    files.write(sheet_path, contact_sheet(images, COLUMNS, scale=scale))
    tool.log(f"Found: {checkpoint.description}.")
    for note in checkpoint.notes:
        tool.log(f"Note: {note}.")
    if checkpoint.discriminator is None:
        tool.log("Note: there is no discriminator; what trains one has to start from a fresh one.")
    tool.finish({"found": checkpoint.description}, [str(options.out), str(sheet_path)])
    tool.log(f"Wrote {options.out}, and {SAMPLES} samples: {sheet_path}")


if __name__ == "__main__":
    run_tool(Options, run)
