"""Every numbered script: --help, mistakes on the command line, missing inputs; presets; the shell scripts."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import scripts
from scripts.pipeline import console
from scripts.pipeline.options import PRESETS, REPOSITORY, SCRIPT_FOLDERS, known_tables, read_tables
from scripts.pipeline.row import LIBRARIES
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--count", "3"), "Unknown option: --count"),
        (("--preset",), "--preset: expected one argument"),
        (("--preset", "embeded"), "there are: celeba256 embedded"),
        (("--quality", "good"), "There is no quality good; there are: quick full"),
        (("--from", "x"), "is not a script's number"),
        (("--processes", "0"), "--processes 0 is no number of processes"),
        (("--from", "08", "--to", "03"), "No script of the row main lies between --from 08 and --to 03"),
        (("--from", "20"), "No script of the row main lies between --from 20 and --to 09"),
        (("--row", "all"), "There is no row all; there are: main cvae sketch"),
    ],
)
def test_run_all_explains_mistakes(arguments: tuple[str, ...], message: str) -> None:
    command = ["bash", str(REPOSITORY / "scripts/run_all.sh"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert result.returncode == 2
    assert message in result.stderr
    assert "usage: bash scripts/run_all.sh" in result.stderr


class Row:
    """A repository of its own with run_all.sh and some scripts, in a folder with a space."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scripts = folder, folder / "my repository/scripts"
        (self.scripts / "presets").mkdir(parents=True)
        (self.scripts / "presets/embedded.toml").touch()
        (self.scripts / "pipeline").mkdir()
        for name in ("run_all.sh", "pipeline/row.py"):
            shutil.copy(REPOSITORY / "scripts" / name, self.scripts / name)
        text = f"PYTHON={shlex.quote(sys.executable)}\nensure_venv() {{ :; }}\n"
        (self.scripts / "ensure_venv.sh").write_text(text)

    def add(self, name: str, exit_code: int = 0) -> None:
        """A script that prints its command line."""
        text = f'import json, sys\nprint("{name}:", json.dumps(sys.argv[1:]))\nsys.exit({exit_code})\n'
        (self.scripts / f"{name}.py").write_text(text)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        return self.shell(shlex.join(["bash", "my repository/scripts/run_all.sh", *words]))

    def shell(self, line: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            line, cwd=self.folder, shell=True, capture_output=True, text=True, check=False, timeout=20
        )


@pytest.fixture
def row(tmp_path: Path) -> Row:
    return Row(tmp_path)


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ((), ["--preset", "embedded"]),
        (("--quality", "quick"), ["--preset", "embedded"]),
        (("--quality", "full"), ["--preset", "embedded", "--quality", "full"]),
    ],
)
def test_run_all_passes_the_quality_on_and_repeats_it(
    row: Row, given: tuple[str, ...], passed_on: list[str]
) -> None:
    row.add("00_stop", exit_code=5)
    result = row.run(*given)
    assert result.returncode == 5
    assert f"00_stop: {json.dumps(passed_on)}\n" in result.stdout
    assert f"run_all.sh {' '.join(passed_on)} --from 00\n" in result.stderr.replace("'", "")


def test_run_all_stopped_prints_a_command_that_can_be_given(row: Row) -> None:
    """In folders with spaces, with the end of the row that was asked for."""
    row.add("03_stop", exit_code=130)
    first = row.run("--workspace", "a run", "--to", "05")
    typed = first.stderr.strip().splitlines()[-1]
    again = row.shell(typed)
    assert first.returncode == again.returncode == 130
    assert f"{row.folder}/a run" in first.stdout
    assert shlex.split(typed)[-4:] == ["--from", "03", "--to", "05"]
    assert again.stdout == first.stdout


@pytest.mark.parametrize(("name", "wanted"), [("main", ["00", "09"]), ("cvae", ["20"]), ("sketch", ["30"])])
def test_run_all_runs_one_row(row: Row, name: str, wanted: list[str]) -> None:
    for number in ("00", "09", "20", "30"):
        row.add(f"{number}_one")
    row.add("report")
    result = row.run(*(() if name == "main" else ("--row", name)))
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^(\d\d)_one: ", result.stdout, re.MULTILINE) == wanted
    row.add(f"{wanted[0]}_one", exit_code=5)
    typed = row.run("--row", name).stderr.strip().splitlines()[-1]
    assert ("--row" in typed) == (name != "main")
    assert row.shell(typed).returncode == 5


@pytest.mark.parametrize("report_code", [0, 5])
def test_run_all_ends_with_the_report(row: Row, report_code: int) -> None:
    row.add("00_first")
    row.add("01_second", exit_code=1)
    row.add("report", exit_code=report_code)
    result = row.run("--to", "00", "--workspace", "a run")
    assert result.returncode == 0, result.stderr
    given = ["--preset", "embedded", "--workspace", str(row.folder / "a run")]
    assert f"report: {json.dumps(given)}\n" in result.stdout
    assert re.search(r"\d s  scripts/report\.py", result.stdout)
    assert ("could not be written (exit code 5)" in result.stderr) == (report_code == 5)


def test_run_all_divides_among_processes_what_can_be_divided(row: Row) -> None:
    torchrun = row.folder / "my repository/torch/distributed/run.py"  # found before the real one
    torchrun.parent.mkdir(parents=True)
    torchrun.write_text('import sys\nprint("torchrun:", *sys.argv[1:])\n')
    for folder in (torchrun.parent.parent, torchrun.parent):
        (folder / "__init__.py").touch()
    for name in ("01_items", "02_alone", "05_train", "report"):
        row.add(name)
    for name in ("01_items", "05_train"):
        path = row.scripts / f"{name}.py"
        path.write_text(f"{path.read_text()}SPEC = dict(several_processes=True)\n")
    result = row.run("--processes", "2")
    assert [line for line in result.stdout.splitlines() if "embedded" in line and ": " in line] == [
        "torchrun: --standalone --nproc-per-node 2 scripts/01_items.py --preset embedded",
        '02_alone: ["--preset", "embedded"]',
        "torchrun: --standalone --nproc-per-node 2 scripts/05_train.py --preset embedded",
        'report: ["--preset", "embedded"]',
    ]


def test_run_all_loads_the_libraries_once_and_only_where_a_script_has_something_to_do(row: Row) -> None:
    for library in LIBRARIES:
        module = row.scripts / f"{library.replace('.', '/')}.py"  # found before the real one
        module.parent.mkdir(exist_ok=True)
        (module.parent / "__init__.py").touch()
        module.touch()
    for number in ("00", "01", "02", "08"):
        text = f'import sys\nprint("{number}:", "{LIBRARIES[-1]}" in sys.modules)\n'
        keeps_record = "" if number == "08" else "# run_stage(SPEC)\n"
        (row.scripts / f"{number}_one.py").write_text(keeps_record + text)
    row.add("report")

    def record(number: str, state: str) -> None:
        folder = row.folder / f"my repository/data/runs/embedded/_stages/{number}_one"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_stage.json").write_text(json.dumps({"state": state}))

    def loaded() -> list[str]:
        return re.findall(r"^\d\d: (\w+)", row.run().stdout, re.MULTILINE)

    assert loaded() == ["True", "True", "True", "True"]
    for number in ("00", "01", "02"):
        record(number, "complete")
    assert loaded() == ["False", "False", "False", "False"]
    record("01", "running")
    assert loaded() == ["False", "True", "True", "True"]


def test_run_all_ends_with_its_script_when_it_is_stopped(row: Row) -> None:
    """Ctrl-C reaches both; a signal to run_all.sh alone is passed on. The script has the last word."""
    waits = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
    waits += "try:\n    print('ready', flush=True)\n    time.sleep(20)\n"
    waits += "except KeyboardInterrupt:\n    sys.exit(130)\n"
    (row.scripts / "00_wait.py").write_text(waits)
    row.add("01_never")
    command = ["bash", str(row.scripts / "run_all.sh")]
    for number, group in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
        ) as process:
            while process.stdout.readline().strip() != "ready":
                pass
            os.killpg(process.pid, number) if group else process.send_signal(number)
            out, err = process.communicate(timeout=20)
        assert process.returncode == 130, err
        assert "01_never:" not in out and "00_wait.py ended with exit code 130" in err


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
