"""What 26 does: generated pictures beside given ones, and three classifiers that learn to tell them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cvae.realness import Realness, RealnessTrainer, auc, logits, split
from cvae.recipes import ROLES, Role
from scripts.pipeline import Stage
from scripts.stages import networks
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.making import Maker
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.fine_tuning.fine_tuning import fingerprint
from scripts.stages.sheets import labelled_grid
from scripts.stages.step_log import StepLog
from scripts.stages.training import TrainingLoop
from stylegan.seeds import PRACTICE, Purpose, derived_seed
from stylegan_modified.fine_tuning import TrainingPictures, save_atomically

SHOWN = 10
ROLE_LOG = f"{at.VAE_FOLDER}/train_log_realness_{{}}.csv"


def given_pictures(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Unchanged pictures of the final dataset, uint8 [N, H, W, 3], and the numbers of their sources [N]."""
    table = dataset.chosen_pictures(stage)
    table = table[table["is_augmented"] == 0]
    pictures = np.stack([dataset.read_picture(stage, path) for path in table["final"]])
    return pictures, table["source"].to_numpy()


def train_realness(stage: Stage, options: Any) -> None:
    """Generate, train the three networks, judge each by pictures that it did not learn from."""
    keep_freed_memory()
    given, sources = given_pictures(stage)
    maker = Maker(stage, options.version, (given.shape[1], given.shape[2]))
    stage.log(f"generating {options.count} pictures with {options.version}")
    draw = derived_seed(Purpose.REALNESS_STEP, options.seed)
    asked = dataset.drawn(dataset.seen_conditions(stage), options.count, draw).to(stage.device)
    made = maker.stored(maker.noise(PRACTICE.start, options.count), asked)
    images = np.concatenate([given, made])
    labels = np.concatenate([np.ones(len(given)), np.zeros(len(made))]).astype(np.float32)
    numbers = np.concatenate([sources, np.arange(len(made))])
    found: dict[str, Any] = {
        "version": options.version,
        "seed": options.seed,
        "given": len(given),
        "generated": len(made),
    }
    for role in ROLES:
        held_out = split(numbers, role, options.seed)
        rows = torch.from_numpy(np.flatnonzero(~held_out))
        data = TrainingPictures(torch.from_numpy(images), torch.from_numpy(labels[:, None])).chosen(rows)
        model = train_role(stage, options, role, data)
        known = logits(model, images[held_out])
        of = labels[held_out]
        found[role] = {"auc": auc(known[of == 1], known[of == 0]), "held_out": int(held_out.sum())}
        save_atomically(model.checkpoint(found[role]), stage.path(at.REALNESS.format(role)))
    stage.write(at.REALNESS_RECORD, found)
    shown = min(SHOWN, len(given), len(made))
    sides, columns = [list(given[:shown]), list(made[:shown])], [str(n) for n in range(shown)]
    stage.write(at.REALNESS_SHEET, labelled_grid(sides, ["given", options.version], columns, 2))
    areas = ", ".join(f"{role} {found[role]['auc']:.3f}" for role in ROLES)
    stage.finish({"AUC on held-out pictures": areas}, [at.REALNESS_SHEET])


def train_role(stage: Stage, options: Any, role: Role, data: TrainingPictures) -> Realness:
    """One classifier, from its checkpoint if there is one."""
    torch.manual_seed(derived_seed(Purpose.REALNESS_STEP, options.seed, ROLES.index(role)))
    model = Realness(role, options.width).to(stage.device)
    trainer = RealnessTrainer(model, data, options)
    loop = TrainingLoop(
        stage,
        trainer,
        f"realness_{role}",
        stage.path(f"{at.REALNESS_CHECKPOINTS}/{role}.pt"),
        StepLog(stage.path(ROLE_LOG.format(role))),
        made_for={"fingerprint": fingerprint(stage)},
        steps=trainer.steps,
        unit=f"steps of the {role}",
        pictures_per_step=options.batch_size,
    )
    loop.run()
    return model.eval()


def load_role(stage: Stage, role: Role) -> Realness:
    """A frozen classifier of 26, on the device."""
    path = stage.workspace / at.REALNESS.format(role)
    with stage.foreseen(ValueError, mend=stage.command("26_train_realness", "--force")):
        return Realness.from_checkpoint(networks.read_table(path), role).to(stage.device)
