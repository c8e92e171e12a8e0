"""The benchmark prints a table, writes its figures, and tells a failed comparison from a figure."""

import copy
from pathlib import Path

import pytest
import torch

from scripts import benchmark
from scripts.pipeline import UserError, files
from scripts.stages.benchmarks import Measurement, plain_stylegan2, scores
from scripts.stages.benchmarks.body import RESULT
from tests.stylegan import tiny


class _Tool:
    """What `benchmark.run` needs of a `Tool`."""

    device = torch.device("cpu")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def path(self, name: str) -> Path:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def log(self, line: str) -> None:
        self.lines.append(line)

    def check_stop(self) -> None:
        pass

    def finish(self, numbers: dict[str, str], look_at: list[str]) -> None:
        self.numbers = numbers


def _use_area(monkeypatch: pytest.MonkeyPatch, measure: object) -> None:
    monkeypatch.setattr(scores, "measure", measure)


def test_table_and_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _use_area(monkeypatch, lambda device, quick: [Measurement("toy", 6.0, 2.0, "images/s", "batch 1")])
    tool = _Tool(tmp_path)
    benchmark.run(tool, benchmark.Options(only=("scores",)))
    assert tool.numbers == {"measurements": "1"}
    assert any("toy" in line and "3.00x" in line and "batch 1" in line for line in tool.lines)
    written = files.read_json(tmp_path / RESULT)
    assert written["measurements"][0]["ratio"] == 3.0
    assert written["machine"]["torch"] == torch.__version__


def test_ways_that_disagree_give_no_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def measure(device: torch.device, quick: bool) -> list[Measurement]:
        raise RuntimeError("ours and plain differ")

    _use_area(monkeypatch, measure)
    with pytest.raises(UserError, match="ours and plain differ"):
        benchmark.run(_Tool(tmp_path), benchmark.Options(only=("scores",)))
    assert not (tmp_path / RESULT).exists()


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
