"""The body of stage 09: every version is read by the judges, summarised, and set beside the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from scripts.pipeline import MissingInputError, Stage, UserError, files
from scripts.stages import scores
from scripts.stages.evaluating import goals
from scripts.stages.evaluating.drawings import dials, editing_sheet, response_figure, strips
from scripts.stages.evaluating.generators import UnfittedBaseError, fitted_dials
from scripts.stages.evaluating.judges import Judges
from scripts.stages.evaluating.readings import JOINT_CORNERS, JOINT_DRAWN, Requests, VersionReadings
from scripts.stages.evaluating.summary import summarise
from scripts.stages.evaluating.versions import (
    BASELINES,
    ENCODED_PER_EDITED,
    FILES,
    FIRST_GIVEN,
    ON_REQUEST,
    WITHOUT_OWN,
    available_versions,
)
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.networks import recorded_segmentation
from scripts.stages.workspace import (
    DIALS,
    EDITING_SHEET,
    EVALUATION,
    EVALUATION_TABLE,
    EVALUATION_TEXT,
    RESPONSE,
    STRIPS,
)
from segmentation.property_table import PROPERTY_NAMES
from stylegan.parallel import Processes
from stylegan_modified.evaluation_identity import people_distances

STRIP_PEOPLE = 4
INSTALL_LANDMARKS = "`.venv/bin/python -m pip install -r data/photographs/requirements-judges.txt`."
EDITING_ROWS = 4  # as many as a part of the readings, whose pictures are at hand


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError`, before earlier results go, if there is nothing to evaluate or to compare with."""
    recorded_segmentation(stage)
    scores.load_statistics(stage)
    scores.read_scores(stage)
    versions = chosen_versions(stage, options)
    if versions == ["base"] or not {"base", *BASELINES}.isdisjoint(options.versions):
        fitted_dials(stage, "base")  # what can fail is the same for all of them


def evaluate(stage: Stage, options: Any) -> None:
    """Measure the chosen versions and write what was found, for people and programs.

    Args:
        options: of 09_evaluate.
    """
    keep_freed_memory()
    statistics = scores.load_statistics(stage)
    judges = Judges(stage, statistics)
    requests = Requests(stage, statistics, options.seed, keeps_own=options.others == "own")
    versions = chosen_versions(stage, options)
    ignored = [version for version in FILES if version not in (*versions, *ON_REQUEST)]
    if ignored:
        stage.log(f"not evaluated: {', '.join(ignored)}")
    made = read_together([VersionReadings(stage, version, judges, requests) for version in versions])
    if not stage.writes:
        return
    results, left_out = {}, {}
    for version in versions:
        try:
            readings = VersionReadings(stage, version, judges, requests, made.get(version, 0))
            results[version] = evaluate_version(stage, options, readings)
        except UnfittedBaseError as error:
            if version in options.versions:
                raise
            left_out[version] = str(error)
    if not results:
        raise UserError(f"no version could be evaluated. {' '.join(left_out.values())}")
    text = goals.markdown(results, notes(stage, options, judges, left_out))
    stage.write(EVALUATION, results | ({goals.LEFT_OUT: left_out} if left_out else {}))
    stage.write(EVALUATION_TABLE, goals.results_table(results))
    files.write(stage.path(EVALUATION_TEXT), text)
    stage.write(RESPONSE, response_figure(results))
    stage.log(text)
    shown = [STRIPS.format(version) for version in results]
    shown += [EDITING_SHEET.format(version) for version, entry in results.items() if "editing" in entry]
    stage.finish(headline(results), look_at=(EVALUATION_TEXT, RESPONSE, *shown))


def read_together(readings: Sequence[VersionReadings]) -> dict[str, int]:
    """Several processes share the readings of all versions; version -> pictures that they made together."""
    processes = Processes.of_this_run()
    made: dict[str, int] = {}
    for of_version in readings if processes.count > 1 else ():
        # What cannot be evaluated is reported when the results are put together.
        with suppress(UnfittedBaseError):
            of_version.make(of_version.plan()[processes.rank :: processes.count])
        total = processes.sum_values({"made": of_version.made}, of_version.stage.device)
        made[of_version.version] = int(total["made"])
    return made


def evaluate_version(stage: Stage, options: Any, readings: VersionReadings) -> dict[str, Any]:
    """Results of one version; its strips are on disk.

    Raises:
        UnfittedBaseError: there are too few pictures to fit the linear directions of the base.
    """
    read = readings.measure()
    entry = summarise(read, readings.judges, readings.requests, options, readings.dials)
    if entry["readable"] == 0:
        stage.log(f"the judge cannot read a single picture of {readings.version} in full; see its strips")
    sweeps = readings.sweep_pictures(range(STRIP_PEOPLE))
    stage.write(STRIPS.format(readings.version), strips(sweeps, options.seed))
    stage.write(DIALS.format(readings.version), dials(sweeps[0]))
    if "editing" in read:
        shown = readings.editing.pictures(range(min(EDITING_ROWS, options.editing_pictures)))
        stage.write(EDITING_SHEET.format(readings.version), editing_sheet(*shown))
    names = (
        *("seed", "others", "population", "protocol_latents", "editing_pictures"),
        *("corrections", "resamples"),
    )
    setting = {name: getattr(options, name) for name in names}
    people = readings.judges.people
    setting |= {"protocol_latents": options.protocol_count, "oracle": people.oracle is not None}
    setting |= {"judges": people.names, "photographs": people.read_photographs}
    return entry | {"setting": setting | {"weights": readings.weights}}


def headline(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Control, leakage and identity of each version."""

    def spell(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.3f}"

    lines = {}
    for version, entry in results.items():
        lowest = min((value for value in entry["control"].values() if value is not None), default=None)
        lines[version] = (
            f"control r at least {spell(lowest)}, leakage {spell(entry['leakage'])} sd per sd, identity AUC "
            f"{spell(entry['identity_auc'])} (n = {entry['n_latents']} latents)"
        )
    return lines


def chosen_versions(stage: Stage, options: Any) -> list[str]:
    """Versions to evaluate.

    Raises:
        MissingInputError: there is no generator with dials at all.
    """
    available = available_versions(stage)
    if options.others == "own":
        available = [version for version in available if version not in WITHOUT_OWN]
    if not available:
        raise MissingInputError(
            f"it needs a generator, and there is none in {stage.workspace}. 05_fine_tune_v1 makes the first:"
            f"\n    {stage.command('05_fine_tune_v1')}"
        )
    return [version for version in FILES if version in options.versions] or available


def people_notes(judges: Judges) -> list[str]:
    """Who judges people, by which numbers, and what nobody judges."""
    names = judges.people.names
    known = ", ".join(f"{question} by {name}" for question, name in names.items() if name)
    unknown = [question for question, name in names.items() if not name]
    found = [f"Judges of people, none of them in a loss: {known or 'none'}."]
    if unknown:
        found.append(
            f"No judge in this workspace for {', '.join(unknown)}: these rows say so, and no goal of theirs "
            "is called reached."
        )
    if judges.landmarks is not None:
        found.append("Outside landmarks: dlib's 68, which share nothing with the parser, for mouth and pose.")
    elif judges.people.read_photographs:
        found.append(f"No outside landmarks for mouth and pose: {INSTALL_LANDMARKS}")
    if judges.people.oracle is None:
        found.append("KID and diversity are measured on features of the face detector.")
    if judges.reference_identity is not None:
        apart = people_distances(judges.reference_identity, np.ones((1, judges.reference_count)))[0]
        limit = judges.people.threshold
        found.append(
            "Distances are Euclidean, of the identity judge's own descriptors; between two kept candidates "
            f"{apart:.3f}, mean of all pairs of {judges.reference_count}."
            + (f" Verified: closer than its published threshold {limit:g}." if limit is not None else "")
        )
    return found


def notes(stage: Stage, options: Any, judges: Judges, left_out: Mapping[str, str]) -> list[str]:
    """What a reader of the table has to know."""
    given, corrections = options.editing_pictures, options.corrections
    command = stage.command(
        stage.name,
        *("--latents", str(options.latents), "--seed", str(options.seed)),
        *("--population", str(options.population), "--protocol-latents", str(options.protocol_count)),
        *("--editing-pictures", str(given), "--corrections", str(corrections)),
        *(() if options.others == "median" else ("--others", options.others)),
    )
    others = {
        "median": "While one dial is turned, the others stand at the median of the training pictures.",
        "own": "While one dial is turned, the others stand at what each person has, as the version tells: v2 "
        "and v3 by their property CNN, the others by ridge regression on w.",
    }
    found = [
        f"n = {options.latents} latents (sweeps), {options.protocol_count} (reference protocol), "
        f"{options.population} (women, good quality, KID, diversity); {judges.reference_count} training "
        f"pictures; seeds from {options.seed}; closed-loop corrections in v2 and v3: {corrections}.",
        others[options.others],
        "Properties are read by stages 3 and 4. Repeatability: mean absolute difference of two readings of "
        "one face, the picture and its mirror image with the pose turned back, at the ends of the dials.",
        "Preservation: change between the ends of a dial outside its region, over the difference there "
        "between two people with settings drawn from the training scores (or with equal settings). "
        "Hue drift: of skin (all dials) and background (but for its own dials), in sd between people.",
        f"All dials drawn: {JOINT_DRAWN} pictures of each latent, every property drawn from its own training "
        f"scores, independently; at an end: {JOINT_CORNERS}, each property at its 5th or 95th percentile.",
        "Population pictures ask for the scores of training pictures; those of the base are the original "
        "generator's own, its dials at rest.",
        f"Command: `{command}`",
        *(f"{version} is left out: {reason}" for version, reason in left_out.items()),
    ]
    if given:
        found.append(
            f"Given pictures (v3): {given} women of good quality by the original generator, seeds "
            f"from {options.seed + FIRST_GIVEN}, edited by one dial, the others as the picture has them. "
            "Identity: the given picture with what becomes of it, against what becomes of others. R2 from z: "
            f"ridge regression of the properties of {ENCODED_PER_EDITED * given} given pictures on "
            "the encoder's mean z, each predicted by a fit on others."
        )
    found += people_notes(judges)
    if judges.people.oracle is None:
        return found
    agreement = zip(PROPERTY_NAMES, judges.oracle_lines.r, strict=True)
    found.append(
        "Read by the oracle: its own property head, trained on the truth of other portraits, mapped to "
        f"scores by a least-squares line per property on {judges.reference_count} training pictures. Its r "
        f"with the scores there: {', '.join(f'{name} {r:.3f}' for name, r in agreement)}. The oracle's error "
        "flattens the line: a perfect dial has a slope between r squared and 1."
    )
    return found
