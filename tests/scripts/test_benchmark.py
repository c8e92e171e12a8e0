"""The benchmark prints a table, writes its figures, and tells a failed comparison from a figure."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cnn.models import FilterCNN, quality_config
from scripts import benchmark
from scripts.pipeline import UserError, files
from scripts.stages.benchmarks import body, cnn, growth, plain_stylegan2, scores
from scripts.stages.benchmarks.measurement import check_difference
from tests.stylegan import tiny


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Measures two faces' scores; the exit code."""
    monkeypatch.setattr(scores, "QUICK_FACES", 2)

    def call() -> int:
        words = ["--workspace", str(tmp_path), "--device", "cpu", "--only", "scores", "--quick"]
        with pytest.raises(SystemExit) as exit_info:
            benchmark.run_tool(benchmark.Options, benchmark.run, words)
        return exit_info.value.code or 0

    return call


def test_table_and_results(run: Callable[[], int], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run() == 0
    written = files.read_json(tmp_path / body.RESULT)
    (row,) = written["measurements"]
    assert row["ratio"] == pytest.approx(row["ours"] / row["plain"]) and row["unit"] == "images/s"
    assert written["machine"]["torch"] == torch.__version__
    assert f"{row['ratio']:.2f}x  images/s; {row['note']}" in capsys.readouterr().out


def test_ways_that_disagree_give_no_figures(
    run: Callable[[], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(scores, "LARGEST_DIFFERENCE", -1)
    assert run() == 5
    assert "ours and plain differ" in capsys.readouterr().err
    assert not (tmp_path / body.RESULT).exists()
    with pytest.raises(RuntimeError):
        check_difference(float("nan"), 1, "toy")


def test_unknown_area_is_refused() -> None:
    with pytest.raises(ValueError, match="stylegan"):
        benchmark.Options(only=("typo",))


@torch.no_grad()
def test_plain_stylegan2_draws_the_same() -> None:
    ours = tiny.stylegan2_generator(conv_clamp=1.0)
    for name, parameter in ours.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    plain = plain_stylegan2.write_plainly(copy.deepcopy(ours))
    z = torch.randn(3, 8)
    assert torch.allclose(ours(z)["image"], plain(z)["image"], atol=1e-5)


def test_plain_filter_network_is_the_same() -> None:
    torch.manual_seed(0)
    network = FilterCNN(quality_config(cnn.SIZE_PX, width=1 / 32)).eval()
    images = torch.rand(2, 3, cnn.SIZE_PX, cnn.SIZE_PX) * 2 - 1
    expected = network(images)
    plain = cnn.documents_order(network)
    names = [type(layer).__name__ for layer in plain.features]
    assert names[4:8] == ["LeakyReLU", "Dropout2d", "MaxPool2d", "Conv2d"]
    torch.testing.assert_close(plain(images), expected)


@pytest.mark.parametrize(
    ("power", "expected"), [(1, pytest.approx(1)), (2, pytest.approx(2)), (3, pytest.approx(3)), (0, None)]
)
def test_exponent_of_what_grows_beyond_a_constant(power: int, expected: object) -> None:
    assert growth.exponent([30 + 2.0 * scale**power for scale in growth.SCALES], least=1) == expected


def test_growth_runs_stages_and_says_how_they_grow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def seconds(name: str, arguments: list[str], threads: int) -> growth.Use:
        scale = int(arguments[-1]) if name.startswith("01") else 1
        return growth.Use(5 + scale**2 / 1000, 900.0)

    monkeypatch.setattr(growth, "run_stage", seconds)
    with pytest.raises(SystemExit) as ended:
        benchmark.run_tool(benchmark.Options, benchmark.run, ["--growth", "--workspace", str(tmp_path)])
    assert not ended.value.code and "largest exponent" not in capsys.readouterr().err
    rows = {row["stage"]: row for row in files.read_json(tmp_path / growth.RESULT)["stages"]}
    assert rows["01_generate_candidates"]["time_exponent"] == pytest.approx(2)
    assert rows["03_segment_faces"]["time_exponent"] is rows["03_segment_faces"]["memory_exponent"] is None


def test_a_stage_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="01_generate_candidates failed"):
        growth.run_stage("01_generate_candidates", ["--count", "0", "--workspace", str(tmp_path)], 1)
