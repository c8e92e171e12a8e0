"""Compare a generator's pictures with portraits it never saw, both read by the oracle."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import generated_pictures
from scripts.pipeline import REPOSITORY, Tool, ToolOptions, files, option, run_tool

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

HELD_OUT_SEED = 2_000_000
SHEET_COUNT = 48


@dataclass(frozen=True)
class Options(ToolOptions):
    """Compare a generator's pictures with portraits it never saw, both read by the oracle."""

    count: int = option(1000, help="pictures of the generator, and portraits")
    seed: int = option(0, help="image n is made from the seed plus n")
    first_portrait: int = option(HELD_OUT_SEED, help="seed of the first portrait")
    weights: Path = option(REPOSITORY / generated_pictures.WEIGHTS, help="generator to judge")
    oracle: Path = option(REPOSITORY / generated_pictures.ORACLE, help="network that reads the pictures")
    output: Path | None = option(None, help="JSON file; None: <workspace>/compare_generator/results.json")

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError("--count must be at least 2.")


def draw_portraits(options: Options, size: int, part: int) -> "np.ndarray":
    """Portraits uint8 [N, size, size, 3], with the same JPEG as the generator's pictures."""
    import numpy as np

    from data import portraits

    first = options.first_portrait + part * options.count
    drawn = portraits.render_many(range(first, first + options.count), size)
    return np.stack([generated_pictures.jpeg_round_trip(image) for image in drawn.images])


def shares(reading: "dict[str, Tensor]") -> dict[str, float]:
    """Share of women and of low quality."""
    return {
        "women": float((reading["gender"] >= 0).float().mean()),
        "low_quality": float((reading["quality"] < 0).float().mean()),
    }


def compare(
    generated: "dict[str, Tensor]",
    real: "dict[str, Tensor]",
    other: "dict[str, Tensor]",
    names: tuple[str, ...],
) -> dict[str, Any]:
    """All figures; `other` are further portraits, which tell how large KID is without any difference."""
    from cnn.oracle_metrics import kernel_inception_distance

    spread = generated["properties"].std(dim=0) / real["properties"].std(dim=0)
    shift = (generated["properties"].mean(dim=0) - real["properties"].mean(dim=0)) / real["properties"].std(
        dim=0
    )
    return {
        "generator": shares(generated),
        "portraits": shares(real),
        "sd_ratio": dict(zip(names, spread.tolist(), strict=True)),
        "mean_shift_sd": dict(zip(names, shift.tolist(), strict=True)),
        "kid": kernel_inception_distance(generated["features"], real["features"]),
        "kid_of_portraits": kernel_inception_distance(other["features"], real["features"]),
    }


def log_table(tool: Tool, results: dict[str, Any]) -> None:
    """Print the figures."""
    generator, real = results["generator"], results["portraits"]
    tool.log(f"{'':20}{'generator':>12}{'portraits':>12}")
    for name in generator:
        tool.log(f"{name.replace('_', ' '):20}{generator[name]:12.1%}{real[name]:12.1%}")
    tool.log(f"{'KID x 1000':20}{1000 * results['kid']:12.3f}{1000 * results['kid_of_portraits']:12.3f}")
    tool.log(f"{'property':20}{'sd ratio':>12}{'shift / sd':>12}")
    for name, ratio in results["sd_ratio"].items():
        tool.log(f"{name:20}{ratio:12.2f}{results['mean_shift_sd'][name]:+12.2f}")


def run(tool: Tool, options: Options) -> None:
    """Make pictures, draw portraits, read both, write and print the figures."""
    from cnn.oracle import read_pictures
    from scripts.pipeline.pictures import contact_sheet
    from stylegan.checkpoint import weights_id

    oracle = generated_pictures.open_oracle(tool, options.oracle)
    pictures = generated_pictures.generate_pictures(tool, options.weights, range(options.count), options.seed)
    portrait_sets = [draw_portraits(options, pictures.shape[1], part) for part in range(2)]
    generated, real, other = (read_pictures(oracle, images) for images in (pictures, *portrait_sets))
    results = compare(generated, real, other, oracle.config.property_names)
    results |= {"count": options.count, "seed": options.seed, "weights_id": weights_id(options.weights)}

    default = tool.path("compare_generator/results.json")
    output = options.output or default
    files.write_json(output, results)
    for name, images in (("generated", pictures), ("portraits", portrait_sets[0])):
        sheet = contact_sheet(images[:SHEET_COUNT], columns=12, scale=max(1, 128 // images.shape[1]))
        tool.save_image(f"compare_generator/{name}.png", sheet)
    log_table(tool, results)
    tool.log(f"Wrote {output}. Look at {default.parent / 'generated.png'} and portraits.png beside it.")


if __name__ == "__main__":
    run_tool(Options, run)
