"""Measures and 95 % intervals of stage 09, from the readings of a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.stages.evaluating.judges import Judges
from scripts.stages.evaluating.readings import JOINT_DRAWN, Requests
from segmentation.property_table import PROPERTY_NAMES
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified import evaluation_summary as measures
from stylegan_modified.evaluation_editing import EditingReadings, editing_measures
from stylegan_modified.evaluation_identity import sweep_similarity
from stylegan_modified.evaluation_intervals import resample_weights, with_all
from stylegan_modified.evaluation_joint import JointReadings, joint_measures

SCHEMA = (  # keys of every version, in this order; further ones follow
    *("n_latents", "control", "pooled", "slope", "mae", "repeatability", "response", "leakage"),
    *("identity_auc", "identity_auc_per_property", "preservation", "hue_drift", "women", "good_quality"),
    *("pass", "pass_strict", "kid", "diversity"),
)


def summarise(
    readings: dict[str, dict[str, np.ndarray]],
    judges: Judges,
    requests: Requests,
    options: Any,
    dials: Sequence[str] = PROPERTY_NAMES,
) -> dict[str, Any]:
    """Measures and intervals of one version from its readings; none of a dial that it does not have."""
    read = dict(readings["sweep"])
    properties = read.pop("properties", None)
    by_oracle = None if properties is None else judges.oracle_lines.scores(properties)
    sweep = measures.SweepReadings(
        requested=requests.sweep, by_oracle=by_oracle, threshold=judges.people.threshold, **read
    )
    found = measures.sweep_measures(sweep, weights(options, len(sweep.measured)))
    for name in measures.AT_EQUAL_SETTINGS if requests.keeps_own else ():
        found.pop(name, None)
    for name, part in (("joint", slice(JOINT_DRAWN)), ("corner", slice(JOINT_DRAWN, None))):
        joint = JointReadings(**{key: values[:, part] for key, values in readings["joint"].items()})
        found |= joint_measures(joint, weights(options, len(joint.measured)), name)
    protocol = readings["protocol"]["measured"]
    found |= measures.protocol_measures(requests.protocol, protocol, weights(options, len(protocol)))
    population = measures.PopulationReadings(
        reference=judges.reference_features,
        reference_identity=judges.reference_identity,
        **readings["population"],
    )
    found |= measures.population_measures(
        population, weights(options, len(population.features)), weights(options, len(population.reference))
    )
    found = measures.of_dials(found, dials)
    entry = {"n_latents": len(sweep.measured)} | measures.estimates(found)
    if sweep.identity is not None:
        entry["similarity_along_sweep"] = measures.plain("control", sweep_similarity(sweep.identity))
    ordered = {name: entry.pop(name, None) for name in SCHEMA}
    editing = {"editing": summarise_editing(readings, requests, options)} if "editing" in readings else {}
    return ordered | entry | editing | {"confidence": measures.confidence(found)}


def summarise_editing(
    readings: dict[str, dict[str, np.ndarray]], requests: Requests, options: Any
) -> dict[str, Any]:
    """Measures and intervals of the given pictures that one version edits."""
    read = EditingReadings(requested=requests.sweep, **readings["given"], **readings["editing"])
    edited, encoded = len(read.error), len(read.z)
    found = editing_measures(read, weights(options, edited), weights(options, encoded))
    counts = {"pictures": edited, "pictures_encoded": encoded}
    return counts | measures.estimates(found) | {"confidence": measures.confidence(found)}


def weights(options: Any, count: int) -> np.ndarray:
    """How often each of `count` items counts: all as they are, then in resamples."""
    seed = derived_seed(Purpose.EVALUATION_RESAMPLES, options.seed, number=count)
    return with_all(resample_weights(count, options.resamples, seed))
