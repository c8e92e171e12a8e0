"""What train_oracle does: it draws people, trains the oracle on their truth, judges and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnn.oracle import Oracle, OracleConfig, load_oracle, save_oracle
from cnn.oracle_training import OracleTrainer, OracleTrainingOptions, PairedPortraits, evaluate_oracle
from data import portraits
from data.portraits import TRUTH_NAMES, check_size
from scripts.pipeline import REPOSITORY, Tool, files
from scripts.pipeline.files import ArrayFileError, read_arrays
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.sheets import contact_sheet
from scripts.stages.training import train_one_network
from scripts.stages.training_options import stored_command
from stylegan.parallel import Processes

FOLDER = "train_oracle"
SHEET = f"{FOLDER}/pairs.png"
HELD_OUT_SEED = 2_000_000
PEOPLE_PER_PIECE = 250
LOSSES = ("gender", "quality", "properties", "identity")
# What a checkpoint must agree with to be continued.
TRAINED = (
    *("people", "first_seed", "portrait_size_px", "steps", "people_per_batch", "learning_rate"),
    *("trunk", "stem_channels", "stage_channels", "seed"),
)


def draw_people(tool: Tool, options: Any, first_seed: int, people: int) -> PairedPortraits:
    """Two portraits of each person; drawn in pieces, each of which is drawn only once.

    Person i has the seeds first_seed + 2i and first_seed + 2i + 1.
    """
    size = options.portrait_size_px
    with tool.foreseen(ValueError, mend="Give another --portrait-size-px."):
        check_size(size)
    pieces = []
    with tool.progress(people, "people") as progress:
        for start in range(0, people, PEOPLE_PER_PIECE):
            count = min(PEOPLE_PER_PIECE, people - start)
            name = f"{FOLDER}/people_{size}px_{first_seed + 2 * start}_{count}.npz"
            if not (tool.workspace / name).is_file():
                seeds = range(first_seed + 2 * start, first_seed + 2 * (start + count))
                _draw_piece(tool, name, seeds, size, options.processes)
            with tool.foreseen(ArrayFileError, mend="Remove it; it is drawn again."):
                piece = read_arrays(tool.workspace / name, ("images", "truth"))
            pieces.append((piece["images"], piece["truth"]))
            progress.update(count)
    images, truth = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return PairedPortraits(images, truth, TRUTH_NAMES.index("pose"))


def _draw_piece(tool: Tool, name: str, seeds: Sequence[int], size: int, processes: int) -> None:
    latents = portraits.sample_latents(seeds[0::2])
    first = portraits.render_many(seeds[0::2], size, processes, latents)
    second = portraits.render_many(seeds[1::2], size, processes, portraits.same_person(latents, seeds[1::2]))
    images = np.stack([first.images, second.images], axis=1)
    with tool.atomic(name) as temporary:
        np.savez(temporary, images=images, truth=np.stack([first.truth, second.truth], axis=1))


def build_trainer(tool: Tool, options: Any) -> OracleTrainer:
    """The untrained oracle with its portraits."""
    config = OracleConfig(
        property_names=TRUTH_NAMES[2:],
        image_size=options.portrait_size_px,
        stem_channels=options.stem_channels,
        stage_channels=options.stage_channels,
        trunk=options.trunk,
    )
    recipe = OracleTrainingOptions(
        steps=options.steps,
        people_per_batch=options.people_per_batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    if tool.writes:  # the other processes find the pieces on the disk
        draw_people(tool, options, options.first_seed, options.people)
    Processes.of_this_run().wait()
    people = draw_people(tool, options, options.first_seed, options.people)
    torch.manual_seed(options.seed)
    with tool.foreseen(ValueError):
        return OracleTrainer(Oracle(config), people, recipe, tool.device)


def save_weights(tool: Tool, options: Any, trainer: OracleTrainer, figures: dict[str, Any]) -> Path:
    """Write the weights with what is needed to make them again and what they are worth."""
    last = options.first_seed + 2 * options.people - 1
    notes = {
        "command": stored_command(options, tool.name),
        "seed": options.seed,
        "trained_on": f"portraits of data/portraits, seeds {options.first_seed} to {last}",
        "held_out": f"portraits of data/portraits, {2 * options.held_out} seeds from {HELD_OUT_SEED}",
        "figures": figures,
        "torch": torch.__version__,
    }
    path = REPOSITORY / options.out
    files.remove_leftovers((path.parent,), deep=False)
    with files.atomic_path(path) as temporary:
        save_oracle(temporary, trainer.oracle, notes)
    return path


def run(tool: Tool, options: Any) -> None:
    """Draw, train, write, judge what was written."""
    with tool.alone_in(tool.workspace / FOLDER):
        train(tool, options)


def train(tool: Tool, options: Any) -> None:
    """All of it, while no other run does the same in this workspace."""
    keep_freed_memory()
    trainer = build_trainer(tool, options)
    pairs = trainer.portraits.images[:48].reshape(-1, *trainer.portraits.images.shape[2:])
    tool.write(SHEET, contact_sheet(pairs, columns=12))
    made_for = {name: getattr(options, name) for name in TRAINED}
    train_one_network(tool, trainer, FOLDER, LOSSES, made_for, 2 * options.people_per_batch)
    if not tool.writes:
        return

    people = draw_people(tool, options, HELD_OUT_SEED, options.held_out)
    path = save_weights(tool, options, trainer, evaluate_oracle(trainer.oracle, people))
    figures = evaluate_oracle(load_oracle(path, tool.device), people)
    numbers = {name: f"{value:.4f}" for name, value in {**figures.pop("property_r"), **figures}.items()}
    for name, value in numbers.items():
        tool.log(f"  {name}: {value}")
    tool.finish(numbers, [str(path), SHEET])
    tool.log(f"Measured on {options.held_out} held-out people; property figures are Pearson r.")
    tool.log(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB). Look at {tool.workspace / SHEET}.")
