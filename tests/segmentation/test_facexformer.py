"""FaceXFormer agrees with the published one, and refuses what is no parser."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segmentation.facexformer import FaceXFormer, load_facexformer, safetensors_metadata
from segmentation.facexformer_config import TASKS, FaceXFormerConfig, FaceXFormerWeightsError
from stylegan import weights_file
from tests.segmentation.tiny_parser import TINY


@pytest.fixture(scope="module")
def tiny() -> FaceXFormer:
    torch.manual_seed(0)
    return FaceXFormer(TINY).eval()


@pytest.fixture
def tiny_file(tiny: FaceXFormer, tmp_path: Path) -> Path:
    path = tmp_path / "parser.safetensors"
    save_file(tiny.state_dict(), path, metadata=safetensors_metadata(TINY))
    return path


@pytest.fixture(scope="module")
def published_entries(golden: Path) -> dict[str, tuple[list[int], str]]:
    return json.loads((golden / "facexformer_keys.json").read_text())


def fill_with_known_weights(model: FaceXFormer) -> None:
    """Weights that the golden file was made with: each entry is drawn from a seed made of its name."""
    for key, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
        if "token" in key or "gaussian_matrix" in key:
            value.copy_(noise)
        elif key.endswith(".bias"):
            value.copy_(noise * 0.02)
        else:
            value.copy_(1 + 0.1 * noise if value.ndim == 1 else noise * 0.05)


@pytest.fixture
def without_initial_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing initial values for 92 million weights would take longer than the test that replaces them."""
    for name in ("trunc_normal_", "xavier_uniform_", "kaiming_uniform_", "normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **options: tensor)


@pytest.mark.usefixtures("without_initial_values")
def test_published_size_gives_the_published_numbers(golden: Path, published_entries) -> None:
    model = FaceXFormer().eval()
    entries = {key: [list(value.shape), str(value.dtype)] for key, value in model.state_dict().items()}
    assert entries == published_entries
    assert sum(parameter.numel() for parameter in model.parameters()) == 91_985_943

    fill_with_known_weights(model)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(21))
    with torch.inference_mode():
        outputs = model(images)
    expected = np.load(golden / "facexformer.npz")
    segmentation = outputs.pop("segmentation")
    found = {
        "seg_center": segmentation[:, :, 100:124, 100:124],
        "seg_pool": torch.nn.functional.adaptive_avg_pool2d(segmentation, 8),
        "landmark": outputs.pop("landmarks"),
        "attribute": outputs.pop("attributes"),
        **outputs,
    }
    assert set(found) | {"seg_argmax", "seed", "n", "salt"} == set(expected.files)
    for name, value in found.items():
        difference = (value.numpy() - expected[name]) / expected[name].std()
        assert np.sqrt(np.square(difference).mean()) < 5e-2, name
        # These weights saturate the decoder's attention, which enlarges the rounding of the backbone (1e-6)
        # a thousandfold: the reference's own float32 lies 4e-2 from float64 in `age`, and another number of
        # threads moves single values by as much. A wrong formula moves them by 1 and more.
        assert np.abs(difference).max() < 1e-1, name
    assert (segmentation.argmax(1).numpy() == expected["seg_argmax"]).mean() > 0.995


def test_all_heads_and_only_the_asked_ones(tiny: FaceXFormer) -> None:
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        everything = tiny(images)
        some = tiny(images, tasks=("segmentation", "headpose"))
    assert everything["segmentation"].shape == (2, 11, 224, 224)
    assert {name: value.shape[1] for name, value in everything.items()} == TASKS
    assert set(some) == {"segmentation", "headpose"}
    assert all(torch.equal(value, everything[name]) for name, value in some.items())
    with pytest.raises(ValueError, match="unknown task 'nose'"):
        tiny(images, tasks=("nose",))


def test_own_file_returns_the_same_network(tiny: FaceXFormer, tiny_file: Path) -> None:
    loaded = load_facexformer(tiny_file)
    assert loaded.config == TINY
    assert loaded.trained_tasks == ("segmentation",)
    assert not loaded.training
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images)["age"], tiny(images)["age"])


def test_a_new_refinement_changes_nothing_and_a_trained_one_sees_single_pixels(
    tiny: FaceXFormer, tmp_path: Path
) -> None:
    refined = FaceXFormer(replace(TINY, refinement_width=6)).eval()
    missing = refined.load_state_dict(tiny.state_dict(), strict=False).missing_keys
    assert {name.split(".")[0] for name in missing} == {"refinement"}
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = tiny(images, ("segmentation",))["segmentation"]
        torch.testing.assert_close(refined(images, ("segmentation",))["segmentation"], expected)
        for parameter in refined.refinement.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        changed = images.clone()
        changed[0, :, 100, 51] += 1.0
        before, after = (refined(part, ("segmentation",))["segmentation"] for part in (images, changed))
    moved = (after - before)[0].abs().amax(0)
    assert moved[100, 51] > 0.01 and moved[100, 51] != moved[101, 51]
    path = tmp_path / "refined.safetensors"
    save_file(refined.state_dict(), path, metadata=safetensors_metadata(refined.config))
    with torch.inference_mode():
        torch.testing.assert_close(load_facexformer(path)(images)["segmentation"], before)


def test_published_file_loads(published_entries, tmp_path: Path, monkeypatch) -> None:
    # Expanded scalars have the right shapes and take no room on the disk, for which a file is refused.
    monkeypatch.setattr(weights_file, "LARGEST_REPETITION", 1_000_000)
    state = {
        key: torch.zeros((), dtype=getattr(torch, dtype.removeprefix("torch."))).expand(shape)
        for key, (shape, dtype) in published_entries.items()
    }
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [6, 10])  # its state holds a Counter
    path = tmp_path / "model.pt"
    content = {"state_dict_backbone": state, "state_lr_scheduler": scheduler.state_dict(), "epoch": 11}
    torch.save(content, path)
    loaded = load_facexformer(path)
    assert loaded.config == FaceXFormerConfig()
    assert loaded.trained_tasks == tuple(TASKS)


@pytest.mark.parametrize("name", ["half.safetensors", "half.pt", "empty.pt"])
def test_damaged_file_is_refused(tiny: FaceXFormer, tiny_file: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    torch.save({"state_dict_backbone": tiny.state_dict()}, path)
    content = (tiny_file if name.endswith("safetensors") else path).read_bytes()
    path.write_bytes(content[: len(content) // 2] if name.startswith("half") else b"")
    with pytest.raises(FaceXFormerWeightsError, match="damaged"):
        load_facexformer(path)


def test_other_networks_are_refused(tiny: FaceXFormer, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"generator": {"weight": torch.zeros(3)}}, path)
    with pytest.raises(FaceXFormerWeightsError, match=r"state_dict_backbone.*but has generator"):
        load_facexformer(path)
    with pytest.raises(FileNotFoundError):
        load_facexformer(tmp_path / "absent.pt")


def config(**changed: object) -> dict[str, str]:
    """Metadata of a file that describes another network than it holds."""
    metadata = safetensors_metadata(TINY)
    return metadata | {"config": json.dumps({**json.loads(metadata["config"]), **changed})}


@pytest.mark.parametrize(
    ("name", "metadata", "told"),
    [
        ("pe_layer.gaussian_matrix", safetensors_metadata(TINY), r"1 entries missing.*pe_layer\.gaussian"),
        (None, config(embed_dim=16), "instead of"),
        (None, None, "'config'"),
        (None, safetensors_metadata(TINY, ("segmentation", "nose")), "'nose'"),
        (None, config(head_counts=(3, 1, 2, 2)), "heads"),
        (None, config(embed_dim=0), "positive"),
        (None, config(patch_size=6, refinement_width=8), "multiple of 4"),
    ],
)
def test_files_that_fit_no_network_are_refused(
    tiny: FaceXFormer, tmp_path: Path, name: str | None, metadata: dict[str, str] | None, told: str
) -> None:
    state = tiny.state_dict()
    if name is not None:
        state[name] = state.pop("pe_layer.positional_encoding_gaussian_matrix")
    path = tmp_path / "odd.safetensors"
    save_file(state, path, metadata=metadata)
    with pytest.raises(FaceXFormerWeightsError, match=told):
        load_facexformer(path)
