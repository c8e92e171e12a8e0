"""Networks that know real faces: published numbers, the part of the frame, what a loss needs, bad files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnn import identity, onnx_networks
from cnn.face_window import FRAME_PX, FaceWindow
from cnn.identity import ARCFACE_WINDOW, DLIB_WINDOW, FaceEmbedder, load_embedder
from cnn.mobile_facenet import FrozenPReLU
from cnn.onnx_networks import GenderJudge
from cnn.verification import share_in_order, verify
from scripts.pipeline import REPOSITORY
from stylegan.weights_file import write_torch
from tests.cnn.face_networks import as_pictures, blocks, onnx_means

BUNDLE = REPOSITORY / "data/photographs"
JUDGE, LOSS, GENDER = (
    BUNDLE / name for name in ("judge_identity.safetensors", "loss_identity.safetensors", "gender.onnx")
)
DRAWN_WORLD = REPOSITORY / "data/embedded/identity_network.safetensors"
GOLDEN = np.load(REPOSITORY / "tests/golden/face_networks.npz")


@pytest.fixture(scope="module")
def embedder() -> Callable[[Path], FaceEmbedder]:
    loaded = {path: load_embedder(path) for path in (JUDGE, LOSS, DRAWN_WORLD, GENDER)}
    return loaded.__getitem__


@pytest.mark.parametrize(("path", "size", "name"), [(JUDGE, 150, "dlib"), (LOSS, 112, "mobile_facenet")])
def test_bundled_networks_say_what_their_makers_libraries_say(
    embedder, path: Path, size: int, name: str
) -> None:
    with torch.inference_mode():
        found = embedder(path).network(as_pictures(blocks(size))).numpy()
    # Half precision costs 1.5e-4 of dlib's and 2e-2 of MobileFaceNet's numbers, which reach .4 and 6.
    np.testing.assert_allclose(found, GOLDEN[name], atol=4e-3 * np.abs(GOLDEN[name]).max())


def test_gender_is_what_the_published_program_says() -> None:
    found = GenderJudge(GENDER).read(as_pictures(blocks(32, count=4, seed=3)))
    np.testing.assert_allclose(found, GOLDEN["gender"], atol=1e-4)


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("window", [DLIB_WINDOW, ARCFACE_WINDOW, FaceWindow(44, 70, 170, 32)])
def test_a_window_shows_its_part_of_the_frame(window: FaceWindow, size: int) -> None:
    """A picture that holds its own coordinates comes out as the coordinates of the window."""
    places = (torch.arange(size) + 0.5) * FRAME_PX / size
    picture = torch.stack(
        [places.expand(size, size), places[:, None].expand(size, size), torch.zeros(size, size)]
    )
    found = window.cut(picture[None])[0]
    steps = (torch.arange(window.size_px) + 0.5) * window.side / window.size_px
    torch.testing.assert_close(found[0, 0], window.left + steps, atol=0.4, rtol=0)
    torch.testing.assert_close(found[1, :, 0], window.top + steps, atol=0.4, rtol=0)


@pytest.mark.parametrize("path", [JUDGE, LOSS, DRAWN_WORLD, GENDER], ids=lambda path: path.stem)
def test_embeddings_are_unit_vectors_whatever_the_batch(embedder, path: Path) -> None:
    images = as_pictures(blocks(64))
    together = embedder(path)(images)
    apart = torch.cat([embedder(path)(image[None]) for image in images])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@pytest.mark.parametrize("path", [JUDGE, LOSS, DRAWN_WORLD], ids=lambda path: path.stem)
def test_gradients_reach_the_picture_and_nothing_else(embedder, path: Path) -> None:
    network = embedder(path).train()
    images = as_pictures(blocks(64, count=2)).requires_grad_()
    network(images)[0, :4].sum().backward()
    assert network.card.differentiable and not network.network.training
    assert torch.isfinite(images.grad).all() and images.grad[0].abs().sum() > 0 and not images.grad[1].any()
    assert all(weight.grad is None for weight in network.parameters())


def test_frozen_slopes_change_no_gradient() -> None:
    activation, published = FrozenPReLU(3), nn.PReLU(3)
    slopes = torch.tensor([0.3, -0.2, 1.5])
    gradients = []
    for module in (activation.requires_grad_(False), published):
        module.weight.data = slopes
        x = torch.linspace(-2, 2, 96).view(2, 3, 4, 4).requires_grad_()
        (module(x) ** 2).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


def test_a_window_gives_every_pixel_inside_its_gradient() -> None:
    """Also where the picture shrinks to a fifth: a loss must not see one pixel of five only."""
    images = torch.zeros(1, 3, 256, 256, requires_grad=True)
    FaceWindow(44, 70, 170, 32).cut(images).sum().backward()
    inside = images.grad[0, 0, 70:240, 44:214]
    assert inside.min() > 0 and inside[20:-20, 20:-20].std() / inside.mean() < 0.1
    with pytest.raises(ValueError, match=r"align_photos\.py"):
        DLIB_WINDOW.cut(torch.zeros(1, 3, 64, 48))
    with pytest.raises(ValueError, match="inside a frame"):
        FaceWindow(100, 0, 200, 32)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (("n", 3, 8, 8), 8),
        ((2, 3, 8, 8), 8),  # takes two pictures at a time
        (("n", 8, 8, 3), 8),
        (("n", 3, "s", "s"), ARCFACE_WINDOW.size_px),
    ],
)
def test_any_onnx_network_of_faces_is_read_as_a_judge(
    tmp_path: Path, shape: tuple[int | str, ...], size: int
) -> None:
    path = tmp_path / "means.onnx"
    path.write_bytes(onnx_means(shape))
    images, network = as_pictures(blocks(64)), load_embedder(path)
    expected = replace(ARCFACE_WINDOW, size_px=size).cut(images).mean(dim=(2, 3))
    torch.testing.assert_close(network.descriptors(images), expected, atol=1e-5, rtol=1e-4)
    assert not network.card.differentiable
    with pytest.raises(ValueError, match="no gradients"):
        network(images.requires_grad_())


def test_judge_and_loss_differ_in_architecture_and_training_data(embedder) -> None:
    judge, loss = embedder(JUDGE), embedder(LOSS)
    assert judge.card.architecture != loss.card.architecture
    assert "FaceScrub" in judge.card.training_data and "MS-Celeb" in loss.card.training_data
    has_prelu = [any(isinstance(part, nn.PReLU) for part in network.modules()) for network in (judge, loss)]
    assert has_prelu == [False, True]
    assert judge.card.threshold == 0.6 and loss.card.threshold is None


class TinyFacenet(nn.Module):
    """Stands for facenet-pytorch's network, whose 110 MB are not in the repository."""

    def __init__(self, pretrained: None, classify: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 160)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return self.layer(faces).flatten(1)


def test_weights_of_facenet_are_read_without_their_classes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(identity, "InceptionResnetV1", TinyFacenet)
    state = TinyFacenet(None, False).state_dict()
    path = tmp_path / "20180402-114759-vggface2.pt"
    write_torch(path, {**state, "logits.weight": torch.zeros(8631, 4), "logits.bias": torch.zeros(8631)})
    network = load_embedder(path)
    torch.testing.assert_close(network.network.state_dict(), state)
    assert "vggface2" in network.card.training_data
    assert network(as_pictures(blocks(64))).shape == (3, 4)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing.safetensors", None, "missing.safetensors"),
        ("cut.safetensors", JUDGE.read_bytes()[:9000], "cut.safetensors cannot be read"),
        (
            "parser.safetensors",
            (REPOSITORY / "data/embedded/stylegan_model.safetensors"),
            "no network that tells",
        ),
        ("missing.onnx", None, "There is no network"),
        ("grey.onnx", onnx_means(("n", 1, 8, 8)), "does not read a picture"),
        ("narrow.onnx", onnx_means(("n", 3, 8, 6)), "a square is needed"),
        ("text.onnx", b"no graph", "text.onnx cannot be read as an ONNX network"),
        ("other.pt", {"layer.weight": torch.zeros(2)}, "other.pt is no network of facenet-pytorch"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path: Path, name: str, content: object, told: str) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Path):
        path.symlink_to(content)
    elif content is not None:
        write_torch(path, content)
    with pytest.raises(ValueError, match=told):
        load_embedder(path)


def test_without_onnxruntime_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_networks, "onnxruntime", None)
    for load in (GenderJudge, load_embedder):
        with pytest.raises(ImportError, match="python -m pip install onnxruntime") as found:
            load(GENDER)
        assert "\n" not in str(found.value)


def test_verification_counts_pairs() -> None:
    first = torch.tensor([[0.0], [1.0], [3.0]])
    second = torch.tensor([[0.4], [1.1], [1.2]])
    found = verify(first, second, threshold=0.5)
    # Same: .4, .1, 1.8; others: 1.1, 1.2, .6, .2, 2.6, 1.9.
    assert found.auc == pytest.approx((5 + 6 + 2) / 18)
    assert found.rank_1 == pytest.approx(1.0) and found.same_accepted == pytest.approx(2 / 3)
    assert found.others_accepted == pytest.approx(1 / 6) and found.same == pytest.approx(2.3 / 3)
    assert verify(first, second).same_accepted is None
    assert share_in_order(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])) == pytest.approx(3.5 / 4)
    with pytest.raises(ValueError, match="two people"):
        verify(first[:1], second[:1])
