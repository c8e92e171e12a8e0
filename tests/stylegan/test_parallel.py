"""Training by two processes: the same gradients as by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylegan.layers import MinibatchStd
from stylegan.parallel import Processes
from stylegan.phases import Phase
from tests.process_groups import in_processes
from tests.stylegan import tiny

STEPS = {"adversarial": 1, "regression": 2}


def _train(kind: str) -> dict[str, Any]:
    """What some steps leave behind: gradients, the average of w and the numbers of the last step."""
    phase = Phase(kind, resolution=16, kimg=1, batch=12, style_mixing=0.5, anchor_start=1.0, lr_start=1e-4)
    augmented = {"augmentation": "adaptive", "augmentation_p": 0.5, "r1_interval": 8}
    trainer = tiny.trainer(phase, paired=True, discriminator={"minibatch_std_group_size": 3}, **augmented)
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


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    first, second = in_processes(2, tmp_path, lambda: {kind: _train(kind) for kind in STEPS})
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


@pytest.mark.parametrize(
    ("batch", "stride", "count"), [(12, 3, 2), (10, 5, 3), (8, 8, 3), (4, 2, 4), (6, 1, 2)]
)
def test_uneven_parts_are_weighted_by_their_rows(batch: int, stride: int, count: int) -> None:
    parts = [Processes(rank, count).part(batch, stride) for rank in range(count)]
    working = [part for part in parts if part.weight]
    assert sorted(torch.cat([part.rows for part in working]).tolist()) == list(range(batch))
    assert sum(part.weight for part in parts) == pytest.approx(1)
    assert all(len(part.rows) for part in parts)
    for part in parts:
        assert set(((part.rows + stride) % batch).tolist()) == set(part.rows.tolist())


def test_dropout_keeps_what_one_process_keeps() -> None:
    whole = torch.randn(6, 5)
    torch.manual_seed(1)
    expected = torch.nn.functional.dropout(whole, 0.4)
    for rank in range(2):
        processes = Processes(rank, 2)
        rows = processes.part(6).rows
        torch.manual_seed(1)
        with processes.joint_random_numbers(rows, 6):
            found = torch.nn.functional.dropout(whole[rows], 0.4)
            assert torch.equal(torch.nn.functional.dropout(whole[rows], 0.4, training=False), whole[rows])
        torch.testing.assert_close(found, expected[rows])


def _agreements() -> list[bool]:
    processes = Processes.of_this_run()
    return [processes.agree(number, torch.device("cpu")) for number in (7, processes.rank)]


def test_processes_notice_that_their_numbers_differ(tmp_path: Path) -> None:
    assert in_processes(2, tmp_path, _agreements) == [[True, False]] * 2
    assert Processes().agree(7, torch.device("cpu"))
