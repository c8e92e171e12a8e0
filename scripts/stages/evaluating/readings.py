"""Readings of stage 09: pictures of one version are made and read in parts, each of which is a file.

A part is found again by what it depends on (weights, judges, seed, corrections), so an interrupted
evaluation goes on, and a larger one or one with another version repeats nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from cnn.onnx_networks import CAN_READ
from cvae.dialled import DialledVAE
from scripts.pipeline import Input, Stage, files
from scripts.pipeline.files import ArrayFileError, read_arrays
from scripts.pipeline.records import input_state
from scripts.stages import scores
from scripts.stages.evaluating.generators import DialledGenerator
from scripts.stages.evaluating.given_pictures import GivenPictures
from scripts.stages.evaluating.judges import Judges
from scripts.stages.evaluating.versions import ENCODED_PER_EDITED, FILES, JUDGE_INPUTS, has_encoder
from scripts.stages.generated_pictures import jpeg_round_trip
from scripts.stages.networks import is_v3_around_v2, recorded_segmentation
from segmentation.normalization import ScoreStatistics
from segmentation.outside_landmarks import CAN_READ as HAS_LANDMARKS
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import sample_z, to_uint8
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.evaluation import (
    distinct_requests,
    own_requests,
    render_requests,
    sweep_requests,
)
from stylegan_modified.evaluation_joint import corner_settings, drawn_settings
from stylegan_modified.evaluation_preservation import (
    changes_outside,
    differences_of_people,
    region_chromaticity,
)
from stylegan_modified.evaluation_protocol import protocol_requests

FOLDER = "evaluation/measured"
READING_VERSION = 8  # raised when the same weights and settings give other readings than before
POPULATION_CHUNK = 250
PROTOCOL_CHUNK = 4
ENCODING_CHUNK = 96
JOINT_DRAWN = JOINT_CORNERS = 4  # joint settings of each latent
OF_GIVEN_PICTURES = ("given", "editing")  # kinds of readings that depend on the encoder
FURTHER_PER_LATENT = 14 + 1  # mirrored ends of the dials, and one picture with settings of its own


@dataclass(frozen=True)
class Part:
    """Some latents of one kind of reading, `pictures` pictures in all."""

    kind: str
    latents: range
    pictures: int


class Requests:
    """What is asked of every version, from the statistics and the scores of stage 04.

    Attributes:
        sweep: [7, 5, 7], each property at its 5th to 95th percentile, the others at the median.
        distinct, index: what is rendered for `sweep`, without repetition (see
            `evaluation.distinct_requests`); NaN where a person's own property shall stay.
        keeps_own: the properties that are not turned stay as each person has them, not at the median.
        protocol: [50, 7], the grid of the reference protocol.
        levels: [5, 7], the settings of each dial.
    """

    def __init__(self, stage: Stage, statistics: ScoreStatistics, seed: int, keeps_own: bool = False) -> None:
        self.levels = scores.sweep_levels(statistics)
        percentiles = statistics.normalized_percentiles()
        self.sweep = sweep_requests(self.levels)
        self.keeps_own = keeps_own
        self.distinct, self.index = (own_requests if keeps_own else distinct_requests)(self.sweep)
        self.protocol = protocol_requests(self.levels[2], percentiles[:, 0], percentiles[:, -1])
        self._scores = scores.read_scores(stage)[1]
        self._seed = seed

    def of_population(self, numbers: range) -> np.ndarray:
        """Properties [n, 7] of population pictures: the scores of a training picture drawn for each."""
        seeds = [derived_seed(Purpose.EVALUATION_REQUEST, self._seed, number=n) for n in numbers]
        rows = [np.random.default_rng(seed).integers(len(self._scores)) for seed in seeds]
        return self._scores[rows]

    def joint(self, latents: range) -> np.ndarray:
        """Settings [n, JOINT_DRAWN + JOINT_CORNERS, 7] of all dials at once, other ones for each latent:
        first those drawn from the marginals of the scores, then corners of the 5th and 95th percentiles.
        """
        settings = []
        for number in latents:
            rng = np.random.default_rng(derived_seed(Purpose.EVALUATION_JOINT, self._seed, number=number))
            drawn = drawn_settings(self._scores, JOINT_DRAWN, rng)
            corners = corner_settings(self.levels[0], self.levels[-1], JOINT_CORNERS, rng)
            settings.append(np.concatenate([drawn, corners]))
        return np.stack(settings)


class VersionReadings:
    """All readings of one version.

    Args:
        stage: the running script.
        version: name of the generator.
        judges, requests: shared by all versions.
        made: pictures that this run made already.

    Attributes:
        weights: what identifies the files of the version, by workspace-relative path.
        folder: of the readings, relative to the workspace.
        generated_folder: of those of generated pictures; v3 shares v2's, whose generator it usually has.
    """

    def __init__(self, stage: Stage, version: str, judges: Judges, requests: Requests, made: int = 0) -> None:
        self.stage, self.version, self.judges, self.requests = stage, version, judges, requests
        self.made = made
        options: Any = stage.options
        self.options = options
        self.seed, self.batch_size = options.seed, options.batch_size
        self.weights = self._states(FILES[version])
        self.folder = self._folder(version)
        shares = version == "v3" and is_v3_around_v2(stage)
        self.generated_folder = self._folder("v2") if shares else self.folder
        self._first_sweep: np.ndarray | None = None

    def _states(self, items: Iterable[Input]) -> dict[str, str]:
        return {item.path: input_state(item, self.stage.workspace) for item in items}

    def _folder(self, version: str) -> str:
        """Folder for the readings of a version, by what they depend on."""
        settings = [READING_VERSION, self.seed, self.options.corrections]
        settings += [] if CAN_READ else ["no onnxruntime"]
        settings += ["landmarks"] if HAS_LANDMARKS else []
        networks = self._states(FILES[version]), self._states(JUDGE_INPUTS)
        depends_on = [*settings, *networks, recorded_segmentation(self.stage).to_json()]
        key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:12]
        return f"{FOLDER}/{version}/{key}"

    @cached_property
    def generator(self) -> DialledGenerator:
        """The generator, loaded when a picture is needed."""
        return DialledGenerator(self.stage, self.version, self.options.corrections)

    @property
    def dials(self) -> tuple[str, ...]:
        """The properties that this version can turn; a conditional VAE may have been trained without some."""
        if self.version != "cvae":
            return PROPERTY_NAMES
        return cast(DialledVAE, self.generator.model).dials

    @cached_property
    def editing(self) -> GivenPictures:
        """Given pictures, for a version that has an encoder."""
        return GivenPictures(self.stage, self.generator, self.judges, self.requests.levels)

    def plan(self) -> list[Part]:
        """All parts of an evaluation."""
        options = self.options
        edited = options.editing_pictures if has_encoder(self.version) else 0
        kinds = (
            ("sweep", options.latents, options.chunk, len(self.requests.distinct) + FURTHER_PER_LATENT),
            ("joint", options.latents, options.chunk, JOINT_DRAWN + JOINT_CORNERS),
            ("protocol", options.protocol_count, PROTOCOL_CHUNK, len(self.requests.protocol)),
            ("population", options.population, POPULATION_CHUNK, 1),
            ("given", ENCODED_PER_EDITED * edited, ENCODING_CHUNK, 1),
            ("editing", edited, options.chunk, self.requests.index.size + 1),
        )
        return [
            Part(kind, latents, len(latents) * per_latent)
            for kind, total, chunk, per_latent in kinds
            for latents in (range(total)[start : start + chunk] for start in range(0, total, chunk))
        ]

    def make(self, parts: list[Part]) -> None:
        """Make those of these parts that are missing.

        Raises:
            Interrupted: Ctrl-C; finished parts are kept.
        """
        missing = [part for part in parts if not self._path(part).exists()]
        total, left = (sum(part.pictures for part in group) for group in (parts, missing))
        with self.stage.progress(total, f"pictures of {self.version}", done=total - left) as progress:
            for part in missing:
                files.write(self._path(part), self._read(part))
                self.made += part.pictures
                progress.update(part.pictures)

    def measure(self) -> dict[str, dict[str, np.ndarray]]:
        """Make what is missing; arrays of each kind, joined over its latents in order.

        Raises:
            Interrupted: Ctrl-C; finished parts are kept.
        """
        folder = self.stage.workspace / self.folder
        for other in folder.parent.iterdir() if folder.parent.is_dir() else ():
            if other != folder:  # readings of weights that this version no longer has
                files.remove(other)
        parts = self.plan()
        self.make(parts)
        total = sum(part.pictures for part in parts)
        self.stage.count(f"pictures of {self.version}", self.made, total - self.made)
        joined: dict[str, dict[str, np.ndarray]] = {}
        with self.stage.foreseen(ArrayFileError, mend="Remove it, and give the same command again."):
            for kind in dict.fromkeys(part.kind for part in parts):
                read = [read_arrays(self._path(part)) for part in parts if part.kind == kind]
                joined[kind] = {name: np.concatenate([arrays[name] for arrays in read]) for name in read[0]}
        return joined

    def sweep_pictures(self, latents: range) -> np.ndarray:
        """Sweeps to look at: uint8 [n, 7, 5, H, W, 3]."""
        first = self._first_sweep
        if first is None or latents.start or latents.stop > len(first):
            first = self._render(latents, self.requests.distinct)
        return first[: len(latents), self.requests.index]

    def _path(self, part: Part) -> Path:
        kind = "own_sweep" if part.kind == "sweep" and self.requests.keeps_own else part.kind
        name = f"{kind}_{part.latents.start:06d}_{len(part.latents):03d}.npz"
        folder = self.folder if part.kind in OF_GIVEN_PICTURES else self.generated_folder
        return self.stage.workspace / folder / name

    def _z(self, latents: range) -> Tensor:
        return sample_z(latents, self.seed, self.generator.z_dim).to(self.stage.device)

    def _render(self, latents: range, requests: np.ndarray) -> np.ndarray:
        return render_requests(self.generator, self._z(latents), requests, self.batch_size)

    def _read(self, part: Part) -> dict[str, np.ndarray]:
        if part.kind == "given":
            return self.editing.read_given(part.latents)
        if part.kind == "editing":
            return self.editing.read_edited(part.latents)
        readers = {
            "sweep": self._sweep,
            "joint": self._joint,
            "protocol": self._protocol,
            "population": self._population,
        }
        return readers[part.kind](part.latents)

    def _sweep(self, latents: range) -> dict[str, np.ndarray]:
        images = self._render(latents, self.requests.distinct)
        if latents.start == 0:
            self._first_sweep = images  # shown later
        known, maps = self.judges.faces(images)
        index, ends = self.requests.index, self.requests.index[:, [0, -1]]
        changed, between = changes_outside(images[:, ends], maps[:, ends])
        people = np.concatenate(list(self._population_batches(latents)))
        colours = region_chromaticity(
            images.reshape(-1, *images.shape[2:]), maps.reshape(-1, *maps.shape[2:])
        )
        read = self.judges.read(images)
        read.pop("features", None)
        if "identity" in read:
            read |= {name: read[name][:, index] for name in ("identity", "properties") if name in read}
        if self.judges.landmarks is not None:
            read["by_landmarks"] = self.judges.landmarks.of_sweeps(images[:, index])
        shown = ends.ravel()
        return read | {
            "measured": known[:, index],
            "repeated": np.abs(known[:, shown] - self.judges.known_mirrored(images[:, shown])),
            "changed": changed,
            "between": between,
            "people": differences_of_people(people, self.judges.properties.label_maps(people)),
            "chromaticity": colours.reshape(*images.shape[:2], 2, 2)[:, index],
        }

    def _joint(self, latents: range) -> dict[str, np.ndarray]:
        requests = self.requests.joint(latents)
        images = self._render(latents, requests)
        read = {name: values for name, values in self.judges.read(images).items() if name == "identity"}
        return read | {"requested": requests, "measured": self.judges.known(images)}

    def _protocol(self, latents: range) -> dict[str, np.ndarray]:
        return {"measured": self.judges.known(self._render(latents, self.requests.protocol))}

    def _population(self, latents: range) -> dict[str, np.ndarray]:
        images = [jpeg_round_trip(image) for batch in self._population_batches(latents) for image in batch]
        read = self.judges.read_with_features(np.stack(images))
        read.pop("properties", None)
        return read

    def _population_batches(self, latents: range) -> Iterator[np.ndarray]:
        """Pictures of the population; those of the base show the original generator, its dials at rest."""
        z, wanted = self._z(latents), torch.from_numpy(self.requests.of_population(latents))
        for start in range(0, len(z), self.batch_size):
            rows = slice(start, start + self.batch_size)
            asked = None if self.version == "base" else wanted[rows].to(z)
            with torch.no_grad():
                yield to_uint8(self.generator(z[rows], asked))
