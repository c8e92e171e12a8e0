"""Every trainer: frozen parts stay frozen, and a stopped and resumed run equals one that ran through."""

import copy
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stylegan.parallel import Scalar
from stylegan.seeds import PICTURES
from stylegan_modified.adversary import Adversary
from stylegan_modified.fine_tuning import FineTuner, TrainingPictures
from stylegan_modified.linear_latents import LinearEditor
from stylegan_modified.recipes import V1Recipe, V2Recipe, V3Recipe
from stylegan_modified.requests import PairSampler
from stylegan_modified.stylegan_discriminator import transplant_discriminator
from stylegan_modified.stylegan_generator import transplant
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from stylegan_modified.training_property_cnn import PropertyCNNTrainer
from stylegan_modified.training_v1 import ConditionedGANTrainer
from stylegan_modified.training_v2 import DialPool, DialTrainer
from stylegan_modified.training_v3 import ConditionalVAETrainer, FreshPeople, People, draw_people
from stylegan_modified.warm_start import WarmStartTrainer
from tests.stylegan_modified import test_document_recipes, tiny


class FewPeople(V1Recipe):
    warm_start_people = 16


class MorePeople(V1Recipe):
    warm_start_people = 64


class Impatient(V2Recipe):
    cnn_patience_epochs = 2


class MoreHeldOut(V2Recipe):
    cnn_held_out_share = 0.4


def v1_trainer(recipe: str, compared_by: str = "both") -> ConditionedGANTrainer:
    conditioning = "additive" if recipe == "document" else "projection"
    return ConditionedGANTrainer(
        transplant(tiny.base_generator()),
        transplant_discriminator(tiny.base_discriminator(), conditioning),
        tiny.pictures(),
        V1Recipe(steps=6, recipe=recipe, batch_size=4, warmup_steps=0, conditioning=compared_by),
    )


def cnn_trainer() -> PropertyCNNTrainer:
    options = V2Recipe(cnn_epochs=2, batch_size=4, cnn_lr=1e-3)
    return PropertyCNNTrainer(tiny.property_cnn(), tiny.pictures(), options)


def dial_trainer(adversary_weight: float = 0.0) -> DialTrainer:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(40, tiny.Z_DIM, generator=rng)
    label_maps = torch.randint(
        0, 11, (40, 2, tiny.RESOLUTION, tiny.RESOLUTION), generator=rng, dtype=torch.uint8
    )
    model = tiny.dial_generator()
    directions = torch.randn(7, tiny.Z_DIM, generator=rng)
    with torch.no_grad():
        model.dials.start_from(model.latent(z.to(tiny.DEVICE)), directions.to(tiny.DEVICE))
    recipe = V2Recipe(steps=6, batch_size=4, adversary_weight=adversary_weight)
    adversary = Adversary(tiny.base_discriminator(), tiny.pictures(), recipe) if adversary_weight else None
    pool = DialPool(z, PairSampler(tiny.pictures().properties).draw(40, rng), label_maps)
    return DialTrainer(model, pool, recipe, adversary=adversary)


def warm_start_trainer() -> WarmStartTrainer:
    rng = torch.Generator().manual_seed(0)
    generator = transplant(tiny.base_generator())
    with torch.no_grad():
        w = generator.mapping(torch.randn(200, tiny.Z_DIM, generator=rng).to(tiny.DEVICE)).cpu()
    editor = LinearEditor.fit(w, torch.arange(200), w @ torch.randn(tiny.Z_DIM, 7, generator=rng))
    properties = editor.properties(w)
    return WarmStartTrainer(generator, editor.to(tiny.DEVICE), properties, FewPeople(warm_start_steps=6))


def v3_trainer(fresh: bool = False) -> ConditionalVAETrainer:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(tiny.RESOLUTION * 2, tiny.Z_DIM, width=0.25, hidden=16)).to(tiny.DEVICE)
    data = tiny.pictures()
    model = _Doubled(tiny.dial_generator())
    people: People = FreshPeople(model, tiny.Z_DIM, data.properties)
    if not fresh:
        people = draw_people(model, tiny.Z_DIM, data.properties, 12, seed=0, batch_size=5)
    return ConditionalVAETrainer(
        model, encoder, doubled(data), people, V3Recipe(steps=6, batch_size=2, drawn_size=4)
    )


class _Doubled(torch.nn.Module):
    """The tiny generator with pictures enlarged twice: the encoder needs at least 64 px."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.dials, self.z_space_dim = model, model.dials, model.z_space_dim

    def property_cnn(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.property_cnn(torch.nn.functional.avg_pool2d(images, 2))

    def forward(self, z: torch.Tensor, properties: torch.Tensor) -> dict[str, torch.Tensor]:
        image = self.model(z, properties)["image"]
        return {"image": torch.nn.functional.interpolate(image, scale_factor=2)}


def doubled(data):
    images = data.images.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return type(data)(images, data.properties)


TRAINERS: dict[str, Callable[[], FineTuner]] = {
    "v1 warm start": warm_start_trainer,
    "v1 matching": lambda: v1_trainer("matching"),
    "v1 projection": lambda: v1_trainer("matching", "projection"),
    "v1 regression": lambda: v1_trainer("matching", "regression"),
    "v1 document": lambda: v1_trainer("document"),
    "v2 cnn": cnn_trainer,
    "v2 dials": dial_trainer,
    "v2 dials with an adversary": lambda: dial_trainer(0.1),
    "v3": v3_trainer,
    "v3 fresh people": lambda: v3_trainer(fresh=True),
    "document v3": lambda: test_document_recipes.build("v3"),
}


VARIANTS = (
    "v1 projection",
    "v1 regression",
    "v1 document",
    "v2 dials with an adversary",
    "v3 fresh people",
)
KINDS = [name for name in TRAINERS if name not in VARIANTS]


def take(trainer: FineTuner, steps: int) -> list[dict[str, float]]:
    """What some steps log."""
    return [numbers(trainer.step()) for _ in range(steps)]


def numbers(logged: Mapping[str, Scalar]) -> dict[str, float]:
    return {name: float(value) for name, value in logged.items()}


def seeds_of_steps(trainer: FineTuner, steps: int) -> list[int]:
    """Seeds of the two streams of each step, as torch reads them: the CPU's generator takes 32 bits."""
    found = []

    def record(t: int, rng: torch.Generator) -> dict[str, float]:
        found.extend(seed % 2**32 for seed in (rng.initial_seed(), torch.initial_seed()))
        return {}

    trainer.train_step = record
    take(trainer, steps)
    return found


def test_no_step_draws_what_another_training_or_the_evaluation_draws() -> None:
    found = [seeds_of_steps(TRAINERS[name](), 100 if "warm" in name else 6) for name in KINDS]
    seeds = [seed for seeds in found for seed in seeds]
    assert len(set(seeds)) == len(seeds) and not any(seed in PICTURES for seed in seeds)


@pytest.mark.parametrize("name", ["v1 matching", "v1 document", "v2 cnn", "v2 dials", "v3"])
def test_mixed_precision_rounds_and_little_more(name: str) -> None:
    rows = {}
    for precision in ("float32", "bf16"):
        trainer = TRAINERS[name]()
        trainer.precision = precision
        rows[precision] = numbers(trainer.step())
    assert rows["bf16"] == pytest.approx(rows["float32"], rel=0.1, abs=0.01)
    assert rows["bf16"] != rows["float32"]


class FloatReads(TorchDispatchMode):
    """Counts the tensors of floats that become Python numbers, each of which would wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point()
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["v1 warm start", "v1 matching", "v2 cnn", "v2 dials", "v3"])
def test_a_step_reads_no_number_back(name: str) -> None:
    trainer = TRAINERS[name]()
    trainer.descend = lambda optimizer, loss: loss.backward()  # optimisers count steps in tensors of the CPU
    with FloatReads() as reads:
        logged = trainer.step()
        assert reads.count == 0
        assert all(math.isfinite(value) for value in logged.values())
    assert reads.count > 0


def weights(trainer: FineTuner) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in trainer.modules().items()
        for key, value in module.state_dict().items()
    }


@pytest.mark.parametrize("name", TRAINERS)
def test_three_and_three_steps_equal_six(name: str, tmp_path: Path) -> None:
    through, first, second = (TRAINERS[name]() for _ in range(3))
    rows = take(through, 6)
    assert take(first, 3) == rows[:3]
    torch.save(first.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(99)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert take(second, 3) == rows[3:]
    expected, untouched = weights(through), weights(TRAINERS[name]())
    for key, value in weights(second).items():
        assert torch.equal(value, expected[key]), key
    assert any(not torch.equal(value, untouched[key]) for key, value in expected.items())


def test_a_checkpoint_holds_what_learns_and_fits_no_other_network() -> None:
    trainer = v1_trainer("matching")
    state = trainer.state_dict()
    parameters = dict(trainer.generator.named_parameters())
    saved = state["modules"]["generator"]
    assert parameters.keys() & saved == {name for name in parameters if name.startswith("mapping.")}
    assert set(state["modules"]["average"]) == set(trainer.average.state_dict())
    learning = next(name for name in saved if name.startswith("mapping."))
    less = {name: value for name, value in saved.items() if name != learning}
    for other in (less, saved | {"other": torch.zeros(1)}):
        modules = state["modules"] | {"generator": other}
        with pytest.raises(ValueError, match="another network"):
            v1_trainer("matching").load_state_dict(state | {"modules": modules})


@pytest.mark.parametrize(
    ("recipe", "compared_by", "dense", "heads"),
    [
        ("matching", "both", ("mapping.",), ("regression", "embedding")),
        ("matching", "projection", ("mapping.",), ("embedding",)),
        ("matching", "regression", ("mapping.",), ("regression",)),
        ("document", "both", ("mapping.", ".style."), ()),
    ],
)
def test_what_learns_in_v1(
    recipe: str, compared_by: str, dense: tuple[str, ...], heads: tuple[str, ...]
) -> None:
    """Dense layers, and of the heads of D those that compare; `matching` saves averages of what learned."""
    trainer = v1_trainer(recipe, compared_by)
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    take(trainer, 2)
    changed = {
        name: {key for key, value in network.named_parameters() if not torch.equal(value, before[name][key])}
        for name, network in networks.items()
    }
    generator = dict(trainer.generator.named_parameters())
    assert changed["generator"] == {key for key in generator if any(part in key for part in dense)}
    saved = dict(trainer.trained_generator().named_parameters())
    averaged = {key for key, value in generator.items() if not torch.equal(saved[key], value)}
    assert averaged == (changed["generator"] if recipe == "matching" else set())
    judging = {id(parameter) for parameter in trainer.discriminator.dense_parameters()}
    for key, parameter in trainer.discriminator.named_parameters():
        head = next((head for head in ("regression", "embedding") if key.startswith(head)), None)
        if head is not None and recipe == "matching":
            assert (key in changed["discriminator"]) == (head in heads), key
        elif id(parameter) not in judging:
            assert key not in changed["discriminator"], key


def test_document_recipe_repeats_generator_steps_up_to_four() -> None:
    trainer = v1_trainer("document")
    # A discriminator that is sure of everything makes G's loss large and its own small.
    trainer.discriminator.score = lambda features, properties: features.sum(1, keepdim=True) * 0 - 20.0
    trainer._discriminator_step = lambda rng: {"d_loss": 1e-3}
    assert trainer.step()["g_steps"] == 4


def test_dials_train_nothing_but_dials() -> None:
    trainer = dial_trainer()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    take(trainer, 2)
    for name, value in trainer.model.state_dict().items():
        if not name.startswith("dials."):
            assert torch.equal(value, before[name]), name


def test_property_cnn_stops_early_and_keeps_the_best_epoch() -> None:
    options = Impatient(cnn_epochs=50, batch_size=4, cnn_lr=3e-2)
    trainer = PropertyCNNTrainer(tiny.property_cnn(), tiny.pictures(), options)
    while not trainer.finished:
        trainer.step()
    assert trainer.steps_done < trainer.steps
    network = trainer.best_network()
    images, properties = trainer.data.batch(trainer.validation_rows, torch.device("cpu"))
    with torch.no_grad():
        loss = float(torch.nn.functional.mse_loss(network(images), properties))
    assert loss == pytest.approx(trainer.best_loss, rel=1e-4)


def two_of_each_person(count: int = 30) -> TrainingPictures:
    data = tiny.pictures(2 * count)
    return TrainingPictures(data.images, data.properties, torch.arange(count).repeat_interleave(2))


def test_nobody_is_on_two_sides_of_the_property_cnns_split() -> None:
    data = two_of_each_person()
    options = MoreHeldOut(cnn_epochs=1, batch_size=4)
    trainer = PropertyCNNTrainer(tiny.property_cnn(), data, options)
    parts = [trainer.training_rows, trainer.validation_rows, trainer.report_rows]
    people = [set(data.people[rows].tolist()) for rows in parts]
    assert [len(part) for part in people] == [18, 6, 6] and len(set.union(*people)) == 30
    assert torch.cat(parts).sort().values.tolist() == list(range(60))


def test_people_that_are_reported_decide_nothing() -> None:
    options = MoreHeldOut(cnn_epochs=2, batch_size=12, cnn_lr=3e-2)
    found = []
    for change in (0.0, 5.0):
        data = two_of_each_person()
        reported = PropertyCNNTrainer(tiny.property_cnn(), data, options).report_rows
        data.properties[reported] += change * torch.arange(len(reported))[:, None]
        trainer = PropertyCNNTrainer(tiny.property_cnn(), data, options)
        take(trainer, trainer.steps)
        found.append((trainer.best_loss, trainer.best_network().state_dict(), trainer.held_out_reading()))
    (loss, network, read), (other_loss, other_network, other_read) = found
    assert loss == other_loss and all(torch.equal(network[key], other_network[key]) for key in network)
    assert read.r != other_read.r and read.pictures == other_read.pictures == 12


def test_odd_batches_of_pairs_are_refused() -> None:
    made = dial_trainer()
    assert V2Recipe(batch_size=6).pairs == 3
    for size in (0, 1, 5):
        with pytest.raises(ValueError, match="must be even"):
            DialTrainer(made.model, made.pool, V2Recipe(batch_size=size))


def test_the_warm_start_teaches_what_the_linear_editor_does() -> None:
    trainer = warm_start_trainer()
    trainer.options = MorePeople(warm_start_steps=300)
    unexplained = [row["unexplained"] for row in take(trainer, 300)]
    assert sum(unexplained[-10:]) < 0.5 * sum(unexplained[:10])
    z, properties = torch.randn(50, tiny.Z_DIM), trainer.pairs.samples[:50]
    with torch.no_grad():
        read = trainer.editor.properties(trainer.generator.mapping(z, properties))
    assert float((read - properties).abs().mean()) < 0.5 * float(properties.abs().mean())
