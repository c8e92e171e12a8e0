"""Judge a parser of the embedded preset: on held-out portraits, and on generated pictures."""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import REPOSITORY, Tool, ToolOptions, option, run_tool
from scripts.pipeline.console import script_command
from scripts.stages import generated_pictures
from scripts.stages.parsing.parser_judgement import judge_on_generated, judge_on_portraits
from scripts.stages.workspace import BUNDLED_GENERATOR, BUNDLED_PARSER

FOLDER = "validate_parser"
RESULT = f"{FOLDER}/results.json"


@dataclass(frozen=True)
class Options(ToolOptions):
    """Judge a parser of the embedded preset: on held-out portraits, and on generated pictures."""

    parser: Path = option(REPOSITORY / BUNDLED_PARSER, help="weights to judge")
    portraits: int = option(500, help="held-out portraits, whose label maps are exact")
    weights: Path = option(REPOSITORY / BUNDLED_GENERATOR, help="generator of the other pictures")
    pictures: int = option(500, help="generated pictures, of which the mirrored ones must be parsed alike")
    seed: int = option(0, help="generated picture n is made from the seed plus n")

    def __post_init__(self) -> None:
        if self.portraits < 1 or self.pictures < 1:
            raise ValueError("--portraits and --pictures must be at least 1.")


def run(tool: Tool, options: Options) -> None:
    """Judge, write and print the figures."""
    from segmentation.facexformer import FaceXFormerWeightsError, load_facexformer
    from stylegan.checkpoint import weights_id

    command = script_command("train_parser")
    generated_pictures.need_file(options.parser, command)
    with tool.foreseen(FaceXFormerWeightsError, mend=f"Make it anew: {command}"):
        parser = load_facexformer(options.parser).to(tool.device)
    numbers = range(options.pictures)
    images = generated_pictures.generate_pictures(tool, options.weights, numbers, options.seed)
    results = {
        "parser": options.parser.name,
        "generator": {"weights_id": weights_id(options.weights), "seed": options.seed},
        "portraits": judge_on_portraits(tool, parser, options.portraits, FOLDER),
        "generated": judge_on_generated(tool, parser, images, FOLDER),
    }
    tool.write_json(RESULT, results)
    mean_iou = results["portraits"]["mean_iou"]
    tool.finish({"mean IoU": f"{mean_iou:.4f} (n = {options.portraits} portraits)"}, [RESULT])
    tool.log(f"Wrote {tool.workspace / RESULT}. Look at the pictures beside it.")


if __name__ == "__main__":
    run_tool(Options, run)
