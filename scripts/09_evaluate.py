"""Evaluate the generators with dials on latents that no training saw, with judges that no loss knew."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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
from scripts.stages import scores
from scripts.stages.evaluating import evaluation_generators
from scripts.stages.evaluating.evaluation_editing import (
    CANDIDATES_PER_GIVEN,
    ENCODED_PER_EDITED,
    FIRST_GIVEN,
    SMALLEST_SEARCH,
)
from scripts.stages.evaluating.evaluation_judges import JUDGE_INPUTS
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.networks import recorded_segmentation
from stylegan.seeds import EVALUATION, Purpose, derived_seed

if TYPE_CHECKING:
    import numpy as np

    from scripts.stages.evaluating.evaluation_judges import Judges
    from scripts.stages.evaluating.evaluation_readings import Requests, Sizes, VersionReadings

RESULTS = "evaluation/results.json"
LEFT_OUT = "left_out"  # its key beside the versions: version that could not be evaluated -> reason
TABLE = "evaluation/results.csv"
MARKDOWN = "evaluation/results.md"
RESPONSE = "evaluation/response.png"
STRIPS = "evaluation/strips_{}.png"
STRIP_PEOPLE = 4
EDITING = "evaluation/editing_{}.png"
EDITING_ROWS = 6
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
    seed: int = option(EVALUATION.start, help="latent n is made from the seed plus n")
    population: int = option(2000, help="latents for the shares of women and good quality, KID and diversity")
    protocol_latents: int = option(20, help="latents of the reference protocol, 50 pictures each")
    editing_pictures: int = option(
        64, help="given pictures that v3 reconstructs and edits (even; 0: none); 8 times as many are encoded"
    )
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
        if self.editing_pictures < 0 or self.editing_pictures % 2:
            raise ValueError("--editing-pictures must be an even number, or 0 to measure no editing.")
        if self.seed < EVALUATION.start:
            raise ValueError(
                f"--seed must be at least {EVALUATION.start}: smaller seeds belong to training and tuning, "
                "so their latents cannot judge."
            )
        self.need_at_least(2, "population", "protocol_latents", "resamples")
        self.need_at_least(1, "batch_size")
        self.need_at_least(0, "corrections")
        if max(self.latents, self.population) > FIRST_GIVEN:
            raise ValueError(
                f"--latents and --population must be at most {FIRST_GIVEN}: the seeds behind them are those "
                "of the given pictures."
            )
        given = max(CANDIDATES_PER_GIVEN * ENCODED_PER_EDITED * self.editing_pictures, SMALLEST_SEARCH)
        if self.seed + FIRST_GIVEN + given + self.batch_size > EVALUATION.stop:
            raise ValueError(f"--seed is too large: seeds of pictures end at {EVALUATION.stop}.")


def inputs(options: Options) -> tuple[Input, ...]:
    """What the judges and the chosen versions need; without a choice no generator but the base is needed."""
    found = {item.path: item for item in (*JUDGE_INPUTS, evaluation_generators.BASE_INPUT)}
    for version, items in evaluation_generators.FILES.items():
        for item in items:
            chosen = version in options.versions
            if chosen or not options.versions:
                asked = replace(item, optional=item.optional or not chosen)
                found.setdefault(item.path, asked)
                if chosen:
                    found[item.path] = asked
    return tuple(found.values())


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if there is nothing to evaluate or to compare with."""
    recorded_segmentation(stage)
    scores.load_statistics(stage)
    scores.read_scores(stage)
    versions = chosen_versions(stage, options)
    if "base" in options.versions or versions == ["base"]:
        evaluation_generators.linear_dials(stage)


SPEC = StageSpec(
    name="09_evaluate",
    inputs=inputs,
    outputs=(RESULTS, TABLE, MARKDOWN, RESPONSE),
    clears=tuple(
        path.format(version) for path in (STRIPS, EDITING) for version in evaluation_generators.FILES
    ),
    check=check,
    several_processes=True,
    version=2,
)


def summarise(
    readings: dict[str, dict[str, np.ndarray]], judges: Judges, requests: Requests, options: Options
) -> dict[str, Any]:
    """Measures and intervals of one version from its readings."""
    from stylegan_modified import evaluation_summary as summary
    from stylegan_modified.evaluation_identity import sweep_similarity

    read = dict(readings["sweep"])
    properties = read.pop("properties", None)
    by_oracle = None if properties is None else judges.oracle_lines.scores(properties)
    sweep = summary.SweepReadings(requested=requests.sweep, by_oracle=by_oracle, **read)
    found = summary.sweep_measures(sweep, weights(options, len(sweep.measured)))
    protocol = readings["protocol"]["measured"]
    found |= summary.protocol_measures(requests.protocol, protocol, weights(options, len(protocol)))
    population = summary.PopulationReadings(reference=judges.reference_features, **readings["population"])
    found |= summary.population_measures(
        population, weights(options, len(population.features)), weights(options, len(population.reference))
    )
    entry = {"n_latents": len(sweep.measured)} | summary.estimates(found)
    if sweep.identity is not None:
        entry["similarity_along_sweep"] = summary.plain("control", sweep_similarity(sweep.identity))
    ordered = {name: entry.pop(name, None) for name in SCHEMA}
    editing = {"editing": summarise_editing(readings, requests, options)} if "editing" in readings else {}
    return ordered | entry | editing | {"confidence": summary.confidence(found)}


def summarise_editing(
    readings: dict[str, dict[str, np.ndarray]], requests: Requests, options: Options
) -> dict[str, Any]:
    """Measures and intervals of the given pictures that one version edits."""
    from stylegan_modified import evaluation_summary as summary
    from stylegan_modified.evaluation_editing import EditingReadings, editing_measures

    read = EditingReadings(requested=requests.sweep, **readings["given"], **readings["editing"])
    edited, encoded = len(read.error), len(read.z)
    found = editing_measures(read, weights(options, edited), weights(options, encoded))
    counts = {"pictures": edited, "pictures_encoded": encoded}
    return counts | summary.estimates(found) | {"confidence": summary.confidence(found)}


def weights(options: Options, count: int) -> np.ndarray:
    """How often each of `count` items counts: all as they are, then in resamples."""
    from stylegan_modified.evaluation_intervals import resample_weights, with_all

    seed = derived_seed(Purpose.EVALUATION_RESAMPLES, options.seed, number=count)
    return with_all(resample_weights(count, options.resamples, seed))


def chosen_versions(stage: Stage, options: Options) -> list[str]:
    """Versions to evaluate.

    Raises:
        MissingInputError: there is no generator with dials at all.
    """
    available = evaluation_generators.available_versions(stage)
    if not available:
        raise MissingInputError(
            f"it needs a generator, and there is none in {stage.workspace}. 05_fine_tune_v1 makes the first:"
            f"\n    {stage.command('05_fine_tune_v1')}"
        )
    return [version for version in evaluation_generators.FILES if version in options.versions] or available


def notes(
    stage: Stage, options: Options, sizes: Sizes, judges: Judges, left_out: Mapping[str, str]
) -> list[str]:
    """What a reader of the table has to know."""
    size = {name: str(value) for name, value in asdict(sizes).items()}
    command = stage.command(
        stage.name,
        *("--latents", size["latents"], "--seed", str(options.seed), "--population", size["population"]),
        *("--protocol-latents", size["protocol"], "--editing-pictures", size["editing"]),
        *("--corrections", str(options.corrections)),
    )
    found = [
        f"n = {size['latents']} latents (sweeps), {size['protocol']} (reference protocol), "
        f"{size['population']} (women, good quality, KID, diversity); {judges.reference_count} training "
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
    if sizes.editing:
        found.append(
            f"Given pictures (v3): {size['editing']} women of good quality by the original generator, seeds "
            f"from {options.seed + FIRST_GIVEN}, edited by one dial, the others as the picture has them. "
            "Identity: the given picture with what becomes of it, against what becomes of others. R2 from z: "
            f"ridge regression of the properties of {ENCODED_PER_EDITED * sizes.editing} given pictures on "
            "the encoder's mean z, each predicted by a fit on others."
        )
    if not judges.has_oracle:
        found.append(
            "There is no oracle in this workspace: identity, women and good quality are not judged, and KID "
            "and diversity are measured on features of the face detector."
        )
        return found
    from segmentation.property_table import PROPERTY_NAMES

    agreement = zip(PROPERTY_NAMES, judges.oracle_lines.r, strict=True)
    found.append(
        "Read by the oracle: its own property head, trained on the truth of other portraits, mapped to "
        f"scores by a least-squares line per property on {judges.reference_count} training pictures. Its r "
        f"with the scores there: {', '.join(f'{name} {r:.3f}' for name, r in agreement)}. The oracle's error "
        "flattens the line: a perfect dial has a slope between r squared and 1."
    )
    return found


def evaluate(stage: Stage, options: Options, readings: VersionReadings, sizes: Sizes) -> dict[str, Any]:
    """Results of one version; its strips are on disk.

    Raises:
        UnfittedBaseError: there are too few pictures to fit the linear directions of the base.
    """
    from scripts.stages.evaluating.evaluation_report import editing_sheet, strips

    read = readings.measure(sizes)
    entry = summarise(read, readings.judges, readings.requests, options)
    if entry["readable"] == 0:
        stage.log(f"the judge cannot read a single picture of {readings.version} in full; see its strips")
    people = readings.sweep_pictures(range(STRIP_PEOPLE))
    stage.save_image(STRIPS.format(readings.version), strips(people, options.seed))
    if "editing" in read:
        shown = readings.editing.pictures(range(min(EDITING_ROWS, sizes.editing)))
        stage.save_image(EDITING.format(readings.version), editing_sheet(*shown))
    setting = {
        "seed": options.seed,
        "population": sizes.population,
        "protocol_latents": sizes.protocol,
        "editing_pictures": sizes.editing,
        "corrections": options.corrections,
        "resamples": options.resamples,
        "oracle": readings.judges.has_oracle,
        "weights": readings.weights,
    }
    return entry | {"setting": setting}


def read_together(readings: Iterable[VersionReadings], sizes: Sizes) -> dict[str, int]:
    """Several processes share the readings of all versions; version -> pictures that they made together."""
    from stylegan.parallel import Processes

    processes = Processes.of_this_run()
    made: dict[str, int] = {}
    if processes.count == 1:
        return made
    for of_version in readings:
        # What cannot be evaluated is reported when the results are put together.
        with suppress(evaluation_generators.UnfittedBaseError):
            of_version.make(of_version.plan(sizes)[processes.rank :: processes.count])
        total = processes.sum_values({"made": of_version.made}, of_version.stage.device)
        made[of_version.version] = int(total["made"])
    return made


def run(stage: Stage, options: Options) -> None:
    from scripts.stages.evaluating import evaluation_report
    from scripts.stages.evaluating.evaluation_judges import Judges
    from scripts.stages.evaluating.evaluation_readings import Requests, Sizes, VersionReadings

    keep_freed_memory()
    statistics = scores.load_statistics(stage)
    judges, requests = Judges(stage, statistics), Requests(stage, statistics, options.seed)
    sizes = Sizes(
        options.latents,
        min(options.protocol_latents, options.latents),
        options.population,
        options.editing_pictures,
        options.chunk,
    )
    versions = chosen_versions(stage, options)
    ignored = [version for version in evaluation_generators.FILES if version not in versions]
    if ignored:
        stage.log(f"not evaluated: {', '.join(ignored)}")

    def readings_of(version: str) -> VersionReadings:
        return VersionReadings(
            stage, version, judges, requests, options.seed, options.corrections, options.batch_size
        )

    made = read_together(map(readings_of, versions), sizes)
    if not stage.writes:
        return
    results, left_out = {}, {}
    for version in versions:
        try:
            readings = readings_of(version)
            readings.made = made.get(version, 0)
            results[version] = evaluate(stage, options, readings, sizes)
        except evaluation_generators.UnfittedBaseError as error:
            if version in options.versions:
                raise
            left_out[version] = str(error)
    if not results:
        raise UserError(f"no version could be evaluated. {' '.join(left_out.values())}")
    text = evaluation_report.markdown(results, notes(stage, options, sizes, judges, left_out))
    stage.write_json(RESULTS, results | ({LEFT_OUT: left_out} if left_out else {}))
    stage.write_csv(TABLE, evaluation_report.results_table(results))
    files.write_text(stage.path(MARKDOWN), text)
    stage.save_figure(RESPONSE, evaluation_report.response_figure(results))
    stage.log(text)
    shown = [STRIPS.format(version) for version in results]
    shown += [EDITING.format(version) for version, entry in results.items() if "editing" in entry]
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
