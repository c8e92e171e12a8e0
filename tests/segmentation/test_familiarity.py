"""What is usual for a parser, and what is strange: told by features, kept in the weights."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from data import portraits
from scripts.pipeline import REPOSITORY
from scripts.stages.workspace import BUNDLED_PARSER
from segmentation.facexformer import FaceXFormer, load_facexformer, safetensors_metadata
from segmentation.familiarity import Familiarity
from segmentation.parser_training import learn_what_is_usual
from segmentation.parsing import parse_faces
from segmentation.segmenter import Segmenter
from tests.segmentation.tiny_parser import TINY


def test_one_in_a_hundred_usual_ones_is_strange_and_others_are() -> None:
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 40, generator=rng)
    usual = torch.randn(1200, 6, generator=rng) @ mixing + 0.1 * torch.randn(1200, 40, generator=rng)
    familiarity = Familiarity(40, directions=6)
    familiarity.fit(usual[:800], usual[800:])
    assert 0.005 < float((familiarity(usual[800:]) > 1).float().mean()) < 0.02
    larger = 3 * (torch.randn(50, 6, generator=rng) @ mixing)  # along the directions in which the usual vary
    assert (familiarity(larger) < 1).float().mean() > 0.9
    assert (familiarity(usual[:50] + torch.randn(50, 40, generator=rng)) > 1).all()


def test_it_is_kept_in_the_weights_and_told_of_every_face(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = FaceXFormer(TINY).eval()
    crops = np.random.default_rng(0).integers(0, 256, (48, 224, 224, 3), dtype=np.uint8)
    assert np.isnan(parse_faces(model, crops[:2]).strangeness).all()
    learn_what_is_usual(model, crops)
    expected = parse_faces(model, crops[:3]).strangeness
    path = tmp_path / "parser.safetensors"
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, path, metadata=safetensors_metadata(TINY))
    np.testing.assert_allclose(
        parse_faces(load_facexformer(path), crops[:3]).strangeness, expected, rtol=1e-4
    )


def test_the_bundled_parser_knows_portraits_from_pictures_of_noise() -> None:
    segmenter = Segmenter(load_facexformer(REPOSITORY / BUNDLED_PARSER))
    people = portraits.render_many(range(80_000_000, 80_000_012), 128, processes=1).images
    noisy = people + np.random.default_rng(0).integers(-60, 60, people.shape)
    usual = [face.strangeness for face in segmenter(list(people)) if face is not None]
    strange = [
        face.strangeness for face in segmenter(list(noisy.clip(0, 255).astype(np.uint8))) if face is not None
    ]
    assert len(usual) == 12 and np.median(usual) < 0.9 and min(strange) > 1
