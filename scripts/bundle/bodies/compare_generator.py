"""What compare_generator does: pictures and portraits, both read by the oracle, become figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cnn.oracle import read_pictures
from cnn.oracle_metrics import kernel_inception_distance, nearest_distance
from data import portraits
from scripts.pipeline import REPOSITORY, Tool, files
from scripts.pipeline.console import script_command
from scripts.stages import generated_pictures
from scripts.stages.sheets import contact_sheet
from scripts.stages.workspace import BUNDLED_PARSER
from segmentation.face_crop import FaceCropper
from segmentation.facexformer import load_facexformer
from segmentation.facexformer_config import FaceXFormerWeightsError
from segmentation.parsing import parse_faces
from stylegan.checkpoint import weights_id

SHEET_COUNT = 48
PARTS = {"eyes": (4, 5), "nose": (6,), "mouth": (7, 8, 9), "hair": (10,)}
SMALLEST_PART_PX = 30  # of 224 x 224


def run(tool: Tool, options: Any) -> None:
    """Make pictures, draw portraits, read both, write and print the figures."""
    oracle = generated_pictures.open_oracle(tool, options.oracle)
    pictures = generated_pictures.generate_pictures(tool, options.weights, range(options.count), options.seed)
    size, held_out = pictures.shape[1], options.first_portrait
    portrait_sets = [
        draw_portraits(held_out, options.count, size),
        draw_portraits(held_out + options.count, options.count, size),
        draw_portraits(options.first_training_portrait, options.training_portraits, size),
    ]
    readings = [read_pictures(oracle, images) for images in (pictures, *portrait_sets)]
    results = compare(readings, oracle.config.property_names)
    parser = options.parser or REPOSITORY / BUNDLED_PARSER
    results["parts_found"] = part_shares(tool, parser, pictures[: options.parsed])
    results |= {"count": options.count, "seed": options.seed, "weights_id": weights_id(options.weights)}

    sheets = {
        name: contact_sheet(images[:SHEET_COUNT], columns=12, scale=max(1, 128 // images.shape[1]))
        for name, images in (("generated", pictures), ("portraits", portrait_sets[0]))
    }
    write_results(tool, options, results, sheets)
    log_table(tool, results)


def write_results(tool: Tool, options: Any, results: dict[str, Any], sheets: dict[str, Image.Image]) -> None:
    """Write the figures and the sheets, and end with what to look at."""
    output = options.out or tool.path("compare_generator/results.json")
    files.write(output, results)
    names = [f"compare_generator/{name}.png" for name in sheets]
    for name, sheet in zip(names, sheets.values(), strict=True):
        tool.write(name, sheet)
    tool.finish({"pictures": str(options.count)}, [str(output), *names])


def draw_portraits(first_seed: int, count: int, size: int) -> np.ndarray:
    """Portraits uint8 [N, size, size, 3], with the same JPEG as the generator's pictures."""

    drawn = portraits.render_many(range(first_seed, first_seed + count), size)
    return np.stack([generated_pictures.jpeg_round_trip(image) for image in drawn.images])


def part_shares(tool: Tool, path: Path, pictures: np.ndarray) -> dict[str, float]:
    """Share of the pictures in which the detector finds a face, and the parser each part of it."""

    generated_pictures.need_file(path, script_command("train_parser"))
    with tool.foreseen(FaceXFormerWeightsError):
        parser = load_facexformer(path).to(tool.device)
    crops = [crop for crop in FaceCropper(tool.device)(list(pictures)) if crop is not None]
    found = {"face": len(crops) / len(pictures)}
    if not crops:
        return found | dict.fromkeys(PARTS, 0.0)
    label_maps = parse_faces(parser, np.stack([crop.image for crop in crops])).label_maps
    for part, classes in PARTS.items():
        pixels = np.isin(label_maps, classes).sum(axis=(1, 2))
        found[part] = float((pixels >= SMALLEST_PART_PX).sum() / len(pictures))
    return found


def shares(reading: dict[str, Tensor]) -> dict[str, float]:
    """Share of women and of low quality."""
    return {
        "women": float((reading["gender"] >= 0).float().mean()),
        "low_quality": float((reading["quality"] < 0).float().mean()),
    }


def compare(readings: Sequence[dict[str, Tensor]], names: tuple[str, ...]) -> dict[str, Any]:
    """All figures.

    Args:
        readings: of generated pictures, held-out portraits, further portraits, which tell how large a figure
            is without any difference, and training portraits.
        names: of the properties.
    """
    generated, real, other, training = readings
    read, truth = generated["properties"], real["properties"]
    spread = read.std(dim=0) / truth.std(dim=0)
    shift = (read.mean(dim=0) - truth.mean(dim=0)) / truth.std(dim=0)
    correlation = torch.corrcoef(read.T) - torch.corrcoef(truth.T)
    nearest = {
        name: float(nearest_distance(features["features"], training["features"]).median())
        for name, features in (("generator", generated), ("portraits", real))
    }
    return {
        "generator": shares(generated),
        "portraits": shares(real),
        "sd_ratio": dict(zip(names, spread.tolist(), strict=True)),
        "mean_shift_sd": dict(zip(names, shift.tolist(), strict=True)),
        "correlation_difference": correlation.tolist(),
        "largest_correlation_difference": float(correlation.abs().max()),
        "kid": kernel_inception_distance(generated["features"], real["features"]),
        "kid_of_portraits": kernel_inception_distance(other["features"], real["features"]),
        "nearest_training_portrait": nearest,
    }


def log_table(tool: Tool, results: dict[str, Any]) -> None:
    """Print the figures."""
    generator, real, nearest = (
        results[key] for key in ("generator", "portraits", "nearest_training_portrait")
    )
    tool.log(f"{'':20}{'generator':>12}{'portraits':>12}")
    for name in generator:
        tool.log(f"{name.replace('_', ' '):20}{generator[name]:12.1%}{real[name]:12.1%}")
    tool.log(f"{'KID x 1000':20}{1000 * results['kid']:12.3f}{1000 * results['kid_of_portraits']:12.3f}")
    tool.log(f"{'nearest training one':20}{nearest['generator']:12.2f}{nearest['portraits']:12.2f}")
    tool.log(f"{'property':20}{'sd ratio':>12}{'shift / sd':>12}")
    for name, ratio in results["sd_ratio"].items():
        tool.log(f"{name:20}{ratio:12.2f}{results['mean_shift_sd'][name]:+12.2f}")
    tool.log(f"largest difference of a correlation {results['largest_correlation_difference']:.3f}")
    tool.log("found: " + ", ".join(f"{part} {share:.1%}" for part, share in results["parts_found"].items()))
