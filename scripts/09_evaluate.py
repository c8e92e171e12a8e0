"""Evaluate the generators with dials on latents that no training saw, with judges that no loss knew."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import evaluation_generators, evaluation_readings, faces
from scripts.fast_memory import keep_freed_memory
from scripts.pipeline import (
    Input,
    MissingInputError,
    Stage,
    StageOptions,
    StageSpec,
    UserError,
    files,
    option,
    run_stage,
)
from scripts.pipeline.layers import nearest

if TYPE_CHECKING:
    import numpy as np

    from scripts.evaluation_readings import Judges, Requests, Sizes, VersionReadings

FIRST_SEED = 9_000_000  # below: candidates, people to practise on, latents that settings are tuned on
RESULTS = "evaluation/results.json"
TABLE = "evaluation/results.csv"
MARKDOWN = "evaluation/results.md"
RESPONSE = "evaluation/response.png"
STRIPS = "evaluation/strips_{}.png"
STRIP_PEOPLE = 4
SCHEMA = (  # keys of every version, in this order; further ones follow
    *("n_latents", "control", "pooled", "slope", "mae", "repeatability", "response", "leakage"),
    *("identity_auc", "identity_auc_per_property", "preservation", "hue_drift", "women", "good_quality"),
    *("pass", "pass_strict", "kid", "diversity"),
)


@dataclass(frozen=True)
class Options(StageOptions):
    """Evaluate the generators with dials: control, leakage, identity, realism, and the reference protocol.

    Readings of unchanged weights are kept in evaluation/measured, also under --force.
    """

    versions: tuple[str, ...] = option(
        (), help="base, v1_document, v1, v2, v3; none given: those in the workspace"
    )
    latents: int = option(100, help="latents whose dials are swept (even: people are compared in pairs)")
    seed: int = option(FIRST_SEED, help="latent n is made from the seed plus n")
    population: int = option(2000, help="latents for the shares of women and good quality, KID and diversity")
    protocol_latents: int = option(20, help="latents of the reference protocol, 50 pictures each")
    corrections: int = option(1, help="closed-loop corrections of v2 and v3 (0: none)")
    resamples: int = option(1000, help="bootstrap resamples of the 95 % intervals")
    chunk: int = option(4, help="latents between two saved parts (even)", affects_results=False)
    batch_size: int = option(64, help="pictures per forward pass of the generator", affects_results=False)

    def __post_init__(self) -> None:
        for version in self.versions:
            if version not in evaluation_generators.FILES:
                hint = nearest(version, evaluation_generators.FILES)
                raise ValueError(f"--versions: there is no version {version!r}. {hint}")
        if self.latents < 4 or self.latents % 2 or self.chunk < 2 or self.chunk % 2:
            raise ValueError("--latents must be an even number of at least 4, --chunk one of at least 2.")
        if self.seed < FIRST_SEED:
            raise ValueError(
                f"--seed must be at least {FIRST_SEED}: smaller seeds belong to training and tuning, so "
                "their latents cannot judge."
            )
        if min(self.population, self.protocol_latents, self.resamples) < 2:
            raise ValueError("--population, --protocol-latents and --resamples must be at least 2.")


def inputs(options: Options) -> tuple[Input, ...]:
    """What the judges and the chosen versions need; without a choice no generator but the base is needed."""
    found = {
        item.path: item for item in (*evaluation_readings.JUDGE_INPUTS, evaluation_generators.BASE_INPUT)
    }
    for version, items in evaluation_generators.FILES.items():
        for item in items:
            chosen = version in options.versions
            if chosen or not options.versions:
                asked = Input(item.path, item.made_by, optional=not chosen, note=item.note)
                found.setdefault(item.path, asked)
                if chosen:
                    found[item.path] = asked
    return tuple(found.values())


SPEC = StageSpec(
    name="09_evaluate",
    inputs=inputs,
    outputs=(RESULTS, TABLE, MARKDOWN, RESPONSE),
    clears=tuple(STRIPS.format(version) for version in evaluation_generators.FILES),
)


def summarise(
    readings: dict[str, dict[str, np.ndarray]], judges: Judges, requests: Requests, options: Options
) -> dict[str, Any]:
    """Measures and intervals of one version from its readings."""
    from stylegan_modified import evaluation_summary as summary
    from stylegan_modified.evaluation_identity import sweep_similarity
    from stylegan_modified.evaluation_intervals import resample_weights, with_all

    def weights(count: int) -> np.ndarray:
        return with_all(resample_weights(count, options.resamples, options.seed + count))

    sweep = summary.SweepReadings(requested=requests.sweep, **readings["sweep"])
    found = summary.sweep_measures(sweep, weights(len(sweep.measured)))
    protocol = readings["protocol"]["measured"]
    found |= summary.protocol_measures(requests.protocol, protocol, weights(len(protocol)))
    population = summary.PopulationReadings(reference=judges.reference_features, **readings["population"])
    found |= summary.population_measures(
        population, weights(len(population.features)), weights(len(population.reference))
    )
    entry = {"n_latents": len(sweep.measured)} | summary.estimates(found)
    if sweep.identity is not None:
        entry["similarity_along_sweep"] = summary.plain("control", sweep_similarity(sweep.identity))
    ordered = {name: entry.pop(name, None) for name in SCHEMA}
    return ordered | entry | {"confidence": summary.confidence(found)}


def chosen_versions(stage: Stage, options: Options) -> list[str]:
    """Versions to evaluate; those without files are named in the log.

    Raises:
        MissingInputError: there is no generator with dials at all.
    """
    available = evaluation_generators.available_versions(stage)
    if not available:
        raise MissingInputError(
            f"it needs a generator, and there is none in {stage.workspace}. 05_fine_tune_v1 makes the first:"
            f"\n    {stage.command('05_fine_tune_v1')}"
        )
    chosen = [version for version in evaluation_generators.FILES if version in options.versions] or available
    left_out = [version for version in evaluation_generators.FILES if version not in chosen]
    if left_out:
        stage.log(f"not evaluated: {', '.join(left_out)}")
    return chosen


def notes(
    stage: Stage, options: Options, sizes: Sizes, judges: Judges, left_out: Mapping[str, str]
) -> list[str]:
    """What a reader of the table has to know."""
    size = {name: str(value) for name, value in asdict(sizes).items()}
    command = stage.command(
        stage.name,
        *("--latents", size["latents"], "--seed", str(options.seed), "--population", size["population"]),
        *("--protocol-latents", size["protocol"], "--corrections", str(options.corrections)),
    )
    found = [
        f"n = {size['latents']} latents (sweeps), {size['protocol']} (reference protocol), "
        f"{size['population']} (women, good quality, KID, diversity); {len(judges.reference)} training "
        f"pictures; seeds from {options.seed}; closed-loop corrections in v2 and v3: {options.corrections}.",
        "Properties are read by stages 3 and 4. Repeatability: mean absolute difference of two readings of "
        "one face, the picture and its mirror image with the pose turned back, at the ends of the dials.",
        "Preservation: change between the ends of a dial outside its region, over the difference there "
        "between two people with settings drawn from the training scores (or with equal settings). "
        "Hue drift: of skin (all dials) and background (but for its own dials), in sd between people.",
        "Population pictures ask for the scores of training pictures; those of the base are the original "
        "generator's own, its dials at rest.",
        f"Command: `{command}`",
        *(f"{version} is left out: {reason}" for version, reason in left_out.items()),
    ]
    if not judges.has_oracle:
        found.append(
            "There is no oracle in this workspace: identity, women and good quality are not judged, and KID "
            "and diversity are measured on features of the face detector."
        )
    return found


def evaluate(stage: Stage, options: Options, readings: VersionReadings, sizes: Sizes) -> dict[str, Any]:
    """Results of one version; its strips are on disk.

    Raises:
        UnfittedBaseError: there are too few pictures to fit the linear directions of the base.
    """
    from scripts.evaluation_report import strips

    entry = summarise(readings.measure(sizes), readings.judges, readings.requests, options)
    if entry["readable"] == 0:
        stage.log(f"the judge cannot read a single picture of {readings.version} in full; see its strips")
    people = readings.sweep_pictures(range(STRIP_PEOPLE))
    stage.save_image(STRIPS.format(readings.version), strips(people, options.seed))
    setting = {
        "seed": options.seed,
        "population": sizes.population,
        "protocol_latents": sizes.protocol,
        "corrections": options.corrections,
        "resamples": options.resamples,
        "oracle": readings.judges.has_oracle,
        "weights": readings.weights,
    }
    return entry | {"setting": setting}


def run(stage: Stage, options: Options) -> None:
    from scripts import evaluation_report
    from scripts.evaluation_readings import Judges, Requests, Sizes, VersionReadings

    keep_freed_memory()
    statistics = faces.load_statistics(stage)
    judges, requests = Judges(stage, statistics), Requests(stage, statistics, options.seed)
    sizes = Sizes(
        options.latents, min(options.protocol_latents, options.latents), options.population, options.chunk
    )
    results, left_out = {}, {}
    for version in chosen_versions(stage, options):
        readings = VersionReadings(
            stage, version, judges, requests, options.seed, options.corrections, options.batch_size
        )
        try:
            results[version] = evaluate(stage, options, readings, sizes)
        except evaluation_generators.UnfittedBaseError as error:
            if version in options.versions:
                raise
            left_out[version] = str(error)
    if not results:
        raise UserError(f"no version could be evaluated. {' '.join(left_out.values())}")
    text = evaluation_report.markdown(results, notes(stage, options, sizes, judges, left_out))
    stage.write_json(RESULTS, results)
    stage.write_csv(TABLE, evaluation_report.results_table(results))
    files.write_text(stage.path(MARKDOWN), text)
    stage.save_figure(RESPONSE, evaluation_report.response_figure(results))
    stage.log(text)
    shown = [STRIPS.format(version) for version in results]
    stage.finish(headline(results), look_at=(MARKDOWN, RESPONSE, *shown))


def headline(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Control, leakage and identity of each version."""

    def spell(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.3f}"

    return {
        version: f"control r at least {spell(min(known) if (known := known_values(entry)) else None)}, "
        f"leakage {spell(entry['leakage'])} sd per sd, identity AUC {spell(entry['identity_auc'])} "
        f"(n = {entry['n_latents']} latents)"
        for version, entry in results.items()
    }


def known_values(entry: dict[str, Any]) -> list[float]:
    """Control of the properties that could be read."""
    return [value for value in entry["control"].values() if value is not None]


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
