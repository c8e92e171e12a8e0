"""Property CNN, dials, encoder and the generator with dials."""

import pytest
import torch

from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.dials import DialNetwork
from stylegan_modified.property_cnn import CROPS, PropertyCNN, PropertyCNNConfig
from stylegan_modified.stylegan_discriminator import ConditionedStyleGANDiscriminator
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, EncoderConfig
from tests.stylegan_modified import tiny


def test_property_cnn_windows_at_256_px_are_the_documents() -> None:
    network = PropertyCNN()
    windows = {name: (net.rows, net.columns) for name, net in network.networks.items()}
    assert windows["eyes"] == ((96, 144), (64, 192))
    assert windows["mouth"] == ((160, 208), (96, 160))
    assert windows["pose"] == ((112, 160), (88, 168))
    assert windows["hair_length"] == ((128, 256), (0, 256))
    assert windows["background"] == ((0, 128), (0, 256))
    assert sum(len(crop.properties) for crop in CROPS.values()) == 7


@pytest.mark.parametrize(("resolution", "reduction"), [(32, 1), (64, 1), (128, 2), (256, 2)])
def test_property_cnn_reads_any_power_of_two(resolution: int, reduction: int) -> None:
    config = PropertyCNNConfig(resolution, width=0.25, coarse_reduction=reduction)
    assert PropertyCNN(config).eval()(torch.zeros(1, 3, resolution, resolution)).shape == (1, 7)


def test_large_crops_may_be_reduced_and_small_ones_are_not() -> None:
    torch.manual_seed(0)
    network = PropertyCNN(PropertyCNNConfig(64, width=0.25, coarse_reduction=2)).eval()
    checks = torch.ones(1, 3, 64, 64)
    checks[:, :, ::2, ::2] = checks[:, :, 1::2, 1::2] = -1  # nothing is left of them after averaging
    change = (network(checks) - network(torch.zeros_like(checks))).abs()[0]
    reduced = [PROPERTY_NAMES.index(name) for name in ("hair_color", "hair_length", "background_mean")]
    assert change[reduced].max() < 1e-5
    assert change[PROPERTY_NAMES.index("eyes")] > 1e-4


def test_what_the_property_cnn_refuses() -> None:
    with pytest.raises(ValueError, match="reads 32 x 32 px pictures and got 64 x 64"):
        tiny.property_cnn()(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="not a property CNN"):
        PropertyCNN.from_checkpoint({"encoder": {}})
    checkpoint = tiny.property_cnn().checkpoint()
    checkpoint["config"] = {**checkpoint["config"], "width": 0.5}
    with pytest.raises(ValueError, match="do not fit"):
        PropertyCNN.from_checkpoint(checkpoint)
    for reduction, message in ((0, "power of two"), (3, "power of two"), (64, "too small to read")):
        with pytest.raises(ValueError, match=message):
            PropertyCNN(PropertyCNNConfig(32, coarse_reduction=reduction))


def test_each_output_answers_to_its_own_window() -> None:
    network = tiny.property_cnn()
    images = torch.zeros(1, 3, 32, 32)
    painted = images.clone()
    painted[:, :, 20:26, 12:20] = 1.0  # the mouth window
    changed = (network(painted) - network(images)).abs()[0] > 1e-6
    assert changed[3] and not changed[0] and not changed[5]


def test_untouched_dials_change_nothing_and_mixed_precision_leaves_them_in_float32() -> None:
    torch.manual_seed(0)
    dials = DialNetwork(16, 8)
    for parameter in dials.parameters():
        torch.nn.init.normal_(parameter)
    w, difference = torch.randn(3, 16), torch.randn(3, 7)
    assert torch.equal(dials(w, torch.zeros(3, 7)), torch.zeros(3, 8, 16))
    exact = dials(w, difference)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(dials(w, difference), exact)


@pytest.mark.parametrize("conditioning", ["projection", "additive"])
def test_mixed_precision_leaves_what_d_says_of_its_features_in_float32(conditioning: str) -> None:
    torch.manual_seed(0)
    discriminator = ConditionedStyleGANDiscriminator(conditioning, resolution=32, fmaps_base=128, fmaps_max=8)
    features = discriminator.features(torch.randn(4, 3, 32, 32))
    properties = torch.randn(4, 7)

    def said() -> list[torch.Tensor]:
        heads = [discriminator.read(features)] if conditioning == "projection" else []
        return [discriminator.score(features, properties), *heads]

    exact = said()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(torch.equal(*pair) for pair in zip(said(), exact, strict=True))


@pytest.mark.parametrize("architecture", ["stylegan", "stylegan2"])
def test_generator_with_dials_survives_its_file_and_does_not_depend_on_the_batch(architecture: str) -> None:
    model = tiny.dial_generator(architecture)
    torch.nn.init.normal_(model.dials.head.weight, std=0.01)
    stored = model.checkpoint()
    again = DialGenerator.from_checkpoint(
        stored, PropertyCNN.from_checkpoint(model.property_cnn.checkpoint())
    )
    z, properties = torch.randn(4, tiny.Z_DIM), torch.randn(4, 7)
    with torch.no_grad():
        expected = model(z, properties, corrections=1)["image"]
        torch.testing.assert_close(again(z, properties, corrections=1)["image"], expected)
        single = torch.cat(
            [model(z[i : i + 1], properties[i : i + 1], corrections=1)["image"] for i in range(4)]
        )
    torch.testing.assert_close(single, expected, atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match="not a generator with dials"):
        DialGenerator.from_checkpoint({"generator": {}}, model.property_cnn)


def test_asking_for_what_a_person_has_returns_the_untouched_picture() -> None:
    model = tiny.dial_generator()
    torch.nn.init.normal_(model.dials.head.weight, std=0.01)
    z = torch.randn(3, tiny.Z_DIM)
    with torch.no_grad():
        person = model.person(z)
        assert torch.equal(model.turn(person, person.own)["image"], person.image)


def test_encoder_shapes_and_file() -> None:
    encoder = Encoder(EncoderConfig(64, 16, width=0.25, hidden=16)).eval()
    again = Encoder.from_checkpoint(encoder.checkpoint())
    images, properties = torch.randn(2, 3, 64, 64), torch.randn(2, 7)
    mean, log_variance = encoder(images, properties)
    assert mean.shape == log_variance.shape == (2, 16)
    torch.testing.assert_close(again(images, properties)[0], mean)
    with pytest.raises(ValueError, match="32 px or more"):
        Encoder(EncoderConfig(16, 16))
    with pytest.raises(ValueError, match="not a v3 encoder"):
        Encoder.from_checkpoint({})
