"""run_all.sh: its options, its rows, several processes, and how it ends."""

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

from scripts.pipeline.places import REPOSITORY
from scripts.pipeline.row import LIBRARIES


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
