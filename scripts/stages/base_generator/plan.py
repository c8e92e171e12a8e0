"""The plan of a generator training, and the weights that it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scripts.pipeline import UserError
from scripts.pipeline.layers import read_toml
from scripts.stages.base_generator.options import Options
from stylegan.checkpoint import Checkpoint, CheckpointError, load_checkpoint, weights_id
from stylegan.phases import Architecture, TrainingConfig, phases_from_tables
from stylegan.training import build_networks
from stylegan.transfer import transferable_weights

DEFAULT_INTERVAL_KIMG = 10.0
INTERVALS_PER_PLAN = 20
FROM_INIT = ("init", "init_resolution", "rotation_seed")


def read_plan(options: Options) -> tuple[TrainingConfig, Checkpoint | None]:
    """Read the plan and, with ``--init``, the weights to start from.

    The networks of the weights are the default of the plan's.

    Raises:
        UserError: names what is wrong with the plan, or why the weights cannot be used.
    """
    tables = read_toml(options.plan)
    for key in FROM_INIT:
        if key in tables:
            raise UserError(f"{options.plan} sets {key}, which comes from a weights file: use --init FILE.")
    init = None
    if options.init is not None:
        init = _open_weights(options.init, tables.get("architecture"))
        tables |= _networks_and_origin(options.plan, tables, options.init, init)
    elif "generator" not in tables:
        raise UserError(
            f"{options.plan} has no [generator] table, so it starts from trained weights. Say which:\n"
            "    --init data/embedded/stylegan_model.safetensors"
        )
    if options.freeze_d is not None:
        tables["freeze_d"] = options.freeze_d
    try:
        phases = phases_from_tables(tables.pop("phases", ()))
        config = TrainingConfig(phases=phases, **tables)
        # Without their weights: what cannot be built should be known before the images are rendered.
        with torch.device("meta"):
            build_networks(config)
        return config, init
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{options.plan} is not a usable training plan: {error}") from error


def _open_weights(path: Path, architecture: Architecture | None) -> Checkpoint:
    try:
        checkpoint = load_checkpoint(path)
        transferable_weights(checkpoint, architecture or checkpoint.architecture)
    except CheckpointError as error:
        raise UserError(f"--init {path} cannot be used. {error}") from error
    return checkpoint


def _networks_and_origin(plan: Path, tables: dict[str, Any], path: Path, init: Checkpoint) -> dict[str, Any]:
    """What ``--init`` adds to the tables of a plan."""
    generator = {**init.config, **tables.get("generator", {})}
    resolution, trained = generator["resolution"], init.config["resolution"]
    discriminator = {**init.discriminator_config, "resolution": resolution, **tables.get("discriminator", {})}
    if resolution < trained:
        raise UserError(
            f"{plan} trains {resolution} px, but {path} draws {trained} px: a training can "
            "add blocks to trained networks, not drop them. Leave [generator] out of the plan to train "
            f"{trained} px."
        )
    latents = init.extra["metadata"].get("latents") or {}
    return {
        "architecture": init.architecture,
        "generator": generator,
        "discriminator": discriminator,
        "init": weights_id(path),
        "init_resolution": trained,
        "rotation_seed": latents.get("rotation_seed"),
    }


def interval_images(given_kimg: float | None, config: TrainingConfig) -> float:
    """Images between two previews or measurements: as told, else a twentieth of the plan; 0 = never."""
    if given_kimg is not None:
        return given_kimg * 1000
    planned = sum(phase.kimg for phase in config.phases) / INTERVALS_PER_PLAN
    return 1000 * (planned if all(phase.kimg > 0 for phase in config.phases) else DEFAULT_INTERVAL_KIMG)
