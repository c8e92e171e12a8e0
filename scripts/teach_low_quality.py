"""Teach a trained generator the portraits' fault of low quality (a blurred top), on its own pictures.

One portrait in twenty has the fault, and it moves few pixels by little, so adversarial training leaves it
out. Two steps put it in: the synthesis learns a direction in w that blurs the top of its own picture and
changes nothing else; then the mapping learns to add that direction for latents of low quality.
"""

import copy
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.fast_memory import keep_freed_memory
from scripts.pipeline import Tool, ToolOptions, UserError, option, run_tool

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

FAULT = "blur"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Teach a trained generator the portraits' fault of low quality, on its own pictures."""

    weights: Path = option(Path("stylegan_model.safetensors"), help="weights that train_stylegan.py wrote")
    output: Path = option(
        Path("data/embedded/stylegan_model.safetensors"), help="half-precision weights to write"
    )
    steps: int = option(500, help="steps of the synthesis network")
    mapping_steps: int = option(4000, help="steps of the mapping network")
    batch_size: int = option(
        32, help="pictures per step of the synthesis network, half of them of low quality"
    )
    learning_rate: float = option(2e-3, help="Adam step size at the start; it falls to a twentieth")
    mapping_rate: float = option(100.0, help="step size of the mapping network relative to the others")
    seed: int = option(0, help="of the latents")


def draw_z(
    options: Options, step: int, count: int, rotation: "Tensor", size: int
) -> "tuple[Tensor, np.ndarray]":
    """Latents z [count, z_dim], half of them of low quality, and the strength of their blur [count]."""
    import numpy as np
    import torch

    from data import portraits
    from stylegan.latents import latents_to_z

    rng = np.random.default_rng((options.seed, step))
    latents = rng.standard_normal((count, size)).astype(np.float32)
    column = portraits.COORDINATES.index(FAULT)
    # Blur is a function of this coordinate alone, and low quality is one of its ends.
    values = np.linspace(-4, 4, 801, dtype=np.float32)
    table = blur_table(values, size)
    low = values[table > 0]
    weights = np.exp(-(low**2) / 2)
    latents[: count // 2, column] = rng.choice(low, count // 2, p=weights / weights.sum())
    nuisance = torch.from_numpy(rng.standard_normal((count, len(rotation) - size))).float()
    strengths = np.interp(latents[:, column], values, table)
    return latents_to_z(torch.from_numpy(latents), nuisance, rotation), strengths


@functools.lru_cache(maxsize=1)
def _blur_curve(size: int, low: float, high: float, count: int) -> "np.ndarray":
    import numpy as np

    from data import portraits

    latents = np.zeros((count, size), np.float32)
    latents[:, portraits.COORDINATES.index(FAULT)] = np.linspace(low, high, count)
    return np.array([portraits.parameters_from_latent(latent, 0).blur for latent in latents])


def blur_table(values: "np.ndarray", size: int) -> "np.ndarray":
    """Strength of the blur at evenly spaced values of its coordinate."""
    return _blur_curve(size, float(values[0]), float(values[-1]), len(values))


def with_fault(images: "Tensor", strengths: "np.ndarray") -> "Tensor":
    """Pictures [N, 3, H, W] in [-1, 1] with their tops blurred where the strength is above zero."""
    import numpy as np
    import torch

    from data import portraits

    pixels = images.permute(0, 2, 3, 1).numpy() * 0.5 + 0.5
    faulty = [
        portraits.blur_top(image, strength) if strength > 0 else image
        for image, strength in zip(pixels, strengths, strict=True)
    ]
    return torch.from_numpy(np.stack(faulty)).permute(0, 3, 1, 2) * 2 - 1


def teach_synthesis(
    tool: Tool, options: Options, teacher: "nn.Module", student: "nn.Module", latents
) -> "Tensor":
    """Train the student's synthesis and a direction in w; returns the direction [w_dim]."""
    import torch

    from stylegan.losses import pyramid_loss

    spread = teacher.mapping(draw_z(options, 0, 512, *latents)[0]).std(dim=0).detach()
    direction = torch.nn.Parameter(
        torch.randn(len(spread), generator=torch.Generator().manual_seed(options.seed))
    )
    optimizer = torch.optim.Adam(
        [*student.synthesis.parameters()], lr=options.learning_rate, betas=(0.9, 0.99)
    )
    optimizer.add_param_group({"params": [direction], "factor": 5.0})
    total = 0.0
    with tool.progress(options.steps, "steps") as progress:
        for step in range(options.steps):
            z, strengths = draw_z(options, step, options.batch_size, *latents)
            with torch.no_grad():
                found = teacher(z)
                target = with_fault(found["image"].clamp(-1, 1), strengths)
            for group in optimizer.param_groups:
                group["lr"] = (
                    options.learning_rate * group.get("factor", 1.0) * 0.05 ** (step / options.steps)
                )
            w = found["w"] + torch.from_numpy(strengths).float()[:, None] * direction * spread
            loss = pyramid_loss(student.synthesis(student.truncation(w)), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            if step % 100 == 99:
                tool.log(f"synthesis, step {step + 1}: distance {total / 100:.4f}")
                total = 0.0
            progress.update()
    return (direction * spread).detach()


def teach_mapping(
    tool: Tool, options: Options, teacher: "nn.Module", student: "nn.Module", latents, direction: "Tensor"
) -> None:
    """Train the student's mapping to add the direction for latents of low quality."""
    import torch

    optimizer = torch.optim.Adam(student.mapping.parameters(), lr=1.0, betas=(0.9, 0.99))
    scale = direction.norm()
    total = 0.0
    with tool.progress(options.mapping_steps, "steps") as progress:
        for step in range(options.mapping_steps):
            z, strengths = draw_z(options, 1_000_000 + step, 512, *latents)
            with torch.no_grad():
                target = teacher.mapping(z) + torch.from_numpy(strengths).float()[:, None] * direction
            rate = options.learning_rate * options.mapping_rate * 0.02 ** (step / options.mapping_steps)
            optimizer.param_groups[0]["lr"] = rate
            loss = ((student.mapping(z) - target) / scale).square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            if step % 500 == 499:
                tool.log(f"mapping, step {step + 1}: squared error {total / 500:.4f} of the direction's")
                total = 0.0
            progress.update()


def run(tool: Tool, options: Options) -> None:
    from stylegan.checkpoint import CheckpointError, build_generator, load_checkpoint, save_checkpoint
    from stylegan.latents import latent_rotation

    keep_freed_memory()
    with tool.foreseen(CheckpointError):
        checkpoint = load_checkpoint(options.weights)
    metadata = checkpoint.extra["metadata"]
    if "latents" not in metadata:
        raise UserError(
            f"{options.weights} was not trained on portraits, so their fault means nothing to it."
        )
    teacher = build_generator(checkpoint)
    student = copy.deepcopy(teacher).train()
    rotation = latent_rotation(teacher.z_space_dim, metadata["latents"]["rotation_seed"])
    latents = (rotation, metadata["latents"]["size"])
    direction = teach_synthesis(tool, options, teacher, student, latents)
    teach_mapping(tool, options, teacher, student, latents, direction)
    states = {
        "generator": checkpoint.generator,
        "discriminator": checkpoint.discriminator,
        "generator_smooth": student.state_dict(),
    }
    halves = {name: {key: value.half() for key, value in state.items()} for name, state in states.items()}
    save_checkpoint(options.output, **halves, metadata=metadata)
    tool.log(f"wrote {options.output}")


if __name__ == "__main__":
    run_tool(Options, run)
