"""Training by two processes: the same gradients as by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch import multiprocessing as mp

from stylegan.batches import TrainingImages
from stylegan.layers import MinibatchStd
from stylegan.parallel import Processes
from stylegan.phases import Phase, TrainingConfig
from stylegan.training import Trainer
from tests.stylegan import tiny

STEPS = {"adversarial": 1, "regression": 2}


def _config(kind: str) -> TrainingConfig:
    phase = Phase(kind, resolution=16, kimg=1, batch=12, style_mixing=0.5, anchor_start=1.0, lr_start=1e-4)
    return TrainingConfig(
        phases=(phase,),
        generator=tiny.GENERATOR,
        discriminator={**tiny.DISCRIMINATOR, "minibatch_std_group_size": 3},
        precision="float32",
        augmentation="adaptive",
        augmentation_p=0.5,
    )


def _train(kind: str) -> dict[str, Any]:
    """What some steps leave behind: gradients, the average of w and the numbers of the last step."""
    trainer = Trainer(_config(kind), TrainingImages(tiny.images(), tiny.latents()), torch.device("cpu"))
    # A fresh generator's first features are constant: normalising them would blow rounding up.
    for _, network in trainer.networks():
        tiny.fill_with_known_weights(network).train()
    for _ in range(STEPS[kind]):
        numbers = trainer.step()
    gradients = {
        f"{name}.{entry}": parameter.grad
        for name, network in trainer.networks()
        for entry, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    return {"gradients": gradients, "w_avg": trainer.generator.truncation.w_avg, "numbers": numbers}


def _train_as(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save({kind: _train(kind) for kind in STEPS}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    # Forked, not spawned: importing torch twice would take longer than the test.
    mp.start_processes(_train_as, args=(str(tmp_path),), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for kind in STEPS:
        one = _train(kind)
        assert one["gradients"].keys() == first[kind]["gradients"].keys()
        assert len(one["gradients"]) > 20
        for name, expected in one["gradients"].items():
            size = float(expected.abs().max())
            torch.testing.assert_close(
                first[kind]["gradients"][name], expected, rtol=1e-3, atol=1e-4 * size + 1e-7, msg=name
            )
            assert torch.equal(first[kind]["gradients"][name], second[kind]["gradients"][name])
        torch.testing.assert_close(first[kind]["w_avg"], one["w_avg"])
        assert first[kind]["numbers"] == second[kind]["numbers"]
        assert first[kind]["numbers"] == pytest.approx(one["numbers"], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("batch", "group_size", "count"), [(16, 4, 2), (16, 4, 4), (18, 4, 3), (5, 4, 5)])
def test_shares_hold_whole_groups(batch: int, group_size: int, count: int) -> None:
    shares = [Processes(rank, count).share(batch, group_size) for rank in range(count)]
    assert sorted(np.concatenate(shares)) == list(range(batch))
    layer, images = MinibatchStd(group_size), torch.randn(batch, 2, 4, 4)
    whole = layer(images)
    for share in shares:
        assert list(share) == sorted(share)
        torch.testing.assert_close(layer(images[share]), whole[share])


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="2 groups of 4 .* 3 processes cannot share .* multiple of 12"):
        Processes(0, 3).share(8, 4)


def test_one_process_needs_no_others() -> None:
    alone = Processes.of_this_run()
    values = torch.randn(3)
    before = values.clone()
    alone.average_([values])
    assert torch.equal(values, before)
    assert alone.any(True, values.device) and not alone.any(False, values.device)
    assert list(alone.share(7, 4)) == list(range(7))
