"""Label the first candidates with a network: machine-made stand-ins for hand labels of drawn people."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import (
    REPOSITORY,
    Tool,
    ToolOptions,
    UserError,
    files,
    fingerprint,
    option,
    run_tool,
    tables,
)
from scripts.stages import generated_pictures
from scripts.stages.filtering import hand_labels

if TYPE_CHECKING:
    import numpy as np

BUNDLE = "data/embedded"
THRESHOLD = 0.5
NETWORK_TRAINING = "--trunk strided --first-seed 4000000"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Label the first candidates with a network: machine-made stand-ins for hand labels of drawn people."""

    count: int = option(400, help="pictures to label, from image 0 on")
    seed: int = option(0, help="image n is made from the seed plus n, as in 01_generate_candidates")
    weights: Path = option(
        REPOSITORY / generated_pictures.WEIGHTS, help="generator whose pictures are labelled"
    )
    network: Path = option(
        REPOSITORY / generated_pictures.IDENTITY,
        help="network that labels them; not the oracle, or the filter learns from the judge",
    )
    output: Path = option(REPOSITORY / BUNDLE, help="folder for the table and its JSON record")
    from_workspace: bool = option(
        False, help="label the candidates of the workspace, and put the table where 02 looks for it"
    )
    overwrite: bool = option(False, help="replace labels that a person made")

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("--count must be at least 1.")
        if self.from_workspace and self.weights != REPOSITORY / generated_pictures.WEIGHTS:
            raise ValueError("--from-workspace labels the pictures that are there, so --weights has no say.")


def regenerated(tool: Tool, options: Options) -> "tuple[np.ndarray, str, int]":
    """Pictures uint8 [N, H, W, 3] from the weights file, the weights' id and the seed of image 0."""
    from stylegan.checkpoint import weights_id

    pictures = generated_pictures.generate_pictures(tool, options.weights, range(options.count), options.seed)
    return pictures, weights_id(options.weights), options.seed


def from_workspace(tool: Tool, options: Options) -> "tuple[np.ndarray, str, int]":
    """The same of the candidates that stage 01 made."""
    import numpy as np

    from scripts.stages import scores

    path = tool.workspace / hand_labels.CANDIDATES
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


def check_not_by_hand(record: Path, table: Path, options: Options) -> None:
    """Raise `UserError` rather than replace labels that cost a person hours."""
    if options.overwrite or not table.exists():
        return
    try:
        made_by = str(files.read_json(record)["made_by"])
    except (OSError, ValueError, KeyError, TypeError):
        made_by = "unknown"
    if not hand_labels.is_machine_made(made_by):
        raise UserError(
            f"{table} holds labels that no network made (made by: {made_by}), and replacing them "
            "would lose that work. Move them away, or add --overwrite."
        )


def run(tool: Tool, options: Options) -> None:
    """Make or read the pictures, label them, write table and record."""
    import pandas as pd

    from cnn.oracle import read_pictures

    folder = tool.path(hand_labels.LABELS).parent if options.from_workspace else options.output
    table, record = (folder / Path(name).name for name in (hand_labels.LABELS, hand_labels.RECORD))
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
            "made_by": f"{hand_labels.MACHINE} ({options.network.name}, threshold {THRESHOLD}), not a person",
            "network_sha256": fingerprint.sha256_file(options.network),
            "picture_size_px": int(pictures.shape[1]),
            "command": f"python scripts/make_labels.py --count {options.count} --seed {seed}",
        },
    )
    women, bad = int(labels["gender"].sum()), int((labels["quality"] == 0).sum())
    tool.finish({"labels": str(len(labels)), "women": str(women), "low quality": str(bad)}, [str(table)])
    tool.log(f"{table}: {len(labels)} labels, {women} women, {bad} of low quality, weights {weights_id}.")


if __name__ == "__main__":
    run_tool(Options, run)
