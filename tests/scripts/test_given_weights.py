"""Weights that a person gives are used, or refused with a reason; never replaced by others in silence."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scripts import make_labels
from scripts.pipeline import REPOSITORY, run_stage
from stylegan.checkpoint import save_checkpoint, weights_id
from stylegan_modified.stylegan_generator import transplant
from tests.stylegan import tiny

TARGET = "stylegan/stylegan_model.pth"
CONFIG = f"""
[[weights]]
path = "{TARGET}"
bundled = "stylegan_model.safetensors"
is_stylegan = true
found_at = "data/embedded of this repository"

[[weights]]
path = "segmentation/models/mtcnn_pnet.pt"
package = "facenet_pytorch/data/pnet.pt"
found_at = "the package"

[01_generate_candidates]
count = 4
"""


def make_weights(path: Path, salt: int = 0) -> str:
    """A generator trained on one's own photographs, as train_stylegan writes it; its weights id."""
    generator = tiny.generator().state_dict()
    generator["truncation.w_avg"] += salt
    discriminator = tiny.discriminator().state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth = {name: value.clone() for name, value in generator.items()}
    save_checkpoint(
        path.with_suffix(".safetensors"),
        generator=generator,
        discriminator=discriminator,
        generator_smooth=smooth,
    )
    path.with_suffix(".safetensors").replace(path)
    return weights_id(path)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs a numbered script on the workspace in this process: exit code, and all that it said."""
    config = tmp_path / "options.toml"
    config.write_text(CONFIG)

    def run(name: str, *arguments: object) -> tuple[int, str]:
        spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        words = ("--workspace", tmp_path / "workspace", "--config", config, "--device", "cpu", *arguments)
        with pytest.raises(SystemExit) as ended:
            run_stage(script.SPEC, script.Options, script.run, list(map(str, words)))
        output = capsys.readouterr()
        return ended.value.code or 0, output.out + output.err

    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / TARGET


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mine/stylegan_model.safetensors", "mine"),  # as train_stylegan leaves it
        ("mine/stylegan_model.pth", "mine"),  # renamed
        ("mine/my own faces.ckpt", "mine"),  # found by its contents
        ("mine/best.safetensors", "mine/best.safetensors"),  # one file
        ("workspace/stylegan/stylegan_model.safetensors", ""),  # laid beside its place
    ],
)
def test_a_generator_of_one_s_own_enters_the_row(
    run: Callable, tmp_path: Path, place: Path, name: str, given: str
) -> None:
    mine = make_weights(tmp_path / name)
    (tmp_path / "mine").mkdir(exist_ok=True)
    (tmp_path / "mine" / "checkpoint.pt").write_bytes(b"state of the training")
    words = ("--from", tmp_path / given) if given else ()
    code, said = run("00_fetch_weights", *words)
    assert code == 0, said
    assert weights_id(place) == mine
    assert torch.load(place, weights_only=True)["generator"].keys()  # other programs can read it, too
    line = next(line for line in said.splitlines() if line.startswith("  generator: "))
    assert "16x16" in line and mine in line and str(tmp_path / name) in line
    assert run("00_fetch_weights", *words)[1].count("up to date") == 1
    assert run("00_fetch_weights")[1].count("up to date") == 1
    assert weights_id(place) == mine
    if given == "mine":
        assert "not used: " in said and "checkpoint.pt" in said
        code, said = run("01_generate_candidates")
        assert code == 0 and str(tmp_path / name) in said and mine in said


@pytest.mark.parametrize("state", ["new", "complete", "forced"])
@pytest.mark.parametrize("content", ["nothing", "pickle", "no folder"])
def test_a_source_that_gives_nothing_is_refused(
    run: Callable, tmp_path: Path, place: Path, state: str, content: str
) -> None:
    """Before anything of an earlier run is removed."""
    if state != "new":
        make_weights(tmp_path / "workspace/stylegan/stylegan_model.safetensors")
        assert run("00_fetch_weights")[0] == 0
    source = tmp_path / "given"
    if content != "no folder":
        source.mkdir()
    if content == "pickle":
        torch.save(torch.nn.Linear(2, 2), source / "ffhq.pkl")
    code, said = run("00_fetch_weights", "--from", source, *(["--force"] if state == "forced" else []))
    assert code == 5 and str(source) in said and "Traceback" not in said
    assert ("ffhq.pkl is refused: it holds a whole network" in said) == (content == "pickle")
    assert place.exists() == (state != "new")


def test_another_generator_than_the_one_in_place_is_not_ignored(
    run: Callable, tmp_path: Path, place: Path
) -> None:
    first, second = make_weights(tmp_path / "a/a.pth"), make_weights(tmp_path / "b/b.pth", 1)
    assert run("00_fetch_weights", "--from", tmp_path / "a")[0] == 0
    code, said = run("00_fetch_weights", "--from", tmp_path / "b")
    assert code == 5 and "--force" in said and str(tmp_path / "b/b.pth") in said
    assert weights_id(place) == first
    record = tmp_path / "workspace/_stages/00_fetch_weights/_stage.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "running"}))  # as if killed
    assert run("00_fetch_weights", "--from", tmp_path / "b")[0] == 5
    assert run("00_fetch_weights", "--from", tmp_path / "b", "--force")[0] == 0
    assert weights_id(place) == second
    make_weights(place.with_suffix(".safetensors"))
    code, said = run("00_fetch_weights")
    assert code == 5 and "stylegan_model.safetensors is another file" in said


def test_several_and_wrong_generators_are_named(run: Callable, tmp_path: Path, place: Path) -> None:
    for name in ("one.pth", "other.safetensors"):
        make_weights(tmp_path / "mine" / name)
    code, said = run("00_fetch_weights", "--from", tmp_path / "mine")
    assert code == 5 and "one.pth, other.safetensors" in said
    fine_tuned = transplant(tiny.generator()).state_dict()
    (tmp_path / "tuned").mkdir()
    torch.save(fine_tuned, tmp_path / "tuned/stylegan_model.pth")
    code, said = run("00_fetch_weights", "--from", tmp_path / "tuned")
    assert code == 5 and f"{tmp_path / 'tuned/stylegan_model.pth'} cannot be used" in said
    assert "with 7 properties" in said and ".tmp-" not in said
    assert not place.exists()


def test_without_a_source_the_bundled_one_is_named(run: Callable, place: Path) -> None:
    code, said = run("00_fetch_weights")
    assert code == 0
    assert f"weights {weights_id(place)}, converted from data/embedded" in said


def test_weights_that_would_have_no_say_are_refused() -> None:
    with pytest.raises(ValueError, match="--weights has no say"):
        make_labels.Options(from_workspace=True, weights=Path("mine.safetensors"))
