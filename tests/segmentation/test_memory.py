"""Batches that shrink when memory runs out."""

import pytest
import torch

from segmentation.memory import NotEnoughMemoryError, ShrinkingBatches

CPU_TEXT = (
    "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."
)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError(CPU_TEXT)])
def test_halves_until_it_fits_and_stays_small(error: Exception) -> None:
    sizes, shrunk = [], []

    def double(batch):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise error
        return [2 * item for item in batch]

    batches = ShrinkingBatches(10, shrunk.append)
    assert sum(batches.map(double, range(12)), []) == list(range(0, 24, 2))
    assert sizes == [10, 5, 3, 3, 3, 3]
    assert shrunk == [5, 3]
    assert list(batches.map(double, [])) == []


def test_one_item_that_does_not_fit_and_other_errors() -> None:
    def fail(batch):
        raise MemoryError("no room") if len(batch) > 1 or batch[0] else RuntimeError("shapes")

    with pytest.raises(NotEnoughMemoryError, match="single item.*no room"):
        list(ShrinkingBatches(4).map(fail, [1, 2, 3]))
    with pytest.raises(RuntimeError, match="shapes"):
        list(ShrinkingBatches(4).map(fail, [0]))
