"""What 27 does: every method retouches the same pictures; what is taken, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from cvae import retouching as methods
from cvae.realness import Realness, auc, logits, split
from cvae.recipes import ROLES, Role
from scripts.pipeline import Stage, UserError, files
from scripts.stages import scores
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.making import Maker, as_stored
from scripts.stages.cvae.realness import given_pictures, load_role
from scripts.stages.evaluating.judges import Judges
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.networks import candidate_size
from scripts.stages.sheets import labelled_grid
from stylegan.sampling import from_uint8, to_uint8
from stylegan.seeds import PRACTICE, Purpose, derived_seed
from stylegan_modified.evaluation_identity import anchored_identity_auc

METHODS = ("select", "latent", "refine", "plain")
SHOWN = 8


class Readings:
    """What the judges of 09 read from pictures uint8 [N, H, W, 3], enlarged to the size that they expect."""

    def __init__(self, stage: Stage, judged: bool) -> None:
        self.judges: Judges | None = None
        if judged:
            self.judges = Judges(stage, scores.load_statistics(stage))
            self.size = candidate_size(stage)

    def dials(self, images: np.ndarray) -> np.ndarray:
        """Properties [N, 7] in sd by stages 3 and 4, which decide what is accepted; [N, 0] unjudged."""
        return np.empty((len(images), 0)) if self.judges is None else self.judges.known(self._large(images))

    def people(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Identity, and the oracle's own properties in sd, by networks that decide nothing here."""
        if self.judges is None:
            return {}
        found = self.judges.read(self._large(images))
        if "properties" in found:
            found["properties"] = self.judges.oracle_lines.scores(found["properties"])
        return found

    def _large(self, images: np.ndarray) -> np.ndarray:
        size = (self.size, self.size)
        large = [Image.fromarray(image).resize(size, Image.Resampling.BICUBIC) for image in images]
        return np.stack([np.asarray(image) for image in large])


def retouch(stage: Stage, options: Any) -> None:
    """Retouch by each method, accept, measure, and write pictures, table and sheets."""
    keep_freed_memory()
    seed = checked_seed(stage, options)
    networks = {role: load_role(stage, role) for role in ROLES}
    guide = networks["guide"]
    given, sources = given_pictures(stage)
    maker = Maker(stage, options.version, (given.shape[1], given.shape[2]))
    draw = derived_seed(Purpose.RETOUCHING_STEP, options.seed, 1)
    conditions = dataset.drawn(dataset.seen_conditions(stage), options.count, draw).to(stage.device)
    z = maker.noise(options.first_seed, options.count)
    readings = Readings(stage, options.judged)
    before = maker.stored(z, conditions)
    ahead = {role: logits(network, before) for role, network in networks.items()}
    dials, people = readings.dials(before), readings.people(before)
    unseen = given[split(sources, "judge", seed)]  # pictures that the judging classifier did not learn from
    known = {role: logits(network, unseen) for role, network in networks.items()}

    results: dict[str, Any] = {"before": measures(known, ahead, ahead, people, people, np.ones(len(z), bool))}
    rows = []
    with stage.progress(len(METHODS), "methods") as progress:
        for method in METHODS:
            after = changed(stage, options, method, maker, guide, z, conditions, before)
            behind = {role: logits(network, after) for role, network in networks.items()}
            drift = np.abs(readings.dials(after) - dials)
            taken = methods.accepted(ahead["second"], behind["second"], drift, options.drift)
            if method == "plain":  # what not to do takes everything
                taken = np.ones(len(z), bool)
            final = np.where(taken[:, None, None, None], after, before)
            last = {role: np.where(taken, behind[role], ahead[role]) for role in ROLES}
            results[method] = measures(known, ahead, last, people, readings.people(final), taken)
            for n, image in enumerate(final):
                file = f"{at.RETOUCHED}/{method}/{n:06d}.png"
                stage.write(file, image)
                values = {f"{role}_before": ahead[role][n] for role in ROLES}
                values |= {f"{role}_after": behind[role][n] for role in ROLES}
                rows.append({"file": file, "method": method, "accepted": int(taken[n])} | values)
            stage.write(
                at.RETOUCHING_SHEET.format(method), sheet(method, before, after, ahead, behind, taken)
            )
            progress.update()
    stage.write(at.RETOUCHING_TABLE, pd.DataFrame(rows).round(4))
    stage.write(at.RETOUCHING_RECORD, results)
    text = markdown(results, options)
    files.write(stage.path(at.RETOUCHING_TEXT), text)
    stage.log(text)
    stage.finish(
        {m: f"judge's AUC {results[m]['auc']['judge']:.3f}" for m in ("before", *METHODS)},
        [at.RETOUCHING_TEXT, *map(at.RETOUCHING_SHEET.format, METHODS)],
    )


def checked_seed(stage: Stage, options: Any) -> int:
    """The seed of the classifiers, by which their held-out pictures are known.

    Raises:
        UserError: they learned from pictures of another generator.
    """
    record = files.read_json(stage.workspace / at.REALNESS_RECORD)
    version = record["version"]
    if version != options.version:
        again = stage.command("26_train_realness", "--version", options.version, "--force")
        raise UserError(
            f"the classifiers learned from pictures of {version}, and what gives {options.version} away is "
            f"something else. Give --version {version}, or train them anew:\n    {again}"
        )
    return int(record["seed"])


def changed(
    stage: Stage,
    options: Any,
    method: str,
    maker: Maker,
    guide: Realness,
    z: Tensor,
    conditions: Tensor,
    before: np.ndarray,
) -> np.ndarray:
    """All pictures after a method, uint8 [N, H, W, 3]; `before` are those of z and the conditions."""
    change: Callable[[Tensor], Tensor] = partial(methods.plain_gradient, guide, recipe=options)
    if method == "refine":
        rng = torch.Generator().manual_seed(derived_seed(Purpose.RETOUCHING_STEP, options.seed))
        change = methods.train_refiner(practice(stage, options, maker, conditions), guide, options, rng)
    found = []
    for rows in torch.arange(len(z)).split(options.batch_size):
        stage.check_stop()
        if method in ("refine", "plain"):
            pictures = change(from_uint8(before[rows.numpy()]).to(z.device))
            found.append(np.stack([as_stored(image) for image in to_uint8(pictures)]))
            continue
        part, asked = z[rows], conditions[rows]
        make = partial(maker, conditions=asked)
        if method == "select":
            firsts = (options.first_seed + (1 + k) * options.count for k in range(options.candidates - 1))
            others = [maker.noise(first + int(rows[0]), len(rows)) for first in firsts]
            part = methods.select(make, guide, torch.stack([part, *others]))
        else:
            part = methods.climb(make, guide, part, options)
        found.append(maker.stored(part, asked))
    return np.concatenate(found)


@torch.no_grad()
def practice(stage: Stage, options: Any, maker: Maker, conditions: Tensor) -> Tensor:
    """Generated pictures [N, 3, H, W] of people that are not retouched, for the refiner to learn from."""
    z = maker.noise(PRACTICE.start, options.refiner_pictures)
    asked = conditions[torch.arange(len(z), device=z.device) % len(conditions)]
    found = []
    for rows in torch.arange(len(z)).split(options.batch_size):
        stage.check_stop()
        found.append(maker(z[rows], asked[rows]))
    return torch.cat(found)


def measures(
    known: Mapping[Role, np.ndarray],
    ahead: Mapping[Role, np.ndarray],
    last: Mapping[Role, np.ndarray],
    people: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    taken: np.ndarray,
) -> dict[str, Any]:
    """How surely each classifier still tells the pictures from given ones, and what else changed.

    Args:
        known: logits of given pictures that the judging classifier did not learn from.
        ahead, last: logits of the pictures before, and of what is left of them after acceptance.
        people, after: what `Readings.people` reads from both.
    """
    found: dict[str, Any] = {
        "accepted": float(taken.mean()),
        "auc": {role: auc(known[role], last[role]) for role in ROLES},
        "logit_rise": {role: float((last[role] - ahead[role]).mean()) for role in ROLES},
    }
    if "properties" in people:
        moves = np.abs(after["properties"] - people["properties"])
        found["drift"] = {"mean": float(moves.mean()), "largest_dial": float(moves.mean(axis=0).max())}
    if "identity" in people:
        weights = np.ones((1, len(taken)))
        area = anchored_identity_auc(people["identity"], after["identity"][:, None], weights)
        found["identity_auc"] = float(area[0])
    return found


def markdown(results: dict[str, Any], options: Any) -> str:
    """The table of all methods."""
    lines = [
        "# Retouching",
        "",
        f"{options.count} pictures of {options.version}. AUC: how surely a classifier tells them from "
        "given pictures; the guide is what the steps climb, the second one agrees or refuses, the judge "
        "decides nothing.",
        "",
        "| | accepted | AUC of the guide | of the second | of the judge | dials, sd | identity AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        areas = " | ".join(f"{found['auc'][role]:.3f}" for role in ROLES)
        drift = f"{found['drift']['mean']:.3f}" if "drift" in found else "-"
        identity = f"{found['identity_auc']:.3f}" if "identity_auc" in found else "-"
        title = "plain gradient (what not to do)" if name == "plain" else name
        lines.append(f"| {title} | {found['accepted']:.0%} | {areas} | {drift} | {identity} |")
    return "\n".join([*lines, ""])


def sheet(
    method: str,
    before: np.ndarray,
    after: np.ndarray,
    ahead: Mapping[Role, np.ndarray],
    behind: Mapping[Role, np.ndarray],
    taken: np.ndarray,
) -> Any:
    """Pictures before and after, with the logits of guide and second, and whether they are taken."""
    count = min(SHOWN, len(before))

    def said(values: Mapping[Role, np.ndarray], n: int) -> str:
        return f"{values['guide'][n]:+.1f} / {values['second'][n]:+.1f}"

    columns = [
        f"{said(ahead, n)} to {said(behind, n)} {'taken' if taken[n] else 'refused'}" for n in range(count)
    ]
    rows = [list(before[:count]), list(after[:count])]
    return labelled_grid(rows, ["before", method], columns, 2, "logit of the guide / of the second")
