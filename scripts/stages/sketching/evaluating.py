"""What 33 does: networks that draw portraits from sketches, judged on the test split."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from cnn.oracle import Oracle, read_pictures
from cnn.oracle_metrics import kernel_inception_distance
from scripts.pipeline import Stage, UserError
from scripts.pipeline.places import REPOSITORY
from scripts.stages import networks
from scripts.stages.base_generator.kid import detector_features
from scripts.stages.sheets import labelled_grid
from scripts.stages.sketching.drawing import open_network
from scripts.stages.sketching.pairs import read_pairs
from scripts.stages.workspace import (
    BUNDLED_SKETCH_NETWORK,
    PARSER,
    SKETCH_EVALUATION,
    SKETCH_EVALUATION_SHEET,
    SKETCH_EVALUATION_TABLE,
)
from segmentation.segmenter import Segmenter
from segmentation.segmenter_settings import SegmenterSettings
from sketch.colors import COLOR_NAMES
from sketch.landmarks import face_points, landmark_distance
from sketch.lines import LINE_WIDTH, Hand, draw, drawn_by_hand
from sketch.pairs import SketchPairs
from sketch.portrait_network import PortraitNetwork
from sketch.unet import parameter_count
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.evaluation_identity import anchored_identity_auc

GOALS = {  # measure -> what the bundled network has to reach, and whether that is a lower bound
    "l1": (0.12, False),
    "landmarks": (0.03, False),
    "landmarks_by_hand": (0.05, False),
    "faces_mtcnn": (1.0, True),
    "milliseconds": (150.0, False),
}
SHOWN = 8
TIMED = 5


class Reader:
    """The judges: parser with detector for faces and landmarks, the oracle for people and features."""

    def __init__(self, stage: Stage, detector: Path | None, learned: np.ndarray) -> None:
        self.detector = detector
        if detector is not None:
            self.share_detected(learned[:1])  # what is no detector is said before anything is drawn
        self.segmenter: Segmenter = networks.build_segmenter(stage, PARSER, SegmenterSettings())
        self.judge = networks.load_judging_oracle(stage) or detector_features(stage.device, [learned])

    def points(self, portraits: np.ndarray) -> list[np.ndarray | None]:
        """Points of each face as shares of the picture's side; None where MTCNN finds none."""
        size = portraits.shape[1]
        found: list[np.ndarray | None] = []
        for face in self.segmenter(list(portraits)):
            if face is None:
                found.append(None)
                continue
            left, top, right, bottom = (float(value) / size for value in face.crop.box)
            found.append(face_points(face.label_map, (left, top, right, bottom)))
        return found

    def read(self, portraits: np.ndarray) -> dict[str, np.ndarray]:
        """`features` [N, D] and, with an oracle, `identity` [N, 64] of portraits uint8 [N, S, S, 3]."""
        if isinstance(self.judge, Oracle):
            found = read_pictures(self.judge, portraits)
            return {name: found[name].numpy() for name in ("features", "identity")}
        return {"features": self.judge(portraits).numpy()}

    def share_detected(self, portraits: np.ndarray) -> float | None:
        """Share of portraits in which the detector of --detector finds a face; None without its file.

        Raises:
            UserError: it is missing, or no YuNet.
        """
        if self.detector is None:
            return None
        size = portraits.shape[1]
        factor = max(1, round(256 / size))
        larger = [cv2.resize(one[:, :, ::-1], None, fx=factor, fy=factor) for one in portraits]
        try:
            detector = cv2.FaceDetectorYN.create(str(self.detector), "", (factor * size, factor * size))
            return float(np.mean([detector.detect(one)[1] is not None for one in larger]))
        except cv2.error as error:
            raise UserError(
                f"{self.detector} is missing or no YuNet, so --detector cannot count faces. Take "
                "face_detection_yunet_2023mar.onnx of OpenCV's model zoo."
            ) from error


def evaluate(stage: Stage, options: Any) -> None:
    """Draw, read, compare, write."""
    pairs, rows = read_pairs(stage, "test")
    learned, _ = read_pairs(stage, "train")
    count = min(len(pairs), options.people)
    if count < 2:
        raise UserError(
            f"the test split has {count} person, and people are compared with each other. Make more pairs:\n"
            f"    {stage.command('30_make_sketch_pairs', '--force')}"
        )
    pairs = pairs.first(count)
    reader = Reader(stage, options.detector, learned.portraits)
    judged = _networks(stage, options, pairs.size)
    truth = Truth(reader, pairs, learned.portraits)
    by_hand = _by_hand(pairs, rows["img_no"].tolist())
    results: dict[str, Any] = {"true portraits": truth.measures()}
    shown = [list(part[:SHOWN]) for part in (pairs.sketches, pairs.portraits)]
    with stage.progress(len(judged), "networks") as progress:
        for name, network in judged.items():
            results[name], drawn = measure(network, truth, by_hand, options.variants)
            shown.append(list(drawn[:SHOWN]))
            progress.update()
    stage.write(SKETCH_EVALUATION, {"people": count, "goals": GOALS, "networks": results})
    stage.write(SKETCH_EVALUATION_TABLE, _table(results))
    labels = ["sketch", "true", *judged]
    stage.write(SKETCH_EVALUATION_SHEET, labelled_grid(shown, labels, [""] * len(shown[0])))
    own = results["workspace"]
    detected = "" if options.detector is None else f", {own['faces_detector']:.0%} by {options.detector.name}"
    stage.finish(
        {
            "L1": f"{own['l1']:.3f} on {count} test pairs, pixels in [-1, 1]",
            "landmarks": f"{_told(own['landmarks'])} eye distances off",
            "faces found": f"{own['faces_mtcnn']:.0%} by MTCNN{detected} (that says a face, not a good face)",
        },
        [SKETCH_EVALUATION_SHEET, SKETCH_EVALUATION_TABLE],
    )


class Truth:
    """What is known of the people of the test split, and of those a network learned from."""

    def __init__(self, reader: Reader, pairs: SketchPairs, learned: np.ndarray) -> None:
        self.reader, self.pairs = reader, pairs
        self.points = reader.points(pairs.portraits)
        self.read = reader.read(pairs.portraits)
        self.learned_features = reader.read(learned)["features"]

    def kid(self, features: np.ndarray) -> float:
        """KID of portraits to those of the training split."""
        return kernel_inception_distance(torch.from_numpy(features), torch.from_numpy(self.learned_features))

    def measures(self) -> dict[str, Any]:
        """The same measures of the true portraits themselves: what no network can do better."""
        return {
            "kid": self.kid(self.read["features"]),
            "faces_mtcnn": float(np.mean([one is not None for one in self.points])),
            "faces_detector": self.reader.share_detected(self.pairs.portraits),
        }


def measure(
    network: PortraitNetwork, truth: Truth, by_hand: np.ndarray, variants: int
) -> tuple[dict[str, Any], np.ndarray]:
    """All measures of a network, and its portraits uint8 [N, S, S, 3] of the exact sketches."""
    pairs, reader = truth.pairs, truth.reader
    drawn = network.portraits(pairs.sketches, pairs.colors)
    apart = (drawn.astype(np.float32) - pairs.portraits) / 127.5
    points = reader.points(drawn)
    read = reader.read(drawn)
    several = np.stack([network.variants(one, list(range(variants)))[0] for one in pairs.sketches])
    features = reader.read(several.reshape(-1, *several.shape[2:]))["features"]
    own_spread = _mean_distance(features.reshape(len(several), variants, -1))
    found: dict[str, Any] = {
        "parameters": parameter_count(network.unet),
        "l1": float(np.abs(apart).mean()),
        "l1_grey": float(np.abs(apart.mean(axis=3)).mean()),
        "landmarks": _mean_landmarks(truth.points, points),
        "landmarks_by_hand": _mean_landmarks(
            truth.points, reader.points(network.portraits(by_hand, pairs.colors))
        ),
        "kid": truth.kid(features),
        "diversity": own_spread / _mean_distance(truth.read["features"][None]),
        "identity_auc": None,
        "faces_mtcnn": float(np.mean([one is not None for one in points])),
        "faces_detector": reader.share_detected(drawn),
        "milliseconds": _milliseconds(network),
    }
    if "identity" in read and network.config.has_colors:
        once = np.ones((1, len(drawn)))
        area = anchored_identity_auc(truth.read["identity"], read["identity"][:, None], once)
        found["identity_auc"] = float(area[0])
    return found, drawn


def _networks(stage: Stage, options: Any, size: int) -> dict[str, PortraitNetwork]:
    """The networks to judge, by name."""
    found = {"workspace": open_network(stage, None)[0]}
    for text in options.networks:
        name, equals, file = text.partition("=")
        if not (name and equals and file) or name in found:
            raise UserError(
                f"--networks {text} is no NAME=FILE with a name of its own, such as plain=a.safetensors."
            )
        found[name] = open_network(stage, Path(file))[0]
    bundled = REPOSITORY / BUNDLED_SKETCH_NETWORK
    if options.bundled and bundled.is_file():
        found["bundled"] = open_network(stage, bundled)[0]
    for name, network in list(found.items()):
        if network.config.size != size:
            stage.log(f"{name} draws {network.config.size} px, and the pairs have {size}: it is left out")
            del found[name]
    if "workspace" not in found:
        raise UserError(
            "the workspace's network draws pictures of another size than its pairs. Train it anew:\n    "
            f"{stage.command('31_train_sketch_to_portrait', '--force')}"
        )
    return found


def _by_hand(pairs: SketchPairs, numbers: list[int]) -> np.ndarray:
    """The test sketches as an unsteady hand draws them, no line forgotten: uint8 [N, S, S]."""
    hand = Hand(drop=0.0, cut=0.0)
    found = []
    for number, strokes, sketch in zip(numbers, pairs.strokes, pairs.sketches, strict=False):
        rng = np.random.default_rng(derived_seed(Purpose.SKETCH_HAND, number=int(number)))
        found.append(draw(drawn_by_hand(strokes, hand, rng), pairs.size, LINE_WIDTH) if strokes else sketch)
    return np.stack(found)


def _told(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _mean_landmarks(asked: list[np.ndarray | None], found: list[np.ndarray | None]) -> float | None:
    """Mean distance in eye distances, over faces that were found in both; None if there is none."""
    apart = [
        landmark_distance(ours, theirs)
        for ours, theirs in zip(asked, found, strict=True)
        if ours is not None and theirs is not None
    ]
    known = [value for value in apart if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _mean_distance(features: np.ndarray) -> float:
    """Mean distance between two different members of a group, over groups [G, N, D]."""
    tensor = torch.from_numpy(features).double()
    distances = torch.cdist(tensor, tensor).sum(dim=(1, 2)) / (features.shape[1] * (features.shape[1] - 1))
    return float(distances.mean())


def _milliseconds(network: PortraitNetwork) -> float:
    """Median time of one picture, on the threads that the script has."""
    sketch = np.zeros((1, network.config.size, network.config.size), np.uint8)
    colors = np.zeros((1, len(COLOR_NAMES), 3), np.float32)
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        network.portraits(sketch, colors)
        times.append(1000 * (time.perf_counter() - started))
    return round(float(np.median(times)), 1)


def _table(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per network and measure."""
    rows = [
        {"network": name, "measure": measure, "value": value, "goal": GOALS.get(measure, ("",))[0]}
        for name, found in results.items()
        for measure, value in found.items()
        if value is not None
    ]
    return pd.DataFrame(rows)
