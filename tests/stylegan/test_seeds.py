"""Seeds: what is drawn for one purpose is drawn for no other, and nobody draws people of an evaluation."""

import itertools

import pytest
import torch

from stylegan import seeds
from stylegan.sampling import sample_z
from stylegan.seeds import NUMBERS_PER_PURPOSE, PICTURES, Purpose, derived_seed

BELONGING = [(), (0,), (1,), (7_919,), (2**40 + 1,), (-1,), (0, 3)]
NUMBERS = (0, 1, 1_137, 2_000_000, NUMBERS_PER_PURPOSE - 1)
RANGES = (seeds.CANDIDATES, seeds.PRACTICE, seeds.CONTROL, seeds.TRAINING_KID, seeds.EVALUATION)


def seeds_of(purpose: Purpose) -> set[int]:
    return {derived_seed(purpose, *of, number=number) for of in BELONGING for number in NUMBERS}


def test_purposes_never_meet_nor_do_they_meet_pictures() -> None:
    blocks = {purpose: (min(found), max(found)) for purpose in Purpose for found in [seeds_of(purpose)]}
    for one, other in itertools.combinations(sorted(blocks.values()), 2):
        assert one[1] < other[0]
    assert min(first for first, _ in blocks.values()) >= PICTURES.stop
    # Each reaches far into its own part, so that these extremes mean something.
    assert all(last - first > NUMBERS_PER_PURPOSE // 2 for first, last in blocks.values())


def test_steps_of_a_run_never_meet_and_other_runs_start_elsewhere() -> None:
    steps = [derived_seed(Purpose.V1_STEP, 0, number=step) for step in range(20_000)]
    assert len(set(steps)) == len(steps)
    starts = {derived_seed(Purpose.V1_STEP, seed) for seed in range(200)}
    assert len(starts) == 200 and not starts & set(steps[:100]) - {steps[0]}


def test_the_parts_of_pictures_do_not_meet() -> None:
    for one, other in itertools.combinations(sorted(RANGES, key=lambda part: part.start), 2):
        assert one.stop <= other.start
    assert all(part.start in PICTURES and part[-1] in PICTURES for part in RANGES)


def test_torch_reads_every_bit_of_a_seed() -> None:
    def first(seed: int) -> float:
        return torch.rand((), generator=torch.Generator().manual_seed(seed)).item()

    assert first(5) == first(5 + 2**32)  # why seeds must not be longer
    assert all(seed < 2**32 for purpose in Purpose for seed in seeds_of(purpose))


def test_a_seed_that_torch_would_take_for_another_one_is_refused() -> None:
    assert torch.equal(sample_z([3], 2, 16), sample_z([5], 0, 16))
    for n in (2**32 + 5, PICTURES.stop, -1):
        with pytest.raises(ValueError, match="no seed of a picture"):
            sample_z([n], 0, 16)
