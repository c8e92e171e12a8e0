"""Every numbered script: --help, mistakes on the command line, missing inputs; presets; the shell scripts."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scripts
from scripts.pipeline import console
from scripts.pipeline.layers import known_tables, read_tables
from scripts.pipeline.places import PRESETS, REPOSITORY, SCRIPT_FOLDERS
from tests.processes import exit_code

SCRIPTS = sorted((REPOSITORY / "scripts").glob("[0-9][0-9]_*.py"))
TOOLS = sorted(
    path
    for folder in SCRIPT_FOLDERS
    for path in (REPOSITORY / folder).glob("*.py")
    if "run_tool(" in path.read_text()
)
PRESET_FILES = sorted(PRESETS.glob("*.toml"))
HELP_LIMIT_S = 1.5

JSON_KEYS = {"script", "state", "exit_code", "workspace", "seconds"}

every_script = pytest.mark.parametrize("script", [*SCRIPTS, *TOOLS], ids=lambda path: path.stem)
by_name = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


@by_name
def test_help_is_quick_and_complete(run_interpreter, script: Path) -> None:
    result = run_interpreter(script, "--help")
    assert result.returncode == 0, result.stderr
    assert result.cpu_s < HELP_LIMIT_S
    for name in ("--preset", "--workspace", "--device", "--quiet", "--json"):
        assert name in result.stdout


@by_name
def test_mistakes_exit_2_and_name_what_was_meant(script: Path, capsys) -> None:
    assert exit_code(script, "--presett", "embedded") == 2
    assert "--preset" in capsys.readouterr().err.replace("--presett", "")
    assert exit_code(script, "--preset", "embeded") == 2
    assert "Did you mean 'embedded'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if "fine_tune" in path.stem], ids=lambda p: p.stem
)
def test_control_needs_two_people(script: Path, capsys) -> None:
    assert exit_code(script, "--control-latents", "1") == 2
    assert "must be at least 2" in capsys.readouterr().err


@by_name
@pytest.mark.parametrize("preset", [path.stem for path in PRESET_FILES])
@pytest.mark.parametrize("quality", ["quick", "full"])
def test_presets_fit_the_script(script: Path, preset: str, quality: str) -> None:
    assert exit_code(script, "--preset", preset, "--quality", quality, "--help") == 0


@by_name
def test_empty_workspace_exits_3_with_the_command(script: Path, tmp_path: Path, capsys) -> None:
    if script.stem.startswith("00"):
        pytest.skip("the first script needs no other")
    workspace = tmp_path / "empty"
    assert exit_code(script, "--workspace", workspace) == 3
    message = capsys.readouterr().err
    command = next(line.split() for line in message.splitlines() if line.startswith("    "))
    assert any(Path(word).name in {path.name for path in SCRIPTS} for word in command), message
    assert str(workspace) in command


@every_script
@pytest.mark.parametrize("quiet", [(), ("--quiet",)], ids=["", "quiet"])
def test_json_tells_of_a_mistake(script: Path, quiet: tuple[str, ...], capsys) -> None:
    assert exit_code(script, "--json", *quiet, "--preset", "embeded") == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told.keys() == JSON_KEYS | {"message"}
    assert (told["script"], told["state"], told["exit_code"]) == (script.stem, "failed", 2)
    assert "Did you mean 'embedded'?" in told["message"]
    assert told["message"] in captured.err
    assert exit_code(script, "--json", *quiet, "--presett", "embedded") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["exit_code"]) == ("failed", 2)
    assert "--help" in told["message"]


@by_name
@pytest.mark.parametrize("quiet", [(), ("--quiet",)], ids=["", "quiet"])
def test_json_tells_of_a_missing_input(script: Path, quiet: tuple[str, ...], tmp_path: Path, capsys) -> None:
    if script.stem.startswith("00"):
        pytest.skip("the first script needs no other")
    workspace = tmp_path / "empty"
    assert exit_code(script, "--workspace", workspace, "--json", *quiet) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["exit_code"], told["workspace"]) == ("failed", 3, str(workspace))
    assert "it needs" in told["message"]


def test_json_and_quiet_of_a_tool(tmp_path: Path, capsys) -> None:
    script, output = REPOSITORY / "scripts/bundle/draw_portraits.py", tmp_path / "sheet.png"
    arguments = ("--workspace", tmp_path, "--count", 2, "--size", 64, "--out", output)
    assert exit_code(script, *arguments, "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told.keys() == JSON_KEYS | {"numbers", "look_at", "outputs"}
    assert (told["state"], told["exit_code"], told["look_at"]) == ("complete", 0, [str(output)])
    assert told["numbers"]["speed"].endswith("portraits per second")
    assert "2 portraits of 64 px" in captured.err
    assert exit_code(script, *arguments, "--json", "--quiet") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["state"] == "complete"
    assert captured.err == ""
    assert exit_code(script, *arguments, "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("path", PRESET_FILES, ids=lambda path: path.stem)
def test_every_table_of_a_preset_belongs_to_a_script(path: Path) -> None:
    assert set(read_tables(path)) <= known_tables()


def test_a_checkout_of_windows_has_the_line_ends_of_bash(tmp_path: Path) -> None:
    """One file of each kind, committed and checked out where git converts line ends."""

    def git(*words: str) -> None:
        given = ("-c", "core.autocrlf=true", "-c", "user.name=x", "-c", "user.email=x", *words)
        subprocess.run(["git", *given], cwd=tmp_path, check=True, capture_output=True)

    folders = [REPOSITORY, *(REPOSITORY / name for name in ("scripts", "data/embedded", "tests/golden"))]
    kinds = {path.suffix: path for folder in folders for path in folder.iterdir() if path.is_file()}
    assert {".sh", ".py", ".csv", ".jpg", ".npz", ".safetensors"} <= set(kinds)
    before = {path.name: path.read_bytes() for path in [*kinds.values(), REPOSITORY / ".gitattributes"]}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    git("init", "-q")
    git("add", "-f", ".")
    git("commit", "-qm", "all")
    for name in before:
        (tmp_path / name).unlink()
    git("checkout", "-q", "--", ".")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_help_ends_quietly_with_its_reader() -> None:
    command = f"{shlex.quote(sys.executable)} scripts/01_generate_candidates.py --help | head -1"
    result = subprocess.run(
        ["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=20
    )
    assert result.stdout.startswith("usage: ") and result.stderr == ""


@pytest.mark.parametrize(
    "script", [path for path in [*SCRIPTS, *TOOLS] if path.stem != "check_setup"], ids=lambda path: path.stem
)
def test_a_python_without_packages_is_told_the_command(script: Path, tmp_path: Path) -> None:
    """As the system's Python is: without site-packages."""
    command = [sys.executable, "-S", "-E", str(script), "--workspace", "a run"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
    assert result.returncode == 5, result.stderr
    sentence, *commands = result.stderr.strip().split("\n    ")
    assert "has no package tyro, so the scripts cannot run with it" in sentence and "\n" not in sentence
    python = str(REPOSITORY / ".venv/bin/python")
    assert shlex.split(commands[-1]) == [python, str(script), "--workspace", "a run"]


def test_an_unfit_python_is_told_which_one_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none yet, there is one, and it is this one, but without a package."""
    own = tmp_path / ".venv/bin/python"
    monkeypatch.setattr(scripts, "_ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["scripts/01_a.py", "--workspace", "a run"])
    again = f"    {own} scripts/01_a.py --workspace 'a run'"
    make = f"    bash -c 'source {tmp_path}/scripts/ensure_venv.sh && ensure_venv'"
    assert scripts.wrong_python("lacks x").endswith(f"use it:\n{make}\n{again}")
    own.parent.mkdir(parents=True)
    own.touch()
    assert scripts.wrong_python("lacks x").endswith(f"Use the repository's own Python:\n{again}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    install = f"    {own} -m pip install -r {tmp_path}/requirements.txt"
    assert scripts.wrong_python("lacks x").endswith(f"Install it:\n{install}")


@pytest.mark.parametrize(
    ("on_path", "typed"), [("/env/bin/python", "python"), ("/usr/bin/python", "/env/bin/python")]
)
def test_commands_name_the_python_in_use(monkeypatch: pytest.MonkeyPatch, on_path: str, typed: str) -> None:
    monkeypatch.setattr(sys, "executable", "/env/bin/python")
    monkeypatch.setattr(shutil, "which", lambda name: on_path)
    assert console.script_command("08_a", "--workspace", "a run").startswith(f"{typed} ")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sys.version_info", (3, 9, 7), "is older than 3.10"),
        ("scripts.find_spec", lambda name: None, "inside WSL"),
    ],
)
def test_an_old_python_and_windows_are_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys, name: str, value: object, message: str
) -> None:
    monkeypatch.setattr(name, value)
    with pytest.raises(SystemExit) as ended:
        scripts._check_python(SCRIPTS[0])
    assert ended.value.code == 5
    assert message in capsys.readouterr().err
    scripts._check_python(REPOSITORY / "tests/some_test.py")


@pytest.mark.parametrize(
    "name", ["scripts/run_all.sh", "scripts/run_tests.sh", "scripts/ensure_venv.sh", ".ci/run"]
)
def test_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", str(REPOSITORY / name)], check=True, timeout=20)
