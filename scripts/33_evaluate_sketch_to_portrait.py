"""Judge networks that draw portraits from sketches, on people whom none of them learned from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace


@dataclass(frozen=True)
class Options(StageOptions):
    """Judge networks that draw portraits from sketches, on people whom none of them learned from."""

    networks: tuple[str, ...] = option(
        (),
        help="further network files, each as NAME=FILE; the workspace's own and the bundled one are judged",
    )
    bundled: bool = option(True, help="also judge the network that comes with the repository, if it fits")
    people: int = option(200, help="sketches of the test split at the most")
    variants: int = option(4, help="portraits per sketch, for the variety and for KID")
    detector: Path | None = option(
        None,
        help="OpenCV's YuNet, face_detection_yunet_*.onnx, for a second count of faces; as the first one, it "
        "says a face, not a good face",
    )

    def __post_init__(self) -> None:
        self.need_at_least(2, "people", "variants")


SPEC = StageSpec(
    name="33_evaluate_sketch_to_portrait",
    inputs=(
        workspace.SKETCH_TABLE_INPUT,
        workspace.SKETCH_NETWORK_INPUT,
        Input(workspace.BUNDLED_SKETCH_NETWORK, optional=True, in_repository=True),
        Input(workspace.PARSER, made_by="00_fetch_weights"),
        *workspace.MTCNN_INPUTS,
        workspace.ORACLE_INPUT,
    ),
    outputs=(
        workspace.SKETCH_EVALUATION,
        workspace.SKETCH_EVALUATION_TABLE,
        workspace.SKETCH_EVALUATION_SHEET,
    ),
)


def run(stage: Stage, options: Options) -> None:
    """Draw, read, compare, write."""
    from scripts.stages.sketching.evaluating import evaluate

    evaluate(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
