"""The body of train_stylegan: from pictures and a plan to trained weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scripts import short_path
from scripts.pipeline import REPOSITORY, Tool, UserError
from scripts.stages.base_generator.images import load_images
from scripts.stages.base_generator.options import Options
from scripts.stages.base_generator.plan import read_plan
from scripts.stages.base_generator.training import GeneratorLoop, in_the_first_process
from scripts.stages.fast_memory import keep_freed_memory
from stylegan.batches import TrainingImages
from stylegan.parallel import Processes
from stylegan.training import StyleGANTrainer, TrainingError


def train_generator(tool: Tool, options: Options) -> None:
    """Train in the folder of the results, which nobody else may use meanwhile."""
    if (options.portraits > 0) == bool(options.folder):
        raise UserError(
            "It needs pictures to learn from: either --portraits COUNT or --folder PATH. For example:\n"
            f"    {tool.command(tool.name, '--portraits', '40000')}"
        )
    keep_freed_memory()
    out = options.out.resolve() if options.out else tool.path("base_generator")
    with tool.alone_in(out, "another --out"):
        train(tool, options, out)


def train(tool: Tool, options: Options, out: Path) -> None:
    """Read the plan and the images, train, and write the results into ``out``."""
    config, init = read_plan(options)
    processes, device = Processes.of_this_run(), tool.device

    def load() -> tuple[TrainingImages, str]:
        return load_images(tool, options, config.generator["resolution"], out)

    # The first process renders or reads the images, the others find them in its cache.
    images, what = in_the_first_process(processes, device, load) or load()
    if not any(
        phase.kind == "regression" or phase.anchor_start or phase.anchor_end for phase in config.phases
    ):
        images = replace(images, latents=None)  # a plan that is adversarial alone never sees the truth
    try:
        trainer = StyleGANTrainer(replace(config, extra={"images": what}), images, device, init)
    except TrainingError as error:
        raise UserError(str(error)) from error
    loop = GeneratorLoop(tool, options, trainer, out)
    loop.run()
    seen = f"{trainer.counters.images / 1000:.1f} thousand images"
    tool.finish({"trained on": seen}, [str(out / name) for name in ("preview.png", "filmstrip.png")])
    if tool.writes:
        tool.log("\n    ".join(["to make faces with dials of this generator:", *next_commands(tool, out)]))
    if options.bundle is not None and trainer.finished and tool.writes:
        loop.bundle(options.bundle.resolve())
    if not trainer.finished:
        tool.log(f"stopped after --minutes {options.minutes:g}; the same command goes on from here")


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
