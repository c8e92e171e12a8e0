"""The detector takes the weights of a folder, and says when they are none."""

from pathlib import Path

import pytest
import torch

from data import portraits
from segmentation.face_crop import FaceCropper
from segmentation.mtcnn import MTCNNWeightsError, load_mtcnn
from segmentation.segmenter_settings import MTCNN_FILES


@pytest.mark.parametrize("network", ["pnet", "rnet", "onet"])
def test_each_file_of_the_folder_takes_the_place_of_the_package_s(network: str, tmp_path: Path) -> None:
    picture = portraits.render_many([3], 128).images[0]
    assert FaceCropper(weights=tmp_path)([picture])[0]
    state = getattr(load_mtcnn("cpu"), network).state_dict()
    score = {"pnet": "conv4_1", "rnet": "dense5_1", "onet": "dense6_1"}[network]
    state[f"{score}.bias"] = torch.tensor([99.0, -99.0])  # nothing is a face
    torch.save(state, tmp_path / MTCNN_FILES[network])
    assert FaceCropper(weights=tmp_path)([picture]) == [None]


def test_damaged_and_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / MTCNN_FILES["rnet"]
    torch.save(load_mtcnn("cpu").pnet.state_dict(), path)
    for damage in (lambda: None, lambda: torch.save([1], path), lambda: path.write_bytes(b"half")):
        damage()
        with pytest.raises(MTCNNWeightsError, match=r"mtcnn_rnet\.pt"):
            FaceCropper(weights=tmp_path)
