"""Labels that networks make, in place of hand labels or for a person to correct."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnn.gender_head import is_gender_head, load_gender_head, read_genders
from cnn.oracle import read_pictures
from scripts.pipeline import REPOSITORY, Tool, UserError, files, tables
from scripts.stages import generated_pictures, scores
from scripts.stages.filtering.hand_labels import MACHINE, MADE_BY, is_machine_made, probability_of
from scripts.stages.filtering.photograph_labels import ask_witnesses, quality_probabilities
from scripts.stages.training_options import stored_command
from scripts.stages.workspace import CANDIDATES, FILTERS, GENERATOR, LABELS, LABELS_RECORD
from segmentation.facexformer import load_facexformer
from segmentation.facexformer_config import FaceXFormerWeightsError
from segmentation.segmenter import Segmenter
from stylegan.checkpoint import CheckpointError, build_discriminator, load_checkpoint
from stylegan.checkpoint import weights_id as weights_id_of
from stylegan.interface import Discriminator
from stylegan.sampling import from_uint8

THRESHOLD = 0.5
NETWORK_TRAINING = "--trunk strided --first-seed 4000000"

Reader = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Pictures uint8 [N, H, W, 3] -> probabilities [N] of "gender" (a woman) and "quality" (good)."""


def label_by_network(tool: Tool, options: Any) -> None:
    """Make or read the pictures, label them, write table and record."""
    folder = tool.path(LABELS).parent if options.from_workspace else options.out
    table, record = (folder / Path(name).name for name in (LABELS, LABELS_RECORD))
    if table.exists() and not options.overwrite:
        check_machine_made(table, record)
    network = REPOSITORY / options.network
    of_photographs = network.is_file() and is_photographic(tool, network)
    read = photograph_reader(tool, options) if of_photographs else drawn_reader(tool, options)
    if options.from_workspace:
        pictures, weights_id, seed = read_candidates(tool, options.count)
    else:
        weights, weights_id, seed = options.weights, weights_id_of(options.weights), options.seed
        pictures = generated_pictures.generate_pictures(tool, weights, range(options.count), seed)
    probabilities = read(pictures)
    labels = pd.DataFrame({"img_name": [f"{img_no:06d}.jpg" for img_no in range(len(pictures))]})
    for name in reversed(FILTERS):
        labels[name] = (probabilities[name] >= THRESHOLD).astype(int)
    labels[MADE_BY] = MACHINE
    for name in reversed(FILTERS):
        labels[probability_of(name)] = probabilities[name].round(4)
    # Without a record a table is refused; an old record beside a new table would vouch for it wrongly.
    record.unlink(missing_ok=True)
    files.write(table, labels)
    bad_share = f", the worst {options.bad_share:g} bad" if of_photographs else ""
    files.write(
        record,
        {
            "weights_id": weights_id,
            "seed": seed,
            "count": len(labels),
            "made_by": f"{MACHINE} ({network.name}, threshold {THRESHOLD}{bad_share}), not a person",
            "network_sha256": files.sha256_file(network),
            "picture_size_px": int(pictures.shape[1]),
            "command": stored_command(options, "make_labels"),
        },
    )
    women, bad = int(labels["gender"].sum()), int((labels["quality"] == 0).sum())
    tool.finish({"labels": str(len(labels)), "women": str(women), "low quality": str(bad)}, [str(table)])
    tool.log(f"{table}: {len(labels)} labels, {women} women, {bad} of low quality, weights {weights_id}.")
    if of_photographs:
        tool.log(f"Correct them, the unsure ones first:\n    {tool.command('label_images')}")


def is_photographic(tool: Tool, network: Path) -> bool:
    """Whether a network labels photographs: a gender head."""
    with tool.foreseen(ValueError):
        return is_gender_head(network)


def drawn_reader(tool: Tool, options: Any) -> Reader:
    """What a network of drawn people says, which knows gender and quality from their truth."""
    network = generated_pictures.open_oracle(tool, REPOSITORY / options.network, NETWORK_TRAINING)

    def read(pictures: np.ndarray) -> dict[str, np.ndarray]:
        reading = read_pictures(network, pictures)
        return {name: reading[name].double().sigmoid().numpy() for name in FILTERS}

    return read


def photograph_reader(tool: Tool, options: Any) -> Reader:
    """Gender by a head on a face network, quality by three witnesses (see `photograph_labels`)."""
    with tool.foreseen(ValueError, ImportError, mend="Give another --network."):
        head = load_gender_head(REPOSITORY / options.network, tool.device)
    with tool.foreseen(FileNotFoundError, FaceXFormerWeightsError, mend="Give another --parser."):
        segmenter = Segmenter(load_facexformer(REPOSITORY / options.parser).to(tool.device))
    discriminator = find_discriminator(tool, options)

    def read(pictures: np.ndarray) -> dict[str, np.ndarray]:
        witnesses = ask_witnesses(pictures, discriminator, segmenter)
        tool.log(
            f"faces found in {100 * (witnesses.face > 0).mean():.1f} % of the pictures; "
            f"{100 * (witnesses.strangeness > 1).mean():.1f} % are unlike what the parser learned from"
        )
        quality = quality_probabilities(witnesses, options.bad_share)
        return {"gender": read_genders(head, from_uint8(pictures)), "quality": quality}

    return read


def find_discriminator(tool: Tool, options: Any) -> Discriminator | None:
    """The discriminator of the pictures' generator; None, and a line, where the file has none."""
    path = tool.workspace / GENERATOR if options.from_workspace else options.weights
    generated_pictures.need_file(path, tool.command("00_fetch_weights"))
    with tool.foreseen(CheckpointError):
        checkpoint = load_checkpoint(path)
        if checkpoint.discriminator is not None:
            return build_discriminator(checkpoint).to(tool.device)
    tool.log(f"{path} has no discriminator; quality is judged by the face detector and the parser alone")
    return None


def read_candidates(tool: Tool, count: int) -> tuple[np.ndarray, str, int]:
    """The first candidates uint8 [N, H, W, 3], the id of their weights and the seed of image 0."""
    path = tool.workspace / CANDIDATES
    command = tool.command("01_generate_candidates")
    generated_pictures.need_file(path, command)
    columns = ("img_no", "img_path", "seed", "weights_id")
    candidates = tables.read_csv(path, columns, f"Make it anew: {command} --force").head(count)
    if len(candidates) < count:
        raise UserError(
            f"{path} has {len(candidates)} pictures, fewer than --count {count} asks for. Generate more, or "
            "label fewer."
        )
    pictures = np.stack([scores.read_picture(tool, path) for path in candidates["img_path"]])
    first = candidates.iloc[0]
    return pictures, str(first["weights_id"]), int(first["seed"])


def check_machine_made(table: Path, record: Path) -> None:
    """Raise `UserError` rather than replace labels that cost a person hours."""
    try:
        made_by = str(files.read_json(record).get("made_by", "unknown"))
    except (OSError, files.TextFileError):
        made_by = "unknown"
    if not is_machine_made(made_by):
        raise UserError(
            f"{table} holds labels that no network made (made by: {made_by}), and replacing them "
            "would lose that work. Move them away, or add --overwrite."
        )
