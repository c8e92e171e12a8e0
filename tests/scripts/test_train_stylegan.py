"""The training script: from a folder of pictures to weights that load, and its messages."""

import csv
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from scripts import train_stylegan
from scripts.pipeline import REPOSITORY, Tool, UserError, run_tool
from scripts.pipeline.console import StopRequest
from scripts.stages.base_generator import body, training
from stylegan.checkpoint import (
    build_discriminator,
    build_generator,
    load_checkpoint,
    save_checkpoint,
    weights_id,
)
from tests.stylegan import tiny

PHASE = """
[[phases]]
kind = "adversarial"
resolution = 0
kimg = 0.12
batch = 4
"""
PLAN = f"""
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
{PHASE}
"""
TRANSFER = f"""
precision = "float32"
augmentation = "adaptive"
freeze_d = 2
{PHASE}
"""

Train = Callable[..., int]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Runs the script in this process, quicker than in a new one; returns its exit code."""
    monkeypatch.setattr(body, "keep_freed_memory", lambda: True)

    def run(plan: str, *arguments: object, out: str = "out") -> int:
        path = tmp_path / "plan.toml"
        path.write_text(plan)
        folders = ["--workspace", str(tmp_path / "ws"), "--out", str(tmp_path / out), "--device", "cpu"]
        argv = ["--plan", str(path), *folders, "--previews", "4", *map(str, arguments)]
        with pytest.raises(SystemExit) as exit_info:
            run_tool(train_stylegan.Options, train_stylegan.run, argv=argv)
        return exit_info.value.code or 0

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of ten pictures and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (10, 20, 30, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png", compress_level=0)  # all of one size in bytes
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


def _log(out: Path) -> list[dict[str, str]]:
    with (out / "train_log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_ends_with_the_commands_that_bring_its_weights_into_the_row(
    train: Train, pictures: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture
) -> None:
    assert train(PLAN, "--folder", pictures, "--kid-kimg", 0, out="mine/base generator") == 0
    said = capsys.readouterr().out
    fetch, generate = (
        shlex.split(line)[1:] for line in said.splitlines() if line.startswith("    ") and "scripts/0" in line
    )
    assert generate[0].endswith("01_generate_candidates.py")
    monkeypatch.setattr(sys, "argv", fetch)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "scripts" / Path(fetch[0]).name), run_name="__main__")
    assert not ended.value.code
    mine = weights_id(tmp_path / "mine/base generator/stylegan_model.safetensors")
    assert weights_id(tmp_path / "ws/stylegan/stylegan_model.pth") == mine
    assert f"weights {mine}, converted from " in capsys.readouterr().out


def test_the_usual_workspace_belongs_to_the_bundled_generator(tmp_path: Path) -> None:
    tool = Tool("train_stylegan", train_stylegan.Options(), StopRequest(), has_log=False)
    for out, workspace in (
        (tool.workspace / "base_generator", REPOSITORY / "data/runs/mine"),
        (tmp_path / "mine/base", tmp_path / "mine"),
    ):
        words = [shlex.split(command) for command in body.next_commands(tool, out)]
        assert [Path(line[line.index("--workspace") + 1]).resolve() for line in words] == [workspace] * 2


def test_training_on_a_folder_with_one_bad_picture(
    train: Train, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bundle = tmp_path / "bundle.safetensors"
    arguments = ("--folder", pictures, "--bundle", bundle, "--kid-kimg", 0)
    assert train(PLAN, *arguments) == 0
    assert "left out bad.jpg" in capsys.readouterr().out
    out = tmp_path / "out"
    found = load_checkpoint(out / "stylegan_model.safetensors")
    assert build_generator(found)(torch.zeros(2, 8))["image"].shape == (2, 3, 16, 16)
    assert bundle.stat().st_size < 0.65 * (out / "stylegan_model.safetensors").stat().st_size
    halved = build_generator(load_checkpoint(bundle)).state_dict()
    for name, value in build_generator(found).state_dict().items():
        torch.testing.assert_close(halved[name], value, atol=1e-4, rtol=1e-3)
    assert build_discriminator(found).resolution == 16
    written = {path.name for path in out.iterdir()}
    assert written >= {"checkpoint.pt", "train_log.csv", "preview.png", "filmstrip.png"}
    last = _log(out)[-1]
    assert (last["step"], last["kimg"], last["kid"]) == ("30", "0.120", "")
    assert float(last["memory_mib"]) > 10
    assert not list(out.glob(".tmp-*"))
    assert list(tmp_path.glob("**/events/out/events.out.tfevents.*"))

    before = (out / "stylegan_model.safetensors").read_bytes()
    assert train(PLAN, *arguments) == 0
    assert "resumed at step 30" in capsys.readouterr().out
    assert (out / "stylegan_model.safetensors").read_bytes() == before

    assert train(PLAN.replace("kimg = 0.12", "kimg = 0.2"), *arguments) == 5
    assert "other 'phases'" in capsys.readouterr().err
    Image.new("RGB", (30, 20)).save(pictures / "9.png", compress_level=0)
    assert train(PLAN, *arguments) == 5
    assert "other 'images'" in capsys.readouterr().err


def test_transfer_measures_kid_and_keeps_the_best(
    train: Train, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    weights = tmp_path / "weights.safetensors"
    networks = {"generator": tiny.generator(), "discriminator": tiny.discriminator()}
    save_checkpoint(weights, **{name: network.state_dict() for name, network in networks.items()})
    arguments = ("--folder", pictures, "--kid-count", 8, "--kid-kimg", 0.05, "--preview-kimg", 0.05)
    assert train(TRANSFER, *arguments) == 5
    assert "--init" in capsys.readouterr().err
    assert train(TRANSFER, *arguments, "--init", weights) == 0
    out = tmp_path / "out"
    measured = {row["step"]: float(row["kid"]) for row in _log(out) if row["kid"]}
    assert list(measured) == ["0", "13", "25", "30"]
    best = load_checkpoint(out / "stylegan_model_best_kid.safetensors").extra["metadata"]["best_kid"]
    assert best["kid"] == pytest.approx(min(measured.values()), rel=1e-3)
    assert (best["samples"], best["data"], best["features"]) == (8, 8, "detector")
    assert all(0 <= float(row["augment_p"]) <= 1 for row in _log(out) if not row["kid"])
    with np.load(out / "previews" / "filmstrip.npz") as strip:
        assert strip["kimg"].tolist() == [0.0, 0.052, 0.1, 0.12]
        assert strip["pictures"].shape == (4, 4, 16, 16, 3)
        start = build_generator(load_checkpoint(weights))
        assert start.resolution == strip["pictures"].shape[2]

    smaller = PLAN.replace("resolution = 16", "resolution = 8")
    assert train(smaller, *arguments, "--init", weights, out="small") == 5
    assert "not drop them" in capsys.readouterr().err
    save_checkpoint(weights, generator=networks["generator"].state_dict())
    assert train(TRANSFER, *arguments, "--init", weights, out="none") == 5
    assert "no discriminator" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["stopped at 11", "killed in the look at 13"])
def test_a_training_that_ended_early_goes_on_to_the_same_weights(
    train: Train, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    arguments = ("--folder", pictures, "--kid-count", 8, "--kid-kimg", 0.05, "--preview-kimg", 0)
    plan = 'augmentation = "adaptive"\naugmentation_kimg = 0.05\n' + PLAN
    assert train(plan, *arguments, out="through") == 0

    def die(loop: training.GeneratorLoop, at_the_end: bool) -> None:
        if loop.trainer.steps_done == 13:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if "stopped" in end:
            patched.setattr(
                training.GeneratorLoop, "is_out_of_time", lambda loop: loop.trainer.steps_done == 11
            )
            assert train(plan, *arguments, "--minutes", 60, out="early") == 0
        else:
            patched.setattr(training.GeneratorLoop, "_look", die)
            assert train(plan, *arguments, "--save-seconds", 0, out="early") == 130
    for _ in range(2):  # the second run finds a finished training, and logs nothing twice
        assert train(plan, *arguments, out="early") == 0
        through, early = (_log(tmp_path / out) for out in ("through", "early"))
        for column in ("loss_d", "kid"):
            expected = [(row["step"], row[column]) for row in through if row[column]]
            found = [(row["step"], row[column]) for row in early if row[column] and row["step"] != "11"]
            # The killed run never looked before; the stopped one looked at its end, too.
            assert found == (expected[1:] if column == "kid" and "killed" in end else expected)
    first, second = (
        load_checkpoint(tmp_path / out / "stylegan_model.safetensors") for out in ("through", "early")
    )
    for name, value in first.generator_smooth.items():
        assert torch.equal(second.generator_smooth[name], value), name
    assert not (tmp_path / "through/preview.png").exists()


def test_no_process_waits_for_one_that_has_gone() -> None:
    class Two(SimpleNamespace):
        def any(self, flag: bool, device: torch.device) -> bool:
            return flag or self.other_failed

    def fail() -> None:
        raise UserError("no pictures")

    cpu = torch.device("cpu")
    with pytest.raises(UserError, match="no pictures"):
        training.in_the_first_process(Two(rank=0, other_failed=False), cpu, fail)
    with pytest.raises(UserError, match="first process"):
        training.in_the_first_process(Two(rank=1, other_failed=True), cpu, fail)
    assert training.in_the_first_process(Two(rank=1, other_failed=False), cpu, fail) is None
    assert training.in_the_first_process(Two(rank=0, other_failed=False), cpu, lambda: 5) == 5


def test_messages_name_what_is_wrong(train: Train, pictures: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(PLAN) == 5
    assert "--portraits COUNT or --folder PATH" in capsys.readouterr().err
    assert train(PLAN.replace("batch", "bacth"), "--folder", pictures) == 5
    assert "the nearest one is 'batch'" in capsys.readouterr().err
    for spoilt, reason in {
        PLAN.replace("mapping_fmaps", "mapping_fmap"): "'mapping_fmap'",
        PLAN.replace("resolution = 16", "resolution = 20"): "a power of two",
        PLAN.replace("[generator]\nresolution = 16", "[generator]"): "the generator needs a resolution",
    }.items():
        assert train(spoilt, "--portraits", 40) == 5
        message = capsys.readouterr().err
        assert "plan.toml is not a usable training plan" in message and reason in message
    assert train(PLAN, "--folder", pictures, "--kid-count", 3) == 2
    assert train(PLAN, "--folder", pictures, "--freeze-d", 1) == 5
    assert "starts from random weights" in capsys.readouterr().err
