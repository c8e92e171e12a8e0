"""The READMEs are true: commands parse, what they name exists, and the languages say the same."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from scripts.pipeline import REPOSITORY
from scripts.pipeline.layers import SCRIPT_FOLDERS
from scripts.pipeline.options import resolve_options
from tests import readme

COMMANDS = sorted(
    {
        tuple(words)
        for path in readme.READMES
        for block in readme.code_blocks(path)
        for words in readme.commands(block)
    }
)
PROGRAMS = {"ssh", "srun", "wait", "git", "cd"}
each_readme = pytest.mark.parametrize("path", readme.READMES, ids=lambda path: path.name)


def script_call(words: tuple[str, ...]) -> tuple[Path, list[str]] | None:
    """The Python script of a command and its arguments."""
    wrapped = next((word.removeprefix("--wrap=") for word in words if word.startswith("--wrap=")), None)
    if wrapped is not None:
        return script_call(tuple(shlex.split(wrapped)))
    for index, word in enumerate(words):
        if word.startswith("scripts/") and word.endswith(".py"):
            return REPOSITORY / word, list(words[index + 1 :])
    return None


def load_script(script: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module, without running it; the names in its annotations need it among the modules."""
    spec = importlib.util.spec_from_file_location(f"script_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_understood(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    call = script_call(words)
    if call is not None:
        script, arguments = call
        options_class = load_script(script, monkeypatch).Options
        if "--help" not in arguments:
            resolve_options(options_class, script.stem, arguments)
    elif words[0] == "bash":
        script = REPOSITORY / words[1]
        assert script.is_file()
        if script.name == "run_all.sh":  # options are read in order, so --help comes last
            subprocess.run(["bash", str(script), *words[2:], "--help"], check=True, capture_output=True)
    elif words[0].startswith(".venv/bin/") and words[1:2] == ("-m",):
        assert (REPOSITORY / words[2].replace(".", "/")).exists(), words[2]
    else:
        assert words[0] in PROGRAMS or words[0] == ".venv/bin/tensorboard", f"unknown program: {words[0]}"


@each_readme
def test_shell_blocks_have_no_mistake(path: Path) -> None:
    for block in readme.code_blocks(path):
        checked = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, f"{block}{checked.stderr}"


def test_both_languages_have_the_same_commands_in_the_same_order() -> None:
    english, korean = (
        [readme.commands(block) for block in readme.code_blocks(REPOSITORY / name)]
        for name in ("README.md", "README.ko.md")
    )
    assert len(english) > 10
    assert korean == english


def test_both_languages_describe_the_same_tables() -> None:
    english, korean = (readme.table_columns(REPOSITORY / name) for name in ("README.md", "README.ko.md"))
    assert len(english) > 20
    assert korean == english


@each_readme
def test_links_and_named_files_exist(path: Path) -> None:
    for target in readme.links(path):
        assert (REPOSITORY / target).exists(), target
    text = path.read_text(encoding="utf-8")
    for name in re.findall(
        r"`((?:scripts|tests|data/embedded|data/portraits|stylegan|\.ci)/[\w./-]+)`", text
    ):
        made_by_a_run = (REPOSITORY / name.split("/")[0]).name == "stylegan" and not name.endswith(".py")
        assert made_by_a_run or (REPOSITORY / name).exists(), name
    wanted, made = readme.anchors(path)
    assert wanted <= made


@each_readme
def test_every_script_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for script in (path for folder in SCRIPT_FOLDERS for path in (REPOSITORY / folder).glob("*.py")):
        if re.search(r"^    run_(stage|item_stage|tool)\(", script.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"\b{script.name}\b", text), script.name


@each_readme
def test_every_symptom_of_the_common_failures_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    heading = {"README.md": "## When something is wrong", "README.ko.md": "## 문제 해결"}[path.name]
    section = text.split(heading)[1].split("\n## ")[0]
    assert len(re.findall(r"^\| (?!---|symptom|증상)", section, re.MULTILINE)) >= 12


def test_the_command_that_needs_no_run_does_what_it_says(tmp_path: Path) -> None:
    script, arguments = script_call(
        next(words for words in COMMANDS if "scripts/bundle/draw_portraits.py" in words)
    )
    command = [sys.executable, str(script), *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "portraits.png").exists()
