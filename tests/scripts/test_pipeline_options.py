"""The layers of options and what is said about mistakes in them."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from scripts.pipeline import StageOptions, UsageError
from scripts.pipeline.layers import FULL_PREFIX, read_tables
from scripts.pipeline.options import resolve_options, results_options
from scripts.pipeline.places import PRESETS
from scripts.stages.regenerating.requests import parse_seeds, parse_sweep

PRESET = """
[common]
threads = 2

[90_toy]
count = 7
factor = 2
sizes = [3, 4, 5]
"""


def load_toy():
    spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Options = load_toy().Options


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "embedded.toml").write_text(PRESET)
    (folder / "small.toml").write_text('base = "embedded"\n[90_toy]\ncount = 1\n')
    return folder


@pytest.fixture
def two_qualities(presets: Path) -> Path:
    """Presets with tables of the full quality, in a preset and in its base."""
    with (presets / "embedded.toml").open("a") as file:
        file.write("[full.common]\nthreads = 3\n[full.90_toy]\ncount = 70\nfactor = 20\nsizes = [30]\n")
    with (presets / "small.toml").open("a") as file:
        file.write("[full.90_toy]\nsizes = [10]\n")
    return presets


def resolve(presets: Path, *argv: object):
    return resolve_options(Options, "90_toy", [str(word) for word in argv], presets)


def test_each_layer_overrides_the_one_below_and_is_named(presets: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('[90_toy]\nfactor = 3.5\ntitle = "x"\n')
    resolved = resolve(presets, "--config", config, "--sizes", 9, "--pause-s", 0.25)
    options, origins = resolved.options, resolved.origins
    assert (options.count, origins["count"]) == (7, "preset")
    assert (options.factor, origins["factor"]) == (3.5, "config")
    assert (options.title, origins["title"]) == ("x", "config")
    assert (options.sizes, origins["sizes"]) == ((9,), "command line")
    assert (options.pause_s, origins["pause_s"]) == (0.25, "command line")
    assert (options.kind, origins["kind"]) == ("round", "default")
    assert (options.threads, origins["threads"]) == (2, "preset")
    stored = json.loads(json.dumps(resolved.to_json()))
    assert stored["sizes"] == {"value": [9], "from": "command line"}


def test_the_full_table_lies_between_preset_and_config(two_qualities: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('[90_toy]\nfactor = 3.5\n[full.90_toy]\ntitle = "x"\n')
    resolved = resolve(two_qualities, "--quality", "full", "--config", config, "--sizes", 9)
    options, origins = resolved.options, resolved.origins
    assert (options.count, origins["count"]) == (70, "preset (full)")
    assert (options.threads, origins["threads"]) == (3, "preset (full)")
    assert (options.factor, origins["factor"]) == (3.5, "config")
    assert (options.title, origins["title"]) == ("x", "config (full)")
    assert (options.sizes, origins["sizes"]) == ((9,), "command line")
    assert (options.quality, origins["quality"]) == ("full", "command line")


@pytest.mark.parametrize("argv", [(), ("--quality", "quick")])
def test_full_tables_do_not_count_in_the_quick_quality(two_qualities: Path, argv: tuple[str, ...]) -> None:
    resolved = resolve(two_qualities, *argv)
    assert (resolved.options.count, resolved.options.factor, resolved.options.threads) == (7, 2.0, 2)
    assert resolved.origins["count"] == "preset"
    small = resolve(two_qualities, "--preset", "small", *argv).options  # refines "embedded"
    assert (small.count, small.factor, small.sizes) == (1, 2.0, (3, 4, 5))
    full = resolve(two_qualities, "--preset", "small", "--quality=full").options
    assert (full.count, full.factor, full.sizes) == (1, 20.0, (10,))


def test_smoke_stays_small_in_both_qualities() -> None:
    smoke = read_tables(PRESETS / "smoke.toml")
    embedded = read_tables(PRESETS / "embedded.toml")
    full = {table: values for table, values in embedded.items() if table.startswith(FULL_PREFIX)}
    assert full
    for table, values in full.items():
        assert set(values) <= set(smoke[table.removeprefix(FULL_PREFIX)]), table


def test_underscores_and_negated_flags_are_understood(presets: Path) -> None:
    resolved = resolve(presets, "--pause_s=0.5", "--no-quiet", "--force")
    assert resolved.options.pause_s == 0.5
    assert resolved.origins["pause_s"] == resolved.origins["quiet"] == "command line"
    assert resolved.options.force


def test_only_options_that_affect_results_enter_the_fingerprint(presets: Path) -> None:
    assert set(results_options(Options())) == {"count", "factor", "kind", "sizes", "title"}
    assert results_options(StageOptions()) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[90_toy]\ncuont = 3\n", "Did you mean 'count'"),
        ("[90_tyo]\ncount = 3\n", "Did you mean '90_toy'"),
        ("[common]\ndevise = 'cpu'\n", "Did you mean 'device'"),
        ("[full.90_toy]\ncuont = 3\n", r"\[full.90_toy\] has no option 'cuont'. Did you mean 'count'"),
        ("[full.90_tyo]\ncount = 3\n", "Did you mean 'full.90_toy'"),
        ("[ful.90_toy]\ncount = 3\n", "no script is called 'ful'. Did you mean 'full'"),
        ("[full.90_toy]\nquality = 'full'\n", "no option 'quality'"),
        ("[full.90_toy]\ncount = 'many'\n", "not a value of type int"),
        ("[full]\ncount = 3\n", "no script is called 'full.count'"),
        ("full = 3\n", "must hold tables"),
        ("[90_toy]\ncount = 'many'\n", "not a value of type int"),
        ("[90_toy]\ncount = true\n", "not a value of type int"),
        ("[90_toy]\nkind = 'squares'\n", "Did you mean 'square'"),
        ("[90_toy]\nsizes = [1, 'b']\n", "not a value of type int"),
        ("[90_toy]\nforce = true\n", "no option 'force'"),
        ("[90_toy\n", "not a TOML file"),
        ("[90_toy]\ncount = -1\n", "must not be negative"),
    ],
)
def test_mistakes_in_a_file_name_what_was_probably_meant(
    presets: Path, tmp_path: Path, text: str, message: str
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(text)
    with pytest.raises(UsageError, match=message):
        resolve(presets, "--config", config)
    (presets / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        resolve(presets, "--preset", "mine")


def test_unknown_preset_and_missing_config(presets: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'embedded'"):
        resolve(presets, "--preset", "embeded")
    with pytest.raises(UsageError, match="does not exist"):
        resolve(presets, "--config", "nowhere.toml")


@pytest.mark.parametrize(
    "argv", [["--cuont", "3"], ["--count", "x"], ["--kind", "oval"], ["--quality", "good"], ["left over"]]
)
def test_mistakes_on_the_command_line_exit_2(
    presets: Path, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        resolve(presets, *argv)
    assert exit_info.value.code == 2
    assert argv[0].split()[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("--shard", "1/2"), r"torch\.distributed\.run --standalone .* scripts/90_toy\.py"),
        (("--shard=1/2",), r"torch\.distributed\.run"),
        (("--output", "x"), "write --out"),
    ],
)
def test_a_removed_flag_names_what_took_its_place(
    presets: Path, words: tuple[str, ...], instead: str
) -> None:
    with pytest.raises(UsageError, match=instead):
        resolve_options(Options, "90_toy", words, presets)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_that_are_none(presets: Path, tmp_path: Path, value: str) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"[90_toy]\nfactor = {value}\n")
    for argv in (("--factor", value), ("--config", config)):
        with pytest.raises(UsageError, match=f"--factor is {value}, which is no finite number"):
            resolve(presets, *argv)


def test_names_that_are_no_text(presets: Path) -> None:
    with pytest.raises(UsageError, match="--workspace .* has bytes that are no text"):
        resolve(presets, "--workspace", "caf\udce9")


def test_help_shows_the_values_of_the_preset(presets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        resolve(presets, "--preset", "small", "--help")
    assert exit_info.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Make toys." in text
    assert "toys to make (default: 1)" in text


@pytest.mark.parametrize("text", ["mouth=-2:1e400:3", "mouth=nan:1:3", "mouth=-2:2:0", "mouth=1:2"])
def test_a_sweep_without_finite_ends_or_pictures(text: str) -> None:
    with pytest.raises(UsageError, match="start:stop:count"):
        parse_sweep(text)


@pytest.mark.parametrize(
    ("script", "values", "message"),
    [
        ("05_fine_tune_v1", {"batch_size": 5}, "must be even"),
        ("05_fine_tune_v1", {"batch_size": 0}, "at least 1"),
        ("06_fine_tune_v2", {"pool": 0}, "at least 1"),
        ("07_fine_tune_v3", {"drawn_size": 0}, "at least 1"),
        ("08_regenerate_images", {"batch_size": 0}, "at least 1"),
    ],
)
def test_options_that_no_batch_can_have(script: str, values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        importlib.import_module(f"scripts.{script}").Options(**values)


@pytest.mark.parametrize(
    "text", ["0-999999999999", "99999999999999999999", "2147483648", "4294967299", "²", "3-1", ""]
)
def test_seeds_that_nobody_has(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize("device", ["mps", "xpu:0", "meta", "cuda:x", "gpu"])
def test_devices_that_the_networks_were_not_made_for(presets: Path, device: str) -> None:
    with pytest.raises(UsageError, match=f"--device {device} is not supported.*cuda:<index>"):
        resolve(presets, "--device", device)
