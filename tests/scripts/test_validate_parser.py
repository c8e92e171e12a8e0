"""Training the small parser and judging it: the figures, the sheets and the confusion matrix."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from data import portraits
from scripts.stages.parsing.parser_pairs import read_pairs
from segmentation.face_classes import CLASS_NAMES
from segmentation.facexformer import load_facexformer
from segmentation.property_table import PROPERTY_NAMES
from stylegan.checkpoint import save_checkpoint
from stylegan.stylegan_generator import StyleGANGenerator
from stylegan.weights_file import read_safetensors
from tests.processes import exit_code


def call(name: str, *arguments: object) -> int:
    return exit_code(name, "--threads", 1, *arguments)


def check_pictures_and_confusion(folder: Path) -> None:
    assert (folder / "held_out.png").is_file() and (folder / "confusion.png").is_file()
    table = pd.read_csv(folder / "confusion.csv", index_col="truth")
    assert tuple(table.index) == tuple(table.columns) == CLASS_NAMES
    shares = table.to_numpy().sum(axis=1)
    assert np.all(np.isclose(shares, 1, atol=1e-4) | (shares == 0))  # 0: a class that no picture has
    assert (shares > 0).sum() > len(CLASS_NAMES) / 2


def test_training_judges_what_it_writes(tmp_path: Path, capsys) -> None:
    output = tmp_path / "parser.safetensors"
    arguments = ("--workspace", tmp_path, "--out", output, "--portraits", 2, "--portrait-size-px", 64)
    arguments += ("--steps", 1, "--batch-size", 1, "--log-every", 1, "--held-out", 1)
    assert call("train_parser", *arguments) == 0, capsys.readouterr()
    folder = tmp_path / "train_parser"
    check_pictures_and_confusion(folder)
    figures = json.loads((folder / "results.json").read_text())
    assert figures["mean_ceiling"] > 0.8 > figures["mean_iou"]
    log = pd.read_csv(tmp_path / "logs/train_parser/train_log.csv")
    assert log.columns.tolist() == ["step", "loss", "learning_rate", "pictures_per_s"]
    assert load_facexformer(output).trained_tasks == ("segmentation",)
    assert call("train_parser", *arguments) == 0
    assert "resumed at step 1" in capsys.readouterr().out
    assert json.loads((folder / "results.json").read_text()) == figures


def test_bundled_parser_is_judged(tmp_path: Path, capsys) -> None:
    arguments = ("--workspace", tmp_path, "--portraits", 12, "--pictures", 4)
    assert call("validate_parser", *arguments) == 0, capsys.readouterr()
    folder = tmp_path / "validate_parser"
    check_pictures_and_confusion(folder)
    assert (folder / "least_agreement.png").is_file()
    results = json.loads((folder / "results.json").read_text())
    assert results["portraits"]["mean_iou"] > 0.8
    agreement = results["portraits"]["scores_r"]
    assert list(agreement) == list(PROPERTY_NAMES) and min(agreement.values()) > 0.8
    assert results["generated"]["agreement"] > 0.9
    assert results["generated"]["faces_found"] == 1


def test_pictures_without_faces_and_missing_parsers(tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    sizes = {"z_space_dim": 8, "w_space_dim": 8, "mapping_layers": 2, "mapping_fmaps": 8}
    state = StyleGANGenerator(64, **sizes, fmaps_base=128, fmaps_max=8).state_dict()
    save_checkpoint(tmp_path / "untrained.pth", generator=state, generator_smooth=state)
    arguments = ("--workspace", tmp_path, "--portraits", 1, "--pictures", 2)
    assert call("validate_parser", *arguments, "--weights", tmp_path / "untrained.pth") == 5
    assert "found no face in any of 2 pictures" in capsys.readouterr().err
    assert call("validate_parser", *arguments, "--parser", tmp_path / "none.safetensors") == 5
    assert "python scripts/train_parser.py" in capsys.readouterr().err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Portraits with their masks in the 19 classes of CelebAMask-HQ, and files that are no pairs."""
    drawn = portraits.render_many(range(50, 54), 64)
    # background, skin, right and left brow, right and left eye, nose, upper lip, inner mouth, lower lip, hair
    theirs = np.array([0, 1, 7, 6, 5, 4, 2, 11, 10, 12, 13], np.uint8)
    folder = tmp_path / "pairs"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number, (image, label_map) in enumerate(zip(drawn.images, drawn.label_maps, strict=True)):
        Image.fromarray(image).save(folder / f"images/{number}.png")
        mask = Image.fromarray(theirs[label_map])
        mask.resize((128, 128), Image.Resampling.NEAREST).save(folder / f"masks/{number}.png")
    Image.fromarray(drawn.images[0]).save(folder / "images/lonely.png")
    Image.fromarray(drawn.images[0, :32]).save(folder / "images/wide.png")
    Image.fromarray(theirs[drawn.label_maps[0]]).save(folder / "masks/wide.png")
    Image.fromarray(drawn.images[0]).save(folder / "images/0_other.png")
    Image.fromarray(np.full((64, 64), 40, np.uint8)).save(folder / "masks/0_other.png")
    return folder


def test_masks_of_celebamask_are_read_with_left_and_right_of_the_picture(pairs: Path) -> None:
    said: list[str] = []
    found = read_pairs(SimpleNamespace(log=said.append), pairs, 64)
    drawn = portraits.render_many(range(50, 54), 64)
    np.testing.assert_array_equal(found.images, drawn.images)
    np.testing.assert_array_equal(found.label_maps, drawn.label_maps)
    assert [text for text in said if "lonely" in text and "no mask" in text]
    assert [text for text in said if "wide" in text and "64 x 32" in text]
    assert [text for text in said if "0_other" in text and "0 to 18" in text]
    training, held_out = found.split(1)
    assert len(training.images) == 3 and np.array_equal(held_out.images[0], drawn.images[3])


def test_training_on_pairs(tmp_path: Path, pairs: Path, capsys) -> None:
    output = tmp_path / "parser.safetensors"
    arguments = ("--workspace", tmp_path, "--out", output, "--pairs", pairs, "--picture-size-px", 64)
    arguments += ("--steps", 1, "--batch-size", 1, "--log-every", 1)
    assert call("train_parser", *arguments, "--held-out", 4) == 5
    assert "Give --held-out 1." in capsys.readouterr().err
    assert call("train_parser", *arguments, "--held-out", 2) == 0, capsys.readouterr()
    check_pictures_and_confusion(tmp_path / "train_parser")
    figures = json.loads((tmp_path / "train_parser/results.json").read_text())
    assert figures["count"] == 2 and figures["mean_ceiling"] == 1
    assert set(figures["scores_r"].values()) == {None}  # two faces say nothing about a correlation
    metadata = read_safetensors(output)[1]
    assert metadata["trained_on"].startswith("2 pictures with masks, sha256 ")
    assert metadata["mean_iou"].endswith("on 2 held-out pictures")
    refined = tmp_path / "refined.safetensors"
    refining = ("--workspace", tmp_path / "refined", "--out", refined, *arguments[4:], "--held-out", 2)
    refining += ("--init", output, "--refinement-width", 4)
    assert call("train_parser", *refining) == 0, capsys.readouterr()
    assert load_facexformer(refined).config.refinement_width == 4
    (pairs / "masks/0.png").unlink()
    assert call("train_parser", *arguments, "--held-out", 2) == 5
    assert "cannot be continued" in capsys.readouterr().err
    assert call("train_parser", "--pairs", tmp_path, "--workspace", tmp_path) == 5
    assert "masks/NAME.png" in capsys.readouterr().err
