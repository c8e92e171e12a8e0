"""What compare_generator does with --faces: pictures and photographed faces that no training saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnn.identity import load_embedder
from cnn.oracle_metrics import kernel_inception_distance, nearest_distance
from scripts.bundle.bodies.compare_generator import SHEET_COUNT, part_shares, write_results
from scripts.bundle.bodies.validate_judges import read_faces
from scripts.pipeline import REPOSITORY, Tool
from scripts.stages import generated_pictures
from scripts.stages.base_generator.kid import detector_features
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import BUNDLED_PHOTOGRAPH_PARSER
from stylegan.checkpoint import weights_id
from stylegan_modified.evaluation_identity import people_distances

NEAREST_SHOWN = 12


def run(tool: Tool, options: Any) -> None:
    """Make pictures, read the faces, let the detector's features and the judge of people compare them."""
    faces = np.stack(list(read_faces(options.faces).values()))
    pictures = generated_pictures.generate_pictures(tool, options.weights, range(options.count), options.seed)
    with tool.foreseen(ValueError):
        judge = load_embedder(options.judge, tool.device)
    parser = options.parser or REPOSITORY / BUNDLED_PHOTOGRAPH_PARSER
    features = detector_features(tool.device, [faces])
    half = np.random.default_rng(options.seed).permutation(len(faces)) % 2 == 0
    generated, real = features(pictures), features(faces)
    people = {"generator": judge.read(pictures), "faces": judge.read(faces)}
    results: dict[str, Any] = {
        "kid": kernel_inception_distance(generated, real),
        "kid_of_halves": kernel_inception_distance(real[half], real[~half]),
        "people_distance": {name: _mean_distance(found) for name, found in people.items()},
        "parts_found": part_shares(tool, parser, pictures[: options.parsed]),
        "parts_found_in_faces": part_shares(tool, parser, faces[: options.parsed]),
        "count": options.count,
        "faces": len(faces),
        "seed": options.seed,
        "weights_id": weights_id(options.weights),
    }
    sheets = {"generated": pictures[:SHEET_COUNT], "faces": faces[:SHEET_COUNT]}
    if options.training_faces is not None:
        known = np.stack(list(read_faces(options.training_faces).values()))
        read = judge.read(known)
        results["nearest_training_face"] = {
            name: float(nearest_distance(found, read).median()) for name, found in people.items()
        }
        sheets["nearest"] = nearest_pairs(pictures, people["generator"], known, read)
    write_results(tool, options, results, {name: contact_sheet(s, columns=12) for name, s in sheets.items()})
    log_table(tool, results)


def _mean_distance(descriptors: Tensor) -> float:
    """Between two people of a set [N, D]."""
    return float(people_distances(descriptors.numpy(), np.ones((1, len(descriptors))))[0])


def nearest_pairs(pictures: np.ndarray, shown: Tensor, known: np.ndarray, read: Tensor) -> np.ndarray:
    """Those pictures that come closest to a training face, and below each that face, uint8 [2n, H, W, 3]."""
    distances = torch.cdist(shown.float(), read.float())
    closest = distances.min(dim=1).values.argsort()[:NEAREST_SHOWN]
    return np.concatenate([pictures[closest.numpy()], known[distances[closest].argmin(dim=1).numpy()]])


def log_table(tool: Tool, results: dict[str, Any]) -> None:
    """Print the figures."""
    tool.log(f"{'':28}{'generator':>12}{'faces':>12}")
    tool.log(f"{'number':28}{results['count']:12}{results['faces']:12}")
    tool.log(f"{'KID to the faces':28}{results['kid']:12.4f}{results['kid_of_halves']:12.4f}  (two halves)")
    for key in ("people_distance", "nearest_training_face"):
        if key in results:
            title = key.replace("_", " ")
            tool.log(f"{title:28}{results[key]['generator']:12.3f}{results[key]['faces']:12.3f}")
    for part, share in results["parts_found"].items():
        tool.log(f"{part + ' found':28}{share:12.1%}{results['parts_found_in_faces'][part]:12.1%}")
