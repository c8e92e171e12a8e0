"""What 25 does: bits and decibels of the VAE, and what the judges of 09 read from its pictures."""

from __future__ import annotations

import time
from typing import Any

import torch
from PIL import Image

from cvae.conditions import NEUTRAL
from cvae.evaluation import held_out_measures
from cvae.model import ConditionalVAE
from scripts.pipeline import Stage, files
from scripts.stages import scores
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.generating import load_vae
from scripts.stages.evaluating import goals
from scripts.stages.evaluating.judges import Judges
from scripts.stages.evaluating.readings import Requests, VersionReadings
from scripts.stages.evaluating.summary import summarise
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.sheets import labelled_grid
from stylegan.sampling import sample_z, to_uint8
from stylegan_modified.fine_tuning import TrainingPictures

SHEET_PEOPLE = 10
TIMED_PICTURES = 256


def evaluate(stage: Stage, options: Any) -> None:
    """Measure, and write results for people and programs."""
    keep_freed_memory()
    model = load_vae(stage, architecture="" if options.architecture == "any" else options.architecture)
    seen, unseen = dataset.load_dataset(stage)
    found: dict[str, Any] = {
        "architecture": model.config.architecture,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "held_out": held_out_measures(model, unseen),
        "pictures_per_second": decoding_speed(model),
    }
    stage.write(at.VAE_TEMPERATURES, temperatures(model, seen, options))
    lines = ["# The conditional VAE", "", *described(found)]
    numbers = {
        "held-out people": f"{found['held_out']['bits_per_dimension']:.3f} bits per dimension, "
        f"{found['held_out']['psnr']:.1f} dB (n = {found['held_out']['count']})"
    }
    if options.judged:
        statistics = scores.load_statistics(stage)
        judges, requests = Judges(stage, statistics), Requests(stage, statistics, options.seed)
        readings = VersionReadings(stage, "cvae", judges, requests)
        found["judged"] = summarise(readings.measure(), judges, requests, options, readings.dials)
        lines += ["", goals.markdown({"cvae": found["judged"]}, [])]
        judged = found["judged"]
        known = [value for value in judged["control"].values() if value is not None]
        lowest = f"{min(known):.3f}" if known else "unknown"
        numbers["conditions"] = (
            f"control r at least {lowest} in {len(known)} of {len(readings.dials)} conditions, "
            f"{judged['readable']:.0%} of the pictures readable, KID {judged['kid']:.2f}"
        )
    stage.write(at.VAE_RESULTS, found)
    files.write(stage.path(at.VAE_RESULTS_TEXT), "\n".join([*lines, ""]))
    stage.finish(numbers, [at.VAE_RESULTS_TEXT, at.VAE_TEMPERATURES])


def described(found: dict[str, Any]) -> list[str]:
    """The VAE's own measures as a table."""
    held_out = found["held_out"]
    by_latent = ", ".join(f"{cost:.3f}" for cost in held_out["kl_bits_by_latent"])
    bits = held_out["bits_per_dimension"]
    rows = {
        "architecture": found["architecture"],
        "parameters": f"{found['parameters'] / 1e6:.2f} million",
        f"bits per dimension (n = {held_out['count']} held-out people)": f"{bits:.3f}",
        "of it divergence": f"{held_out['kl_bits']:.3f}",
        "by latent, the coarsest first": by_latent,
        "PSNR of reconstructions, dB": f"{held_out['psnr']:.2f}",
        "pictures decoded per second": f"{found['pictures_per_second']:.0f}",
    }
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


@torch.inference_mode()
def decoding_speed(model: ConditionalVAE) -> float:
    """Pictures decoded in a second of the processor, in batches of 64."""
    device = next(model.parameters()).device
    z = sample_z(range(64), 0, model.z_space_dim).to(device)
    conditions = torch.full((64, len(model.config.condition_names)), NEUTRAL, device=device)
    model.decode(z, conditions)
    started = time.process_time()
    for _ in range(TIMED_PICTURES // 64):
        model.decode(z, conditions).picture.cpu()
    return TIMED_PICTURES / max(time.process_time() - started, 1e-6)


@torch.inference_mode()
def temperatures(model: ConditionalVAE, data: TrainingPictures, options: Any) -> Image.Image:
    """The same people at each temperature, with conditions of training pictures."""
    device = next(model.parameters()).device
    z = sample_z(range(SHEET_PEOPLE), options.seed, model.z_space_dim).to(device)
    known = data.properties[:, : len(model.config.condition_names)]
    asked = dataset.drawn(known, SHEET_PEOPLE, options.seed).to(device)
    grid = [list(to_uint8(model.decode(z, asked, t).picture)) for t in options.temperatures]
    titles = [f"temperature {t:g}" for t in options.temperatures]
    return labelled_grid(grid, titles, [""] * SHEET_PEOPLE, 2)
