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
    if table.exists() and not options.overwrite:
        check_machine_made(table, record)
    network = generated_pictures.open_oracle(tool, options.network, NETWORK_TRAINING)
    if options.from_workspace:
        pictures, weights_id, seed = read_candidates(tool, options.count)
    else:
        weights, weights_id, seed = options.weights, weights_id_of(options.weights), options.seed
        pictures = generated_pictures.generate_pictures(tool, weights, range(options.count), seed)
    reading = read_pictures(network, pictures)
    labels = pd.DataFrame({"img_name": [f"{img_no:06d}.jpg" for img_no in range(len(pictures))]})
    for name in ("quality", "gender"):
        labels[name] = (reading[name].sigmoid() >= THRESHOLD).int().numpy()
    # Without a record a table is refused; an old record beside a new table would vouch for it wrongly.
    record.unlink(missing_ok=True)
    files.write(table, labels)
    files.write(
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
