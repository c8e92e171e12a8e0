"""Train the base generator on portraits or on a folder of pictures, from the start or from trained weights.

    python scripts/train_stylegan.py --portraits 40000
    python scripts/train_stylegan.py --folder aligned --init data/embedded/stylegan_model.safetensors \\
        --plan scripts/presets/training/transfer.toml
    torchrun --nproc-per-node 4 scripts/train_stylegan.py --portraits 40000
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import REPOSITORY, Interrupted, Tool, ToolOptions, UserError, option, run_tool
from scripts.pipeline.console import short_path

if TYPE_CHECKING:
    from stylegan.training import TrainingImages

FEWEST = 4
DEFAULT_PLAN = Path(__file__).parent / "presets" / "training" / "base_generator_128.toml"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Train a StyleGAN generator and discriminator; the same command resumes a stopped training."""

    plan: Path = option(DEFAULT_PLAN, help="TOML file with the networks and the phases of the training")
    out: Path | None = option(None, help="folder of the results; None: <workspace>/base_generator")
    portraits: int = option(0, help="train on so many rendered portraits")
    first_portrait: int = option(1_000_000, help="seed of the first portrait")
    repeat_low_quality: int = option(1, help="times that portraits of low quality are shown in a pass")
    folder: Path | None = option(None, help="train on the pictures in this folder")
    init: Path | None = option(None, help="StyleGAN v1 weights to start from (generator and discriminator)")
    freeze_d: int | None = option(
        None, help="train only the last so many resolutions of the discriminator; None: as the plan says"
    )
    minutes: float = option(0.0, help="stop after so many minutes; 0: no limit", affects_results=False)
    processes: int = option(2, help="processes that render portraits", affects_results=False)
    save_seconds: float = option(120.0, help="seconds between two checkpoints", affects_results=False)
    preview_kimg: float | None = option(
        None,
        help="thousands of images between two previews; 0: none, None: 20 in the plan, or 10 thousand "
        "images where a phase ends by seconds",
        affects_results=False,
    )
    previews: int = option(32, help="pictures in a preview", affects_results=False)
    kid_kimg: float | None = option(
        None,
        help="thousands of images between two measurements of KID; 0: none, None: as for previews",
        affects_results=False,
    )
    kid_count: int = option(500, help="samples, and pictures at most, that KID compares")
    kid_features: Literal["auto", "oracle", "detector"] = option(
        "auto",
        help="network whose features KID uses: the oracle (portraits) or the face detector (photographs)",
    )
    bundle: Path | None = option(
        None, help="also write the finished networks here, in half precision", affects_results=False
    )
    restart: bool = option(False, help="start over although there is a checkpoint", affects_results=False)

    def __post_init__(self) -> None:
        if self.kid_count < FEWEST or 0 < self.portraits < FEWEST:
            raise ValueError(
                f"--kid-count and --portraits must be at least {FEWEST}: KID compares two halves of the "
                "data, and a half needs two pictures."
            )
        if min(self.previews, self.processes, self.repeat_low_quality) < 1:
            raise ValueError("--previews, --processes and --repeat-low-quality must be at least 1.")


def run(tool: Tool, options: Options) -> None:
    if (options.portraits > 0) == (options.folder is not None):
        raise UserError(
            "It needs pictures to learn from: either --portraits COUNT or --folder PATH. For example:\n"
            f"    {tool.command(tool.name, '--portraits', '40000')}"
        )
    from scripts.stages.fast_memory import keep_freed_memory

    keep_freed_memory()
    out = options.out.resolve() if options.out else tool.path("base_generator")
    with tool.alone_in(out, "another --out"):
        train(tool, options, out)


def next_commands(tool: Tool, out: Path) -> tuple[str, str]:
    """The commands that bring the weights in a folder into the row of scripts, up to the candidates.

    The workspace is the one given, or one beside the training: the usual one has the bundled generator.
    """
    workspace: tuple[str, ...] = ()
    if tool.options.workspace is None:
        own = REPOSITORY / "data/runs/mine" if out.is_relative_to(tool.workspace) else out.parent
        workspace = ("--workspace", short_path(own))
    return (
        tool.command("00_fetch_weights", *workspace, "--from", short_path(out)),
        tool.command("01_generate_candidates", *workspace),
    )


def train(tool: Tool, options: Options, out: Path) -> None:
    """Read the plan and the images, train, and write the results into ``out``."""
    from scripts.stages.base_generator.stylegan_run import TrainingRun, in_the_first_process, load_images
    from scripts.stages.base_generator.training_plan import read_plan
    from stylegan.parallel import Processes
    from stylegan.training import Trainer, TrainingError

    config, init = read_plan(options)
    processes, device = Processes.of_this_run(), tool.device

    def load() -> "tuple[TrainingImages, str]":
        return load_images(tool, options, config.generator["resolution"], out, tool.log)

    # The first process renders or reads the images, the others find them in its cache.
    images, what = in_the_first_process(processes, device, load) or load()
    try:
        trainer = Trainer(replace(config, extra={"images": what}), images, device, init)
    except TrainingError as error:
        raise UserError(str(error)) from error
    training = TrainingRun(tool, options, trainer, out)
    with training.events:
        training.resume()
        training.loop()
    images = f"{trainer.counters.images / 1000:.1f} thousand images"
    tool.finish({"trained on": images}, [str(out / name) for name in ("preview.png", "filmstrip.png")])
    if tool.writes and not tool.stop_requested:
        tool.log("\n    ".join(["to make faces with dials of this generator:", *next_commands(tool, out)]))
    if options.bundle is not None and trainer.finished and tool.writes:
        training.bundle(options.bundle.resolve())
    processes.wait()  # torchrun stops the first one, which still measures and writes, once another is gone
    if not trainer.finished:
        if tool.stop_requested:
            raise Interrupted("Stopped on request.")
        tool.log(f"stopped after --minutes {options.minutes:g}; the same command goes on from here")


if __name__ == "__main__":
    run_tool(Options, run, several_processes=True)
