"""Folds, batches, training of a fold, retries, out-of-fold predictions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cnn.dataset import (
    AugmentationOptions,
    augment,
    epoch_batches,
    make_folds,
    normalize,
    oversampling_logit,
    regression_folds,
    to_tensor,
)
from cnn.ensemble import Ensemble, out_of_fold
from cnn.models import FilterCNN, quality_config
from cnn.tasks import REGRESSION, classification_measures
from cnn.training import TrainingOptions, predict, train_fold

CONFIG = quality_config(64, width=1 / 32)
OPTIONS = TrainingOptions(loss_limit=0.4, max_epochs=12, patience=12, batch_size=8, learning_rate=5e-3)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return (np.arange(40) % 2).astype(np.int64)


@pytest.fixture(scope="module")
def images(labels: np.ndarray) -> torch.Tensor:
    """Pictures whose brightness tells the label."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 60, (len(labels), 64, 64, 3)) + 120 * labels[:, None, None, None]
    return to_tensor(pictures.astype(np.uint8))


def test_training_separates_easy_classes(images: torch.Tensor, labels: np.ndarray) -> None:
    fold = make_folds(labels, 5, stratified=True, seed=0)[0]
    result = train_fold(CONFIG, images, labels, fold, OPTIONS, seed=0)
    assert not result.failed
    assert result.best.valid["auroc"] == 1
    assert result.best.valid_loss == min(epoch.valid_loss for epoch in result.history)
    # The kept weights are those of the best epoch, not of the last one.
    again = classification_measures(predict(result.model, images, fold[1]), labels[fold[1]])
    assert again == pytest.approx(dict(result.best.valid))
    assert not result.model.training


def test_same_seed_same_network(images: torch.Tensor, labels: np.ndarray) -> None:
    options = replace(
        OPTIONS, max_epochs=2, attempts=1, augmentation=AugmentationOptions(True, 0.1, 0.1, 0.1)
    )
    fold = make_folds(labels, 5, stratified=True, seed=0)[0]
    before = torch.get_rng_state()
    first, second, other = (
        train_fold(CONFIG, images, labels, fold, options, seed).model.state_dict() for seed in (3, 3, 4)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_failing_fold_is_retried_a_bounded_number_of_times(
    images: torch.Tensor, labels: np.ndarray
) -> None:
    options = replace(OPTIONS, loss_limit=0.0, attempts=3, max_epochs=2)
    fold = make_folds(labels, 5, stratified=True, seed=0)[0]
    result = train_fold(CONFIG, images, labels, fold, options, seed=1)
    assert result.failed
    assert result.attempts == 3
    assert [(log.attempt, log.epoch) for log in result.history] == [
        (a, e) for a in range(3) for e in range(2)
    ]
    assert result.best.valid_loss == min(log.valid_loss for log in result.history)
    first, second, third = ([log.valid_loss for log in result.history[n : n + 2]] for n in (0, 2, 4))
    assert first != second != third != first
    # No fold repeats what a retry of another one did: their seeds were once added up.
    for seed in (1001, 2001):
        other = train_fold(CONFIG, images, labels, fold, replace(options, attempts=1), seed=seed)
        assert [log.valid_loss for log in other.history] not in (second, third)


def test_early_stop_after_patience(images: torch.Tensor, labels: np.ndarray) -> None:
    options = replace(OPTIONS, learning_rate=0.0, max_epochs=50, patience=3, attempts=1)
    fold = make_folds(labels, 5, stratified=True, seed=0)[0]
    result = train_fold(CONFIG, images, labels, fold, options, seed=0)
    assert (len(result.history), result.best.epoch) == (4, 0)
    with pytest.raises(ValueError, match="fewer than one batch"):
        train_fold(CONFIG, images, labels, fold, replace(OPTIONS, batch_size=64), seed=0)


def test_folds_cover_every_row_once() -> None:
    labels = np.array([0] * 5 + [1] * 95)
    folds = make_folds(labels, 5, stratified=True, seed=2)
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(100))
    for train, valid in folds:
        assert not set(train) & set(valid)
        assert (labels[valid] == 0).sum() == 1
    with pytest.raises(ValueError, match="4 zeros and 96 ones"):
        make_folds(np.array([0] * 4 + [1] * 96), 5, stratified=True, seed=0)


def test_oversampling_reaches_the_share_and_its_logit_undoes_it() -> None:
    labels = np.array([0] * 20 + [1] * 380)
    rows = np.concatenate(list(epoch_batches(labels, 16, 0.25, np.random.default_rng(0))))
    assert (labels[rows] == 0).mean() == pytest.approx(0.25, abs=0.01)
    # With a share of 1/4 the odds of a good picture are 3; the added logit takes them from 19 to 3.
    assert np.exp(np.log(19) + oversampling_logit(labels, 0.25)) == pytest.approx(3)
    assert oversampling_logit(labels, 0.0) == 0
    rows = np.concatenate(list(epoch_batches(np.arange(21) % 2, 4, 0.0, np.random.default_rng(0))))
    assert len(set(rows)) == len(rows) == 20, "the incomplete last batch is dropped"


def test_augmentation_is_seeded_bounded_and_off_by_default() -> None:
    images = normalize(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8))
    options = AugmentationOptions(flip=True, shift=0.2, brightness=0.1, contrast=0.1)
    first, second, other = (
        augment(images, options, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1
    assert torch.equal(augment(images, AugmentationOptions(), torch.Generator()), images)


def test_shift_moves_whole_pixels() -> None:
    images = torch.zeros(50, 3, 16, 16)
    images[:, :, 8, 8] = 1
    moved = augment(images, AugmentationOptions(shift=0.125), torch.Generator().manual_seed(0))
    assert moved.sum(dim=(1, 2, 3)).tolist() == [3.0] * 50
    rows = {int(image[0].argmax()) // 16 for image in moved}
    assert rows == {6, 7, 8, 9, 10}


def test_a_number_is_learned_as_well(labels: np.ndarray) -> None:
    """Regression: pictures whose brightness is the label."""
    rng = np.random.default_rng(1)
    targets = rng.normal(size=len(labels))
    pictures = np.clip(128 + 40 * targets[:, None, None, None] + rng.normal(0, 20, (40, 64, 64, 3)), 0, 255)
    folds = regression_folds(len(targets), 5, seed=0)
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(40))
    options = replace(OPTIONS, loss_limit=0.5, task=REGRESSION)
    images = to_tensor(pictures.astype(np.uint8))
    result = train_fold(CONFIG, images, targets, folds[0], options, seed=0)
    assert result.best.valid["r"] > 0.9
    assert not result.failed
    predicted = predict(result.model, images, folds[0][1], REGRESSION)
    expected = np.corrcoef(predicted, targets[folds[0][1]])[0, 1]
    assert result.best.valid["r"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least 10 labels"):
        regression_folds(9, 5, seed=0)


def test_out_of_fold_uses_the_network_that_did_not_see_the_picture(images: torch.Tensor) -> None:
    labels = np.arange(10) % 2
    folds = make_folds(labels, 2, stratified=True, seed=0)
    torch.manual_seed(0)
    networks = [FilterCNN(CONFIG).eval() for _ in folds]
    found = out_of_fold(networks, folds, images[:10])
    for network, (_, valid) in zip(networks, folds, strict=True):
        np.testing.assert_allclose(found[valid], predict(network, images, valid))


def test_ensemble_is_the_mean_in_eval_mode_for_any_batch(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    networks = [FilterCNN(CONFIG) for _ in range(3)]
    ensemble = Ensemble(networks)
    ensemble.train()
    x = normalize(images[:6])
    together = ensemble(x)
    expected = torch.stack([torch.sigmoid(network.eval()(x)) for network in networks]).mean(dim=0)
    torch.testing.assert_close(together, expected, atol=1e-6, rtol=0)
    one_by_one = torch.cat([ensemble(x[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(one_by_one, together, atol=1e-6, rtol=0)
    rounded = Ensemble(networks, precision="bfloat16")(x)
    assert 0 < (rounded - together).abs().max() < 0.02
