"""The label table that label_images writes, its lock, and its command line."""

import json
import re
import runpy
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from scripts import label_images
from scripts.pages.labelling.candidates import load_candidates, load_scores
from scripts.pages.labelling.lock import page_lock
from scripts.pages.labelling.run import chosen_order
from scripts.pages.labelling.session import LabelSession
from scripts.pipeline import UserError
from scripts.pipeline.layers import REPOSITORY
from scripts.stages.filtering import hand_labels
from scripts.stages.workspace import CANDIDATES, LABELS, LABELS_RECORD
from tests.scripts.pages.label_workspace import (
    COUNT,
    FIRST_SEED,
    WEIGHTS_ID,
    Sessions,
    label_all,
    make_tool,
    make_workspace,
    write_labels,
    write_scores,
)

SCRIPT = REPOSITORY / "scripts" / "label_images.py"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def start(workspace: Path) -> Iterator[Callable[..., LabelSession]]:
    with Sessions(workspace) as sessions:
        yield sessions.start


@pytest.fixture
def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the script in this process: exit code and everything it wrote."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        captured = capsys.readouterr()
        return exit_info.value.code or 0, captured.out + captured.err

    return run


def test_export_is_the_documents_table_and_the_filter_takes_it(workspace: Path, start) -> None:
    session = start()
    label_all(session, 20)
    session.label([], skip=[20])
    session.label([[21, 1, 1]])
    result = session.export()
    assert "02_filter_candidates.py" in result["next"]
    table = pd.read_csv(workspace / LABELS)
    assert list(table) == ["img_name", "quality", "gender"]
    assert table["img_name"].tolist() == [f"{n:06d}.jpg" for n in (*range(20), 21)]
    record = json.loads((workspace / LABELS_RECORD).read_text())
    assert (record["weights_id"], record["seed"], record["count"]) == (WEIGHTS_ID, FIRST_SEED, 21)
    candidates = pd.read_csv(workspace / CANDIDATES)
    labels = hand_labels.load_labels(make_tool(workspace), candidates, fold_count=5)
    assert labels["gender"].tolist() == [*(n % 2 for n in range(20)), 1]
    (workspace / LABELS_RECORD).write_text(json.dumps(record | {"skipped": []}))
    with pytest.raises(UserError, match=r"skips 1 of the first 22 .*\(img_no 20\)"):
        hand_labels.load_labels(make_tool(workspace), candidates, fold_count=5)


def test_pictures_out_of_turn_are_no_gap(workspace: Path, start) -> None:
    label_all(start(), 15)
    write_scores(workspace, [0.5 if n > 25 else 1.0 for n in range(COUNT)], [1.0] * COUNT, labelled=15)
    session = start(order="uncertain", count=18)
    assert session.queue() == [26, 27, 28]
    session.label([[n, 1, 1] for n in session.queue()])
    session.export()
    candidates = pd.read_csv(workspace / CANDIDATES)
    labels = hand_labels.load_labels(make_tool(workspace), candidates, fold_count=5)
    assert labels["img_no"].tolist() == [*range(15), 26, 27, 28]


def test_too_few_of_a_class_are_told(start) -> None:
    session = start()
    session.label([[n, 1, 1] for n in range(10)])
    assert "0 with 'man', 0 with 'bad'" in session.export()["message"]


@pytest.mark.parametrize("made_by", ["machine (network.safetensors)", "oracle (machine-made)"])
def test_machine_labels_are_kept_aside(workspace: Path, start, made_by: str) -> None:
    write_labels(workspace, [0] * 3, [1] * 3, made_by=made_by)
    before = (workspace / LABELS).read_bytes()
    session = start()
    session.label([[0, 1, 1]])
    assert "is kept as" in session.export()["message"]
    kept = list(workspace.glob("cnn/labelling/kept_*/*.csv"))
    assert [path.read_bytes() for path in kept] == [before]
    assert "is kept as" not in session.export()["message"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"seed": 77}, "--seed 77 --force"),
        ({"weights_id": "f" * 16}, "weights ffffffffffffffff from seed 5"),
        (None, "nobody knows for which pictures"),
    ],
)
def test_hand_labels_of_other_pictures_stay(
    workspace: Path, start, record: dict | None, message: str
) -> None:
    write_labels(workspace, [0] * 3, [1] * 3, **(record or {}))
    if record is None:
        (workspace / LABELS_RECORD).unlink()
    with pytest.raises(UserError, match=message) as error:
        start()
    assert "--replace" in str(error.value)
    session = start(replace=True)
    assert session.status()["done"] == 0
    session.label([[0, 1, 1]])
    assert "is kept as" in session.export()["message"]
    assert len(list(workspace.glob("cnn/labelling/kept_*/*.csv"))) == 1


def test_a_table_made_or_edited_by_hand_counts(workspace: Path, start) -> None:
    write_labels(workspace, [0] * 3, [1] * 3)
    session = start()
    assert session.status()["men"] == 3
    session.label([[3, 1, 1]])
    session.export()
    edited = (workspace / LABELS).read_text().replace("000001.jpg,1,0", "000001.jpg,0,0")
    (workspace / LABELS).write_text(edited)
    session = start()
    assert session.items([1])[0]["label"] == [0, 0]
    assert session.status()["bad"] == 1


def test_what_is_answered_after_a_table_was_taken_over_holds(workspace: Path, start) -> None:
    write_labels(workspace, [0, 1] * 3, [1] * 6)
    session = start()
    session.label([[3, 0, 0]])
    session = start()
    assert session.items([3])[0]["label"] == [0, 0]
    assert [item["was"] for item in session.undo()["items"]] == [[0, 0]]
    assert start().items([3])[0]["label"] == [1, 1]
    write_labels(workspace, [0, 1, 0, 0, 0, 0], [1] * 6)  # edited: another table, which counts again
    session = start()
    assert session.items([3])[0]["label"] == [0, 1]
    session.label([[3, 0, 0]])
    session.export()
    assert start().items([3])[0]["label"] == [0, 0]
    write_labels(workspace, [0, 1, 0, 0, 0, 0], [1] * 6)  # a backup, put back after the export
    assert start().items([3])[0]["label"] == [0, 1]


def test_an_undone_label_does_not_come_back_from_the_table(start) -> None:
    session = start()
    label_all(session, 3)
    session.export()
    session.undo()
    assert start().queue()[0] == 2


def test_a_second_page_is_refused_and_a_dead_one_forgotten(workspace: Path, run_main) -> None:
    code = (
        "import sys, time; from pathlib import Path; from scripts.pages.labelling.lock import page_lock\n"
        "with page_lock(Path(sys.argv[1])) as publish:\n"
        "    publish('http://127.0.0.1:4711/'); print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(workspace)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "ready\n"
        exit_code, output = run_main("--workspace", workspace, "--no-browser")
        assert exit_code == 5
        assert str(holder.pid) in output
        assert "http://127.0.0.1:4711/" in output
        holder.kill()
    with page_lock(workspace):
        pass


def test_the_whole_script_until_its_page_is_closed(
    workspace: Path, run_main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(address: str) -> None:
        page = urllib.request.urlopen(address).read().decode()
        token = re.search(r'name="page-token" content="([^"]+)"', page).group(1)
        for path, message in (("label", {"labels": [[0, 1, 1]]}), ("close", {})):
            body, headers = json.dumps(message).encode(), {"X-Page-Token": token}
            urllib.request.urlopen(urllib.request.Request(f"{address}api/{path}", body, headers)).read()

    class Browser:
        def open(self, address: str) -> None:
            threading.Thread(target=answer, args=(address,)).start()

    monkeypatch.setattr("webbrowser.get", Browser)
    code, output = run_main("--workspace", workspace, "--port", 0)
    assert code == 0, output
    assert "Label page: http://127.0.0.1:" in output
    assert "1 answers in this session" in output
    assert "--export" in output
    assert run_main("--workspace", workspace, "--export")[0] == 0


def test_no_candidates_exit_3_with_the_command(tmp_path: Path, run_main) -> None:
    code, output = run_main("--workspace", tmp_path, "--no-browser")
    assert code == 3
    assert "01_generate_candidates.py --workspace" in output


def test_mixed_candidates_are_refused(workspace: Path, run_main) -> None:
    table = pd.read_csv(workspace / CANDIDATES)
    table.loc[3, "weights_id"] = "f" * 16
    table.to_csv(workspace / CANDIDATES, index=False)
    code, output = run_main("--workspace", workspace, "--no-browser")
    assert code == 5
    assert "mixes pictures" in output


def test_a_vanished_picture_is_named(workspace: Path, run_main) -> None:
    (workspace / "stylegan/synthesize_results/000007.jpg").unlink()
    code, output = run_main("--workspace", workspace, "--no-browser")
    assert code == 5
    assert "000007.jpg" in output
    assert f"--seed {FIRST_SEED} --force" in output


@pytest.mark.parametrize("option", [("--check",), ("--order", "uncertain")])
def test_what_needs_the_networks_says_so(workspace: Path, run_main, option: tuple[str, ...]) -> None:
    code, output = run_main("--workspace", workspace, "--no-browser", *option)
    assert code == 5
    assert "02_filter_candidates.py --workspace" in output


def test_the_uncertain_come_first_once_the_networks_know_this_person(workspace: Path, start) -> None:
    tool, options = make_tool(workspace), label_images.Options()

    def order() -> str:
        return chosen_order(options, tool, load_scores(tool, load_candidates(tool)))

    write_labels(workspace, [0] * 3, [1] * 3, made_by="machine (network.safetensors)")
    write_scores(workspace, [0.5] * COUNT, [0.5] * COUNT, labelled=3)
    assert order() == "number"
    session = start()
    label_all(session, 3)
    session.export()
    assert order() == "uncertain"


def test_export_without_a_page_and_a_new_start(workspace: Path, start, run_main) -> None:
    code, output = run_main("--workspace", workspace, "--export")
    assert code == 5
    assert "nothing is labelled yet" in output
    label_all(start(), 20)
    code, output = run_main("--workspace", workspace, "--export")
    assert code == 0, output
    assert "20 labels are in cnn/synthesize_results_quality_and_gender.csv" in output
    code, output = run_main("--workspace", workspace, "--export", "--restart")
    assert code == 5
    assert "nothing is labelled yet" in output
    kept = {path.suffix for path in workspace.glob("cnn/labelling/kept_*/*")}
    assert kept == {".csv", ".json", ".jsonl"}
    assert start().status()["done"] == 0


@pytest.mark.parametrize("arguments", [("--count", 0), ("--page-size", 0), ("--disagreement", 1)])
def test_impossible_options_exit_2(workspace: Path, run_main, arguments: tuple) -> None:
    assert run_main("--workspace", workspace, *arguments)[0] == 2
