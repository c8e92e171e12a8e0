"""The READMEs are true: commands parse, what they name exists, and the languages say the same."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from scripts.pipeline import REPOSITORY
from scripts.pipeline.options import resolve_options
from scripts.pipeline.places import SCRIPT_FOLDERS
from tests import readme

COMMANDS = sorted(
    {
        tuple(words)
        for path in readme.READMES
        for block in readme.code_blocks(path)
        for words in readme.commands(block)
    }
)
PROGRAMS = {"mkdir", "npm"}
NUMBERED = sorted((REPOSITORY / "scripts").glob("[0-9][0-9]_*.py"))
MOST_LINES = 250


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def korean(path: Path) -> Path:
    return path.with_name("README.ko.md")


each_readme = pytest.mark.parametrize("path", readme.READMES, ids=name_of)
each_english = pytest.mark.parametrize("path", readme.ENGLISH, ids=name_of)
both_languages = pytest.mark.parametrize("translated", [lambda path: path, korean], ids=["english", "korean"])


def script_call(words: tuple[str, ...]) -> tuple[Path, list[str]] | None:
    """The Python script of a command and its arguments."""
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
        module = words[2]
        assert module == "pip" or (REPOSITORY / module.replace(".", "/")).exists(), module
    else:
        assert words[0] in PROGRAMS or words[0] == ".venv/bin/tensorboard", f"unknown program: {words[0]}"


@each_readme
def test_shell_blocks_have_no_mistake(path: Path) -> None:
    for block in readme.code_blocks(path):
        checked = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, f"{block}{checked.stderr}"


@each_readme
def test_each_is_there_and_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def test_every_folder_that_a_reader_opens_has_one() -> None:
    folders = {path.parent.relative_to(REPOSITORY).as_posix() for path in readme.ENGLISH}
    rooms = {"scripts", "stylegan", "stylegan_modified", "cnn", "segmentation", "sketch", "data"}
    assert folders >= rooms | {".", "data/embedded", "data/photographs"}


@each_english
def test_both_languages_have_the_same_commands_in_the_same_order(path: Path) -> None:
    blocks = readme.code_blocks(path)
    theirs = readme.code_blocks(korean(path))
    assert [readme.commands(block) for block in theirs] == [readme.commands(block) for block in blocks]


def test_the_commands_are_many() -> None:
    assert sum(len(readme.code_blocks(path)) for path in readme.ENGLISH) > 15


@each_english
def test_both_languages_show_the_same_pictures_and_link_to_the_same_files(path: Path) -> None:
    assert readme.pictures(korean(path)) == readme.pictures(path)
    theirs, ours = (sorted(readme.links(one)) for one in (korean(path), path))
    assert sorted(link.replace("README.ko.md", "README.md") for link in theirs) == sorted(
        link.replace("README.ko.md", "README.md") for link in ours
    )


def assert_same_figures(english: str, translated: str) -> None:
    """Every figure is in the translation; what it has besides stands in words in English, such as "seven"."""
    ours, theirs = readme.numbers(english), readme.numbers(translated)
    assert ours - theirs == {}, english
    assert all(number.isdecimal() for number in theirs - ours), translated


@each_english
def test_both_languages_have_the_same_figures(path: Path) -> None:
    ours, theirs = readme.rows(path), readme.rows(korean(path))
    assert [len(row) for row in theirs] == [len(row) for row in ours]
    for row, translated in zip(ours, theirs, strict=True):
        assert_same_figures(" ".join(row), " ".join(translated))
    assert_same_figures(readme.prose(path), readme.prose(korean(path)))


def test_both_languages_describe_the_same_tables() -> None:
    english, translated = (readme.table_columns(path) for path in (readme.TABLES, korean(readme.TABLES)))
    assert len(english) > 20
    assert translated == english


@both_languages
def test_every_table_of_a_stage_is_described(translated, monkeypatch: pytest.MonkeyPatch) -> None:
    described = readme.table_columns(translated(readme.TABLES))
    for script in NUMBERED:
        for output in declared_files(script, monkeypatch)[2]:
            assert not output.endswith(".csv") or readme.documented(output, described), output


def declared_files(script: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], set[str], set[str]]:
    """What the declaration of a script says, with the options of the embedded preset: inputs, those of them
    that may be missing, and outputs; nothing for a script without a declaration.
    """
    module = load_script(script, monkeypatch)
    spec = getattr(module, "SPEC", None)
    if spec is None:
        return set(), set(), set()
    options = resolve_options(module.Options, script.stem, []).options
    inputs = spec.inputs_for(options)
    outputs = {*spec.outputs_for(options), *spec.item_folders}
    return {item.path for item in inputs}, {item.path for item in inputs if item.optional}, outputs


@both_languages
def test_the_way_of_the_data_is_that_of_the_declarations(translated, monkeypatch) -> None:
    ways = readme.ways_of_the_data(translated(readme.WAY))
    assert list(ways) == [script.stem for script in NUMBERED]
    written = set().union(*(way.writes for way in ways.values()))
    for script in NUMBERED:
        way = ways[script.stem]
        inputs, optional, outputs = declared_files(script, monkeypatch)
        if outputs:
            assert (way.reads, way.optional, way.writes) == (inputs, optional, outputs), script.stem
        else:  # it has no declaration, so its row is held against those of the others
            assert way.reads <= written, way.reads - written


@both_languages
def test_the_drawing_follows_from_the_table(translated) -> None:
    page = translated(readme.WAY)
    ways = readme.ways_of_the_data(page)
    drawn = readme.drawn_readers(page)
    for maker, made in ways.items():
        readers = {name[:2] for name, way in ways.items() if way.reads & made.writes}
        assert drawn.get(maker[:2], set()) == readers, maker


@each_readme
def test_links_and_named_files_exist(path: Path) -> None:
    for target, anchor in readme.link_targets(path):
        linked = path.parent / target if target else path
        assert linked.exists(), target
        assert not anchor or anchor in readme.anchors(linked), f"{target}#{anchor}"
    text = path.read_text(encoding="utf-8")
    rooms = r"scripts|tests|data/embedded|data/portraits|stylegan|stylegan_modified|cnn|segmentation|\.ci"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", text):
        made_by_a_run = name.split("/")[0] in ("stylegan", "stylegan_modified", "cnn", "segmentation")
        assert (made_by_a_run and not name.endswith(".py")) or (REPOSITORY / name).exists(), name


@both_languages
def test_every_script_is_named(translated) -> None:
    text = translated(REPOSITORY / "README.md").read_text(encoding="utf-8")
    for script in (path for folder in SCRIPT_FOLDERS for path in (REPOSITORY / folder).glob("*.py")):
        if re.search(r"^    run_(stage|item_stage|tool)\(", script.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"\b{script.name}\b", text), script.name


@pytest.mark.parametrize(
    ("name", "heading"),
    [("README.md", "## When something is wrong"), ("README.ko.md", "## 문제 해결")],
    ids=["english", "korean"],
)
def test_every_symptom_of_the_common_failures_is_there(name: str, heading: str) -> None:
    section = (REPOSITORY / name).read_text(encoding="utf-8").split(heading)[1].split("\n## ")[0]
    assert len(re.findall(r"^\| (?!---|symptom|증상)", section, re.MULTILINE)) >= 12


def test_the_command_that_needs_no_run_does_what_it_says(tmp_path: Path) -> None:
    script, arguments = script_call(
        next(words for words in COMMANDS if "scripts/bundle/draw_portraits.py" in words)
    )
    command = [sys.executable, str(script), *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "portraits.png").exists()
