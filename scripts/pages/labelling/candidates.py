"""The pictures to label, and what the networks of the filter stage already say about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.pages.labelling.answers import Answer
from scripts.pipeline import MissingInputError, Tool, UserError, files, records, tables
from scripts.stages.workspace import CANDIDATES, FILTERS

FILTER_STAGE = "02_filter_candidates"
GENERATE_STAGE = "01_generate_candidates"
EXAMPLE_COUNT = 3


@dataclass(frozen=True)
class Candidates:
    """The pictures of stage 01.

    Attributes:
        weights_id: generator that made them.
        paths: img_no -> path relative to the workspace, sorted by img_no.
        seeds: img_no -> seed.
        numbers: seed -> img_no.
    """

    weights_id: str
    paths: Mapping[int, str]
    seeds: Mapping[int, int]
    numbers: Mapping[int, int]

    @property
    def first_seed(self) -> int:
        """Seed of the first image."""
        return self.seeds[min(self.seeds)]

    def names(self) -> dict[int, str]:
        """img_no -> file name."""
        return {img_no: path.rsplit("/", 1)[-1] for img_no, path in self.paths.items()}


def load_candidates(tool: Tool) -> Candidates:
    """Read the table of candidates.

    Raises:
        MissingInputError: there is none.
        UserError: it is empty, or the pictures come from several generators or unrelated seeds.
    """
    path, command = tool.workspace / CANDIDATES, tool.command(GENERATE_STAGE)
    if not path.is_file():
        raise MissingInputError(
            f"it needs {CANDIDATES}, which is not in {tool.workspace}, so there is nothing to label. "
            f"{GENERATE_STAGE} makes it:\n    {command}"
        )
    mend = f"Make it anew:\n    {command} --force"
    table = tables.read_csv(path, ("img_no", "img_path", "seed", "weights_id"), mend)
    one_series = (table["seed"] - table["img_no"]).nunique() == 1 and table["weights_id"].nunique() == 1
    if not one_series:
        raise UserError(
            f"{path} is empty or mixes pictures of several generators or first seeds, so labels could not "
            f"say which pictures they belong to. {mend}"
        )
    img_nos, seeds = table["img_no"].tolist(), table["seed"].tolist()
    return Candidates(
        weights_id=str(table["weights_id"].iloc[0]),
        paths=dict(zip(img_nos, table["img_path"], strict=True)),
        seeds=dict(zip(img_nos, seeds, strict=True)),
        numbers=dict(zip(seeds, img_nos, strict=True)),
    )


@dataclass(frozen=True)
class Scores:
    """Probabilities by networks that did not learn from the picture in question.

    Attributes:
        women: img_no -> probability of a woman.
        good: img_no -> probability of good quality.
    """

    women: Mapping[int, float]
    good: Mapping[int, float]

    def __contains__(self, img_no: int) -> bool:
        return img_no in self.women and img_no in self.good

    def pair(self, img_no: int) -> tuple[float, float]:
        """Probabilities of a woman and of good quality."""
        return self.women[img_no], self.good[img_no]

    def uncertainty_bits(self, img_no: int) -> float:
        """Expected information of a person's answer: the entropies of both properties added, 0 to 2 bits."""
        return sum(_entropy_bits(probability) for probability in self.pair(img_no))

    def disagreement(self, img_no: int, answer: Answer) -> float:
        """Largest distance of a probability from the label, 0 to 1; above .5 the networks say the other."""
        labels = (answer.gender, answer.quality)
        return max(abs(p - label) for p, label in zip(self.pair(img_no), labels, strict=True))


def _entropy_bits(probability: float) -> float:
    return -sum(p * math.log2(p) for p in (probability, 1 - probability) if p > 0)


def load_scores(tool: Tool, candidates: Candidates) -> Scores | None:
    """What the filter stage found: its estimates of unlabelled pictures, out-of-fold ones of labelled ones.

    Returns:
        None if the stage has not finished, or judged other candidates than these.
    """
    record = records.read(tool.workspace, FILTER_STAGE)
    if not record or record["state"] != "complete":
        return None
    judged = record.get("depends_on", {}).get("inputs", {}).get(CANDIDATES, "")
    if judged != f"sha256 {files.sha256_file(tool.workspace / CANDIDATES)}":
        return None
    women, good = (_read_probabilities(tool, name, candidates) for name in FILTERS)
    return Scores(women, good)


def _read_probabilities(tool: Tool, name: str, candidates: Candidates) -> dict[int, float]:
    found: dict[int, float] = {}
    mend = f"Make it anew:\n    {tool.command(FILTER_STAGE, '--force')}"
    sources = ((f"cnn/inference_result/{name}.csv", name), (f"cnn/log/{name}_out_of_fold.csv", "probability"))
    for relative, column in sources:
        path = tool.workspace / relative
        if path.is_file():
            table = tables.read_csv(path, ("img_no", column), mend).dropna(subset=[column])
            found.update(zip(table["img_no"], table[column], strict=True))
    return {img_no: found[img_no] for img_no in candidates.paths if img_no in found}


def check_pictures(tool: Tool, candidates: Candidates, img_nos: list[int]) -> None:
    """Raise `UserError` if pictures that are to be shown are gone."""
    missing = [candidates.paths[n] for n in img_nos if not (tool.workspace / candidates.paths[n]).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(img_nos)} pictures to label vanished "
            f"({', '.join(missing[:EXAMPLE_COUNT])}), so they cannot be shown. Put them back, or generate "
            f"all of them again; labels stay, they belong to weights and seeds:\n    "
            f"{tool.command(GENERATE_STAGE, '--seed', str(candidates.first_seed), '--force')}"
        )
