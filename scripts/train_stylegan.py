"""Train the base generator on portraits or on a folder of pictures."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Interrupted, Tool, ToolOptions, UserError, option, run_tool

DEFAULT_PLAN = Path(__file__).parent / "presets" / "training" / "base_generator_64.toml"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Train a StyleGAN generator and discriminator; the same command resumes a stopped training."""

    plan: Path = option(DEFAULT_PLAN, help="TOML file with the networks and the phases of the training")
    out: Path | None = option(None, help="folder of the results; None: <workspace>/base_generator")
    portraits: int = option(0, help="train on so many rendered portraits")
    first_portrait: int = option(1_000_000, help="seed of the first portrait")
    repeat_low_quality: int = option(1, help="times that portraits of low quality are shown in a pass")
    folder: Path | None = option(None, help="train on the pictures in this folder")
    processes: int = option(2, help="processes that render portraits", affects_results=False)
    save_seconds: float = option(120.0, help="seconds between two checkpoints", affects_results=False)
    preview_kimg: float = option(10.0, help="thousands of images between two previews", affects_results=False)
    previews: int = option(32, help="pictures in a preview", affects_results=False)
    bundle: Path | None = option(
        None, help="also write the finished networks here, in half precision", affects_results=False
    )
    restart: bool = option(False, help="start over although there is a checkpoint", affects_results=False)


def run(tool: Tool, options: Options) -> None:
    if (options.portraits > 0) == (options.folder is not None):
        raise UserError(
            "It needs pictures to learn from: either --portraits COUNT or --folder PATH. For example:\n"
            "    python scripts/train_stylegan.py --portraits 40000"
        )
    from scripts.fast_memory import keep_freed_memory
    from scripts.stylegan_run import TrainingRun, load_images, read_plan
    from stylegan.training import Trainer, TrainingError

    keep_freed_memory()
    out = options.out.resolve() if options.out else tool.path("base_generator")
    config, resolution = read_plan(options)
    images = load_images(tool, options, resolution, out)
    try:
        trainer = Trainer(config, images, tool.device)
    except TrainingError as error:
        raise UserError(str(error)) from error
    training = TrainingRun(tool, options, trainer, out)
    training.resume()
    training.loop()
    if options.bundle is not None and trainer.finished:
        training.bundle(options.bundle.resolve())
    if not trainer.finished:
        raise Interrupted("Stopped on request.")


if __name__ == "__main__":
    run_tool(Options, run)
