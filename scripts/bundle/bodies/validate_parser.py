"""What validate_parser does: a parser on held-out portraits and on generated pictures."""

from __future__ import annotations

from typing import Any

from scripts.pipeline import Tool
from scripts.pipeline.console import script_command
from scripts.stages import generated_pictures
from scripts.stages.parsing.parser_judgement import judge_on_generated, judge_on_portraits
from segmentation.facexformer import load_facexformer
from segmentation.facexformer_config import FaceXFormerWeightsError
from stylegan.checkpoint import weights_id

FOLDER = "validate_parser"
RESULT = f"{FOLDER}/results.json"


def run(tool: Tool, options: Any) -> None:
    """Judge, write and print the figures."""
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
    tool.write(RESULT, results)
    mean_iou = results["portraits"]["mean_iou"]
    tool.finish({"mean IoU": f"{mean_iou:.4f} (n = {options.portraits} portraits)"}, [RESULT])
    tool.log(f"Wrote {tool.workspace / RESULT}. Look at the pictures beside it.")
