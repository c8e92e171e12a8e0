"""What validate_projection does: project_photos finds people, and judges compare them with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from data import portraits
from scripts.pipeline import Tool, UserError, files
from scripts.project_photos import Options as ProjectOptions
from scripts.stages import networks
from scripts.stages.image_files import read_image
from scripts.stages.projecting.faces import generators_frame
from scripts.stages.projecting.measuring import (
    IdentityReader,
    compare_people,
    load_identity_reader,
    mean_error,
    person_of,
)
from scripts.stages.projecting.stage import project_photos
from scripts.stages.regenerating.regenerator import FoundPerson, Regenerator, Request
from scripts.stages.scores import load_statistics, sweep_levels
from scripts.stages.sheets import labelled_grid
from segmentation.normalization import ScoreStatistics
from segmentation.parser_batches import crop_label_map
from segmentation.property_judge import PropertyJudge
from segmentation.property_scores import compute_scores
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES
from stylegan.sampling import to_uint8
from stylegan_modified.editing import edit_requests
from stylegan_modified.evaluation_control import control_measures
from stylegan_modified.evaluation_identity import anchored_identity_auc
from stylegan_modified.evaluation_intervals import weighted_mean
from stylegan_modified.stylegan_generator_v2 import DialGenerator

RESULTS, SHEET, STRIPS = "results.json", "comparison.png", "strips.png"
PORTRAIT_PX = range(64, 257)
SHEET_ROWS, STRIP_ROWS = 24, 4
PROJECTION_OPTIONS = (
    *("preset", "workspace", "device", "threads", "quiet", "version", "people_by_name", "w_steps"),
    *("wp_steps", "tune", "low_resolution", "batch_size", "judge", "force"),
)


def run(tool: Tool, options: Any) -> None:
    """Draw, find, read, write and print the figures."""
    output = options.out.resolve() if options.out else tool.path("validate_projection")
    with tool.alone_in(output, "another --out"):
        regenerator = Regenerator(tool, options.version)
        reader = load_identity_reader(tool, options.judge, generators_frame(tool))
        if reader is None:
            raise UserError(
                "Without a judge nobody can say who is shown. Give --judge, such as "
                "data/photographs/judge_identity.safetensors for photographs."
            )
        truth, drawn_here = None, options.photos is None
        statistics = load_statistics(tool)
        judge = networks.load_judge(tool, statistics)
        if drawn_here:
            truth = draw_portraits(judge, statistics, options, output, size_of(regenerator))
        shared = {name: getattr(options, name) for name in PROJECTION_OPTIONS}
        given = ProjectOptions(
            **shared,
            photos=output / "portraits" if drawn_here else options.photos,
            aligned=drawn_here and not options.align,
            face=1 if drawn_here else 0,
            out=output,
        )
        table = project_photos(tool, given, output)
        people = [regenerator.found(output / name) for name in table["person"]]
        photos = [read_image(output / name) for name in table["aligned"]]
        results = found_figures(regenerator, reader, judge, options, output, table, photos, people, truth)
        if options.editing:
            some, levels = slice(options.editing), sweep_levels(statistics)
            results["editing"] = editing_figures(
                tool, regenerator, reader, judge, levels, photos[some], people[some], output
            )
        files.write(output / RESULTS, results)
    report(tool, results)
    tool.finish({"people": str(len(table))}, [str(output / SHEET), str(output / RESULTS)])


def size_of(regenerator: Regenerator) -> int:
    """Pixels per side at which portraits are drawn for a generator."""
    size = dial_generator(regenerator).generator.resolution
    return min(max(size, PORTRAIT_PX.start), PORTRAIT_PX.stop - 1)


def dial_generator(regenerator: Regenerator) -> DialGenerator:
    """Its network, which has dials where people can be found in it."""
    if not isinstance(regenerator.model, DialGenerator):
        raise UserError(f"{regenerator.version} has no dials that move a given person, so nobody is sought.")
    return regenerator.model


def draw_portraits(
    judge: PropertyJudge, statistics: ScoreStatistics, options: Any, output: Path, size: int
) -> pd.DataFrame:
    """Draw the portraits as files; returns their dials by algorithm 3 on their exact masks, one row each."""
    seeds = range(options.first_seed, options.first_seed + options.count)
    drawn = portraits.render_many(seeds, size, processes=1)
    names = [f"{seed}.png" for seed in seeds]
    for name, image in zip(names, drawn.images, strict=True):
        path = output / "portraits" / name
        if not path.exists():
            files.write(path, image)
    crops = judge.segmenter.cropper(list(drawn.images))
    rows = [row for row, crop in enumerate(crops) if crop is not None]
    faces = [crop for crop in crops if crop is not None]
    boxes = np.array([face.box for face in faces])
    maps = [crop_label_map(drawn.label_maps[row], box / size) for row, box in zip(rows, boxes, strict=True)]
    crop_images = np.stack([face.image for face in faces])
    raw, valid = compute_scores(np.stack(maps), crop_images, LABEL_ALGORITHM, drawn.images[rows], boxes)
    values = np.full((len(names), len(PROPERTY_NAMES)), np.nan)
    values[rows] = np.where(valid, statistics.normalize(raw), np.nan)
    return pd.DataFrame(values, index=names, columns=list(PROPERTY_NAMES))


def found_figures(
    regenerator: Regenerator,
    reader: IdentityReader,
    judge: PropertyJudge,
    options: Any,
    output: Path,
    table: pd.DataFrame,
    photos: list[np.ndarray],
    people: list[FoundPerson],
    truth: pd.DataFrame | None,
) -> dict[str, Any]:
    """How near those who were found come to their photographs, with and without tuning."""
    pictures = {"untuned": [untuned(regenerator, person) for person in people]}
    if options.tune:
        pictures["tuned"] = [person.picture for person in people]
    names = [person_of(row, options.people_by_name) for _, row in table.iterrows()]
    limit = reader.embedder.card.threshold or np.inf
    results: dict[str, Any] = {"people": len(table), "seconds": round(float(table["seconds"].mean()), 2)}
    results["judge"] = reader.embedder.card.architecture
    if table["small_error"].notna().any():
        results["small_error"] = round(float(table["small_error"].mean()), 3)
    own = None if truth is None else truth.loc[table["source"]].to_numpy()
    if own is not None:
        results["parser_mae"] = named(mean_difference(known(judge, photos), own))
    for kind, drawn in pictures.items():
        compared, auc = compare_people(reader, photos, drawn, names, limit)
        errors = [mean_error(*pair) for pair in zip(photos, drawn, strict=True)]
        figures: dict[str, Any] = {"identity_auc": auc, "similarity": compared["similarity"].mean()}
        figures["similarity_lowest"] = compared["similarity"].min()
        if np.isfinite(limit):
            figures["verified"] = compared["alike"].mean()
        figures |= {"pixel_error": np.mean(errors), "pixel_error_largest": np.max(errors)}
        results[kind] = {name: round(float(value), 5) for name, value in figures.items() if value is not None}
        read = known(judge, drawn)
        against = own if own is not None else known(judge, photos)
        results[kind]["dials_mae"] = named(mean_difference(read, against))
    save_comparison(output / SHEET, table, photos, pictures)
    return results


def untuned(regenerator: Regenerator, person: FoundPerson) -> np.ndarray:
    """A person as the generator draws it before it was bent, uint8 [S, S, 3]."""
    with torch.inference_mode():
        return to_uint8(dial_generator(regenerator).generator.synthesis(person.untouched.wp))[0]


def known(judge: PropertyJudge, pictures: list[np.ndarray]) -> np.ndarray:
    """Dials float64 [N, 7], NaN where they are unreadable."""
    values, valid = judge(np.stack(pictures))
    return np.where(valid, values, np.nan)


def mean_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each column, of the rows that both know; NaN where there is none."""
    return weighted_mean(np.ones((1, len(first))), np.abs(first - second))[0]


def named(values: np.ndarray) -> dict[str, float]:
    """One number of each property, by name."""
    return {name: round(float(value), 4) for name, value in zip(PROPERTY_NAMES, values, strict=True)}


def save_comparison(
    path: Path, table: pd.DataFrame, photos: list[np.ndarray], pictures: dict[str, list[np.ndarray]]
) -> None:
    """Photographs beside what was found of them."""
    rows = list(zip(photos, *pictures.values(), strict=True))[:SHEET_ROWS]
    labels = [Path(source).stem for source in table["source"].head(SHEET_ROWS)]
    files.write(path, labelled_grid(rows, labels, ["photograph", *pictures]))


def editing_figures(
    tool: Tool,
    regenerator: Regenerator,
    reader: IdentityReader,
    judge: PropertyJudge,
    levels: np.ndarray,
    photos: list[np.ndarray],
    people: list[FoundPerson],
    output: Path,
) -> dict[str, Any]:
    """Control, leakage and identity while one dial turns and the six others stay as the person has them.

    Args:
        levels: float64 [5, 7] settings of each dial.
        photos, people: N of each.
    """
    count, steps = len(PROPERTY_NAMES), len(levels)
    measured = np.full((len(people), count, steps, count), np.nan)
    ends, strips = [], []
    with tool.progress(len(people), "people edited") as progress:
        for row, person in enumerate(people):
            wanted = edit_requests(torch.tensor([person.own]), torch.from_numpy(levels))[0]
            requests = [Request(person, tuple(one)) for one in wanted.flatten(0, 1).tolist()]
            edits = regenerator(requests).images
            measured[row] = known(judge, list(edits)).reshape(count, steps, count)
            edits = edits.reshape(count, steps, *edits.shape[1:])
            outer = list(edits[:, [0, -1]].reshape(-1, *edits.shape[2:]))
            ends.append(reader(outer))
            if row < STRIP_ROWS:
                strips.append([photos[row], person.picture, *outer])
            progress.update()
    requested = np.zeros((count, steps, count))
    requested[range(count), :, range(count)] = levels.T
    everyone = np.ones((1, len(people)))
    control = control_measures(requested, measured, everyone)
    titles = [f"{name.replace('_', ' ')} {end}" for name in PROPERTY_NAMES for end in ("low", "high")]
    names = [person.path.stem for person in people[:STRIP_ROWS]]
    files.write(output / STRIPS, labelled_grid(strips, names, ["photograph", "found", *titles]))
    figures = {
        "people": len(people),
        "control": named(control["control"][0]),
        "slope": named(control["slope"][0]),
        "leakage": round(float(control["leakage"][0]), 4),
        "response": [[round(float(value), 4) for value in line] for line in control["response"][0]],
    }
    if len(people) > 1:
        auc = anchored_identity_auc(reader(photos).numpy(), torch.stack(ends).numpy(), everyone)[0]
        figures["identity_auc"] = round(float(auc), 5)
    return figures


def report(tool: Tool, results: dict[str, Any]) -> None:
    """Print the figures."""
    for name, value in results.items():
        if not isinstance(value, dict):
            tool.log(f"{name}: {value}")
            continue
        tool.log(f"{name}:")
        for inner, figure in value.items():
            tool.log(f"  {inner}: {figure}")
