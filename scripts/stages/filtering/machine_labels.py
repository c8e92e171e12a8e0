"""Labels that a network makes of drawn people, in place of hand labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnn.oracle import read_pictures
from scripts.pipeline import Tool, UserError, files, tables
from scripts.stages import generated_pictures, scores
from scripts.stages.filtering.hand_labels import MACHINE, is_machine_made
from scripts.stages.workspace import CANDIDATES, LABELS, LABELS_RECORD
from stylegan.checkpoint import weights_id as weights_id_of

THRESHOLD = 0.5
NETWORK_TRAINING = "--trunk strided --first-seed 4000000"


def label_by_network(tool: Tool, options: Any) -> None:
    """Make or read the pictures, label them, write table and record."""
    folder = tool.path(LABELS).parent if options.from_workspace else options.out
    table, record = (folder / Path(name).name for name in (LABELS, LABELS_RECORD))
    check_not_by_hand(record, table, options)
    network = generated_pictures.open_oracle(tool, options.network, NETWORK_TRAINING)
    make = from_workspace if options.from_workspace else regenerated
    pictures, weights_id, seed = make(tool, options)
    reading = read_pictures(network, pictures)
    labels = pd.DataFrame({"img_name": [f"{img_no:06d}.jpg" for img_no in range(len(pictures))]})
    for name in ("quality", "gender"):
        labels[name] = (reading[name].sigmoid() >= THRESHOLD).int().numpy()
    # Without a record a table is refused; an old record beside a new table would vouch for it wrongly.
    record.unlink(missing_ok=True)
    tables.write_csv(table, labels)
    files.write_json(
        record,
        {
            "weights_id": weights_id,
            "seed": seed,
            "count": len(labels),
            "made_by": f"{MACHINE} ({options.network.name}, threshold {THRESHOLD}), not a person",
            "network_sha256": files.sha256_file(options.network),
            "picture_size_px": int(pictures.shape[1]),
            "command": f"python scripts/make_labels.py --count {options.count} --seed {seed}",
        },
    )
    women, bad = int(labels["gender"].sum()), int((labels["quality"] == 0).sum())
    tool.finish({"labels": str(len(labels)), "women": str(women), "low quality": str(bad)}, [str(table)])
    tool.log(f"{table}: {len(labels)} labels, {women} women, {bad} of low quality, weights {weights_id}.")


def regenerated(tool: Tool, options: Any) -> tuple[np.ndarray, str, int]:
    """Pictures uint8 [N, H, W, 3] from the weights file, the weights' id and the seed of image 0."""
    pictures = generated_pictures.generate_pictures(tool, options.weights, range(options.count), options.seed)
    return pictures, weights_id_of(options.weights), options.seed


def from_workspace(tool: Tool, options: Any) -> tuple[np.ndarray, str, int]:
    """The same of the candidates that stage 01 made."""
    path = tool.workspace / CANDIDATES
    command = tool.command("01_generate_candidates")
    generated_pictures.need_file(path, command)
    columns = ("img_no", "img_path", "seed", "weights_id")
    candidates = tables.read_csv(path, columns, f"Make it anew: {command} --force").head(options.count)
    if len(candidates) < options.count:
        raise UserError(
            f"{path} has {len(candidates)} pictures, fewer than --count {options.count} asks for. "
            "Generate more, or label fewer."
        )
    first = candidates.iloc[0]
    pictures = [scores.read_picture(tool, path) for path in candidates["img_path"]]
    return np.stack(pictures), str(first["weights_id"]), int(first["seed"])


def check_not_by_hand(record: Path, table: Path, options: Any) -> None:
    """Raise `UserError` rather than replace labels that cost a person hours."""
    if options.overwrite or not table.exists():
        return
    try:
        made_by = str(files.read_json(record)["made_by"])
    except (OSError, ValueError, KeyError, TypeError):
        made_by = "unknown"
    if not is_machine_made(made_by):
        raise UserError(
            f"{table} holds labels that no network made (made by: {made_by}), and replacing them "
            "would lose that work. Move them away, or add --overwrite."
        )
