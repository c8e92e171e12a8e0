"""Fine-tuning by several processes: the same weights as by one, whatever their number."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from stylegan_modified.adversary import Adversary
from stylegan_modified.fine_tuning import FineTuner
from stylegan_modified.recipes import V1Recipe, V2Recipe, V3Recipe
from stylegan_modified.stylegan_discriminator import transplant_discriminator
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.training_property_cnn import PropertyCNNTrainer
from stylegan_modified.training_v1 import ConditionedGANTrainer
from stylegan_modified.training_v2 import DialTrainer
from stylegan_modified.training_v3 import ConditionalVAETrainer, draw_people
from tests.process_groups import RecordingSGD, assert_same_gradients, in_processes
from tests.stylegan.tiny import fill_with_known_weights
from tests.stylegan_modified import test_document_recipes, test_training, tiny

STEPS = 2


class Embedding(nn.Module):
    """Stands for the identity network: colours of the quarters of a picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def v1(recipe: str) -> ConditionedGANTrainer:
    # 12 pictures are 3 groups of the minibatch standard deviation, which two processes share unevenly.
    rates = {"generator_lr": 1e-3, "discriminator_lr": 1e-3}
    options = V1Recipe(recipe=recipe, steps=STEPS, batch_size=12, warmup_steps=0, **rates)
    return ConditionedGANTrainer(
        transplant(tiny.base_generator()),
        transplant_discriminator(
            tiny.base_discriminator(), "additive" if recipe == "document" else "projection"
        ),
        tiny.pictures(),
        options,
        (test_document_recipes.Gender(),),
        Embedding(),
    )


def property_cnn() -> PropertyCNNTrainer:
    options = V2Recipe(cnn_epochs=1, batch_size=5, cnn_lr=1e-4)
    return PropertyCNNTrainer(tiny.property_cnn(), tiny.pictures(), options)


def dials() -> DialTrainer:
    made = test_training.dial_trainer()
    options = V2Recipe(steps=STEPS, batch_size=12, hue_weight=1e-4, adversary_weight=1e-3)
    filters = (test_document_recipes.Gender(),)
    adversary = Adversary(tiny.base_discriminator(), tiny.pictures(), options)
    return DialTrainer(made.model, made.pool, options, Embedding(), filters, adversary)


def v3() -> ConditionalVAETrainer:
    made = test_training.v3_trainer()
    # Not those that each number of processes draws for itself: a level of grey may round otherwise.
    images = test_training.doubled(tiny.pictures(len(made.people.z), seed=5)).images
    people = replace(made.people, pictures=replace(made.people.pictures, images=images))
    # One of two processes has no given picture.
    options = V3Recipe(steps=STEPS, batch_size=1, drawn_size=5)
    return ConditionalVAETrainer(made.model, made.encoder, made.data, people, options, Embedding())


TRAINERS: dict[str, Callable[[], FineTuner]] = {
    "warm start": test_training.warm_start_trainer,
    "v1 matching": lambda: v1("matching"),
    "v1 document": lambda: v1("document"),
    "property CNN": property_cnn,
    "dials": dials,
    "v3": v3,
    "document v2": lambda: test_document_recipes.build("v2"),
    "document v3": lambda: test_document_recipes.build("v3"),
}


def after_training(name: str) -> dict[str, Any]:
    """Weights, gradients of all steps and what they log."""
    trainer = TRAINERS[name]()
    trainer.precision = "float32"
    for attribute, part in list(vars(trainer).items()):
        if isinstance(part, torch.optim.Optimizer):
            setattr(trainer, attribute, RecordingSGD(part.param_groups))
        # A fresh generator's first features are constant: normalising them would blow rounding up.
        for network in part.modules() if isinstance(part, nn.Module) else ():
            if isinstance(network, StyleGANGenerator | StyleGANDiscriminator):
                fill_with_known_weights(network)
    rows = test_training.take(trainer, STEPS)
    gradients = [gradient for optimizer in trainer.optimizers().values() for gradient in optimizer.seen]
    return {"weights": test_training.weights(trainer), "gradients": gradients, "rows": rows}


def people() -> torch.Tensor:
    """Pictures that several processes draw together: two whole rounds of batches and a rest."""
    generator = transplant(tiny.base_generator())
    return draw_people(generator, tiny.Z_DIM, torch.randn(9, 7), 26, seed=1, batch_size=4).pictures.images


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Any]]:
    """What every trainer leaves behind in one process and in two."""

    def job() -> dict[str, Any]:
        return {name: after_training(name) for name in TRAINERS} | {"people": people()}

    folder = tmp_path_factory.mktemp("parallel")
    return {1: [job()], 2: in_processes(2, folder, job)}


@pytest.mark.parametrize("name", TRAINERS)
def test_processes_train_as_one_does(name: str, trained: dict[int, list[Any]]) -> None:
    one, several = trained[1][0][name], [process[name] for process in trained[2]]
    assert_same_gradients(several[0]["gradients"], one["gradients"])
    for key, expected in one["weights"].items():
        torch.testing.assert_close(several[0]["weights"][key], expected, rtol=1e-4, atol=1e-5, msg=key)
        assert all(torch.equal(process["weights"][key], several[0]["weights"][key]) for process in several)
    for row, expected in zip(several[0]["rows"], one["rows"], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert all(process["rows"] == several[0]["rows"] for process in several)


def test_processes_draw_the_people_that_one_draws(trained: dict[int, list[Any]]) -> None:
    for process in trained[2]:
        difference = process["people"].int() - trained[1][0]["people"].int()
        assert difference.shape[0] == 26 and int(difference.abs().max()) <= 1


def test_another_number_of_processes_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"

    def steps(count: int) -> Callable[[], dict[str, Any]]:
        def job() -> dict[str, Any]:
            trainer = TRAINERS["v1 matching"]()
            trainer.precision = "float32"
            if path.exists():
                trainer.load_state_dict(torch.load(path, weights_only=True))
            test_training.take(trainer, count)
            trainer.processes.wait()
            if trainer.processes.rank == 0:
                torch.save(trainer.state_dict(), path)
            return test_training.weights(trainer)

        return job

    in_processes(2, tmp_path, steps(2))
    steps(1)()
    parts = in_processes(3, tmp_path, steps(3))
    path.unlink()
    for key, expected in steps(6)().items():
        size = float(expected.abs().max())
        torch.testing.assert_close(parts[0][key], expected, rtol=1e-3, atol=1e-4 * size, msg=key)
