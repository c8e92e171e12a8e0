"""What train_gender_head does: faces whose gender is known, some of them held out, become a linear layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from cnn.gender_head import fit_gender_head, load_gender_head, read_genders, save_gender_head
from cnn.identity import load_embedder
from scripts.bundle.bodies.validate_judges import known_genders, read_faces
from scripts.pipeline import Tool, UsageError, UserError, files, tables
from stylegan.sampling import from_uint8

COMMAND = "python scripts/bundle/train_gender_head.py --faces FACES --table TABLE.csv"
FEWEST = 10  # faces of a gender to learn from


def run(tool: Tool, options: Any) -> None:
    """Read the faces, fit, judge on those held out, write."""
    if options.faces is None or options.table is None:
        raise UsageError(f"It needs faces and their genders. Type\n    {COMMAND}")
    pictures = read_faces(options.faces)
    names = list(pictures)
    women = known_genders(options.table, names)
    held_out = held_out_files(options)
    chosen = [place for place in women if names[place] in held_out]
    learned = [place for place in chosen if not held_out[names[place]]]
    judged = [place for place in chosen if held_out[names[place]]]
    counts = np.bincount([women[place] for place in learned], minlength=2)
    if counts.min() < FEWEST or len({women[place] for place in judged}) < 2:
        raise UserError(
            f"{options.faces} holds {counts[1]} women and {counts[0]} men of source {options.source!r} to "
            f"learn from, and {len(judged)} faces to judge on; both genders are needed among either. Give "
            "more faces, or another --held-out."
        )
    images = from_uint8(np.stack(list(pictures.values())))
    truth = np.array([women.get(place, False) for place in range(len(names))])
    embedder = load_embedder(options.embedder, tool.device)
    head = fit_gender_head(embedder, images[learned].to(tool.device), truth[learned])
    probability = read_genders(head, images[judged])
    right = (probability > 0.5) == truth[judged]
    figures = {
        "held-out AUC": f"{roc_auc_score(truth[judged], probability):.4f}",
        "right": f"{right.sum()} of {len(judged)} held-out faces",
        "learned from": f"{len(learned)} faces, {counts[1]} women",
    }
    notes = {"trained_on": f"{options.source}: {figures['learned from']}", "command": COMMAND}
    notes["figures"] = f"AUC {figures['held-out AUC']}, {figures['right']} right"
    with files.atomic_path(options.out) as temporary:
        save_gender_head(temporary, head, options.embedder, notes)
    load_gender_head(options.out)
    tool.finish(figures, [str(options.out)])


def held_out_files(options: Any) -> dict[str, bool]:
    """File -> whether it is held out, of the rows of the chosen source."""
    columns = ("file", "source", "original", "gender")
    table = tables.read_csv(options.table, columns, "Give --table another one.")
    rows = table[table["source"] == options.source].assign(original=lambda rows: rows["original"].astype(str))
    held_out = set(sorted(rows["original"])[-options.held_out :])
    return dict(zip(rows["file"], rows["original"].isin(held_out), strict=True))
