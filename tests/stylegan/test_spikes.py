"""The penalty on droplets."""

import torch

from stylegan.spikes import ALLOWED_ENERGY, SpikeMeter, spike_penalty
from stylegan.stylegan_generator import StyleGANGenerator


def test_only_features_that_stand_out_are_penalised() -> None:
    features = torch.randn(2, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    assert spike_penalty(features) == 0
    features[0, :, 3, 5] = 30.0
    energy = features[0].square().mean(dim=0)
    expected = (energy[3, 5] / energy.mean() - ALLOWED_ENERGY) / (2 * 32 * 32)
    torch.testing.assert_close(spike_penalty(features), expected)


def test_a_meter_sees_the_layers_from_32_px_on_and_leaves_no_hook() -> None:
    torch.manual_seed(0)
    sizes = {"z_space_dim": 8, "w_space_dim": 8, "mapping_layers": 2, "mapping_fmaps": 8}
    generator = StyleGANGenerator(64, **sizes, fmaps_base=256, fmaps_max=8)
    z = torch.randn(2, 8)
    with torch.no_grad():
        generator.synthesis.layer7.style.bias[:8] = 0.0
        generator.synthesis.layer7.apply_noise.noise[..., 4, 4] = 1e4
        generator.synthesis.layer7.apply_noise.weight += 1.0
    with SpikeMeter(generator.synthesis) as spikes:
        generator(z)
    assert spikes.total > 0
    spikes.total.backward()
    assert generator.synthesis.layer6.weight.grad.abs().sum() > 0
    before = float(spikes.total.detach())
    generator(z)
    assert float(spikes.total.detach()) == before
