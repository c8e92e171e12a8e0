"""The optimiser that fits a generator to paired pictures."""

import copy

import pytest
import torch
from torch import nn

from stylegan.muon import VECTOR_BETAS, VECTOR_RATE, Muon, is_matrix, orthogonalize


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_singular_values_come_close_to_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 37
    values = torch.linalg.svdvals(orthogonalize(matrix).float())
    assert 0.5 < values.min() <= values.max() < 1.3
    assert torch.equal(orthogonalize(matrix), orthogonalize(matrix * 4)), "whatever the size of a gradient"


def test_kernels_are_matrices_and_biases_and_colours_are_not() -> None:
    assert is_matrix(nn.Linear(8, 4).weight)
    assert is_matrix(nn.Conv2d(8, 16, 3).weight)
    assert not is_matrix(nn.Linear(8, 4).bias)
    assert not is_matrix(nn.Conv2d(8, 3, 1).weight), "three rows: the colours of a picture"
    assert not is_matrix(torch.tensor(1.0))


def test_vectors_move_as_with_adam() -> None:
    ours = nn.Parameter(torch.linspace(-1, 1, 5))
    adams = nn.Parameter(ours.detach().clone())
    muon = Muon([ours], lr=0.1)
    adam = torch.optim.Adam([adams], lr=0.1 * VECTOR_RATE, betas=VECTOR_BETAS)
    for _ in range(4):
        for parameter, optimizer in ((ours, muon), (adams, adam)):
            optimizer.zero_grad()
            (parameter**4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, adams, rtol=1e-5, atol=1e-6)


def test_a_step_has_the_size_of_the_rate_and_the_state_can_be_stored() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    network[0].weight.data = network[0].weight.data.to(memory_format=torch.channels_last)
    x, y = torch.randn(6, 4, 3, 3), torch.randn(6, 4)

    def train(model: nn.Module, optimizer: Muon, steps: int) -> float:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    before = network[0].weight.detach().clone()
    optimizer = Muon(network.parameters(), lr=0.05)
    first = train(network, optimizer, 1)
    step = (network[0].weight - before).square().mean().sqrt()
    assert 0.5 * 0.2 * 0.05 < step < 1.5 * 0.2 * 0.05
    other = copy.deepcopy(network)
    resumed = Muon(other.parameters(), lr=0.05)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(network, optimizer, 5) == train(other, resumed, 5) < first
