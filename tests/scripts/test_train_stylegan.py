"""The training script: from a folder of pictures to weights that load, and its messages."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stylegan.checkpoint import build_discriminator, build_generator, load_checkpoint

ROOT = Path(__file__).parents[2]
PLAN = """
precision = "float32"
[generator]
resolution = 16
z_space_dim = 8
w_space_dim = 8
mapping_layers = 2
mapping_fmaps = 8
fmaps_base = 64
fmaps_max = 8
[discriminator]
resolution = 16
fmaps_base = 64
fmaps_max = 8
[[phases]]
kind = "adversarial"
resolution = 16
kimg = 0.12
batch = 4
"""


def _run(tmp_path: Path, plan: str, *arguments: str) -> subprocess.CompletedProcess:
    path = tmp_path / "plan.toml"
    path.write_text(plan)
    out = ["--workspace", str(tmp_path / "ws"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    command = [sys.executable, "scripts/train_stylegan.py", "--plan", str(path), *out, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_training_on_a_folder_with_one_bad_picture(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(pictures / f"{i}.png")
    (pictures / "bad.jpg").write_bytes(b"no picture")
    bundle = tmp_path / "bundle.safetensors"
    arguments = ("--folder", str(pictures), "--previews", "4", "--bundle", str(bundle))
    result = _run(tmp_path, PLAN, *arguments)
    assert result.returncode == 0, result.stderr
    assert "left out bad.jpg" in result.stdout
    out = tmp_path / "out"
    found = load_checkpoint(out / "stylegan_model.safetensors")
    assert build_generator(found)(torch.zeros(2, 8))["image"].shape == (2, 3, 16, 16)
    assert bundle.stat().st_size < 0.65 * (out / "stylegan_model.safetensors").stat().st_size
    halved = build_generator(load_checkpoint(bundle)).state_dict()
    for name, value in build_generator(found).state_dict().items():
        torch.testing.assert_close(halved[name], value, atol=1e-4, rtol=1e-3)
    assert build_discriminator(found).resolution == 16
    assert {p.name for p in out.iterdir()} >= {"checkpoint.pt", "train_log.csv", "preview.png"}
    assert (out / "train_log.csv").read_text().splitlines()[-1].startswith("30,0.120,")
    assert not list(out.glob(".tmp-*"))

    before = (out / "stylegan_model.safetensors").read_bytes()
    again = _run(tmp_path, PLAN, *arguments)
    assert again.returncode == 0, again.stderr
    assert "resumed at step 30" in again.stdout
    assert (out / "stylegan_model.safetensors").read_bytes() == before

    other = _run(tmp_path, PLAN.replace("kimg = 0.12", "kimg = 0.2"), *arguments)
    assert other.returncode == 5
    assert "another 'phases'" in other.stderr
    assert "Traceback" not in other.stderr


def test_messages_name_what_is_wrong(tmp_path: Path) -> None:
    nothing = _run(tmp_path, PLAN)
    assert nothing.returncode == 5
    assert "--portraits COUNT or --folder PATH" in nothing.stderr
    wrong = _run(tmp_path, PLAN.replace("batch", "bacth"), "--folder", str(tmp_path))
    assert wrong.returncode == 5
    assert "the nearest one is 'batch'" in wrong.stderr
    assert "Traceback" not in nothing.stderr + wrong.stderr
