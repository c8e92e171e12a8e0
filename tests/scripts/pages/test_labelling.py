"""Labelling by hand: the journal of answers, what is asked next, and the table that is exported."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.pages.labelling.answers import Answer, AnswerJournal, journal_path
from scripts.pages.labelling.candidates import judged, load_candidates
from scripts.pages.labelling.session import AnswerError, LabelSession
from scripts.pipeline import UserError
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
    write_candidates,
    write_labels,
    write_scores,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def start(workspace: Path) -> Iterator[Callable[..., LabelSession]]:
    with Sessions(workspace) as sessions:
        yield sessions.start


def record_of(workspace: Path) -> dict:
    return json.loads((workspace / LABELS_RECORD).read_text())


def kept_tables(workspace: Path) -> list[bytes]:
    return [path.read_bytes() for path in workspace.glob("cnn/labelling/kept_*/*.csv")]


def test_journal_replays_answers_skips_and_undo(workspace: Path) -> None:
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        journal.record([(5, 1, 1)])
        journal.record([(6, 0, 1), (7, 0, 0)], skip=[8])
        journal.record([(5, 0, 1)])
        assert journal.undo() == {5: Answer(0, 1)}
        expected = dict(journal.answers)
    assert expected == {5: Answer(1, 1), 6: Answer(0, 1), 7: Answer(0, 0), 8: Answer(None, None)}
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        assert journal.answers == expected
        assert set(journal.undo()) == {6, 7, 8}  # the whole page, after a restart
        assert journal.answers == {5: Answer(1, 1)}
        journal.undo()
        assert journal.undo() == {}


def test_half_a_line_is_cut_off_and_the_next_answer_is_whole(workspace: Path) -> None:
    path = journal_path(workspace, WEIGHTS_ID)
    for end in (-20, 10):  # of the last answer, of the header
        with AnswerJournal(workspace, WEIGHTS_ID) as journal:
            journal.record([(5, 1, 1)])
            journal.record([(6, 1, 1)])
        path.write_bytes(path.read_bytes()[:end])
        with AnswerJournal(workspace, WEIGHTS_ID) as journal:
            assert set(journal.answers) == ({5} if end < 0 else set())
            journal.record([(7, 1, 1)])
        with AnswerJournal(workspace, WEIGHTS_ID) as journal:
            assert 7 in journal.answers and 6 not in journal.answers


def test_damage_in_the_middle_is_refused_with_its_line(workspace: Path) -> None:
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        journal.record([(5, 1, 1)])
        journal.record([(5, 1, 1)])
    path = journal_path(workspace, WEIGHTS_ID)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0\0\n" + lines[2])
    with pytest.raises(UserError, match="line 2 of"):
        AnswerJournal(workspace, WEIGHTS_ID).__enter__()
    path.write_bytes(lines[0].replace(WEIGHTS_ID.encode(), b"f" * 16) + lines[1])
    with pytest.raises(UserError, match="line 1 of"):
        AnswerJournal(workspace, WEIGHTS_ID).__enter__()


def test_an_answer_that_cannot_be_written_does_not_count(start, monkeypatch: pytest.MonkeyPatch) -> None:
    session = start()
    session.label([[0, 1, 1]])
    before = session.journal.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            session.label([[1, 1, 1]])
    assert session.journal.path.read_bytes() == before
    assert session.queue()[0] == 1
    session.label([[1, 0, 1]])
    assert start().status()["men"] == 1


def test_by_number_up_to_the_count_and_on_after_a_restart(start) -> None:
    session = start(count=10)
    assert session.queue() == list(range(10))
    label_all(session, 4)
    session.label([], skip=[4])
    session = start(count=10)
    assert session.queue() == [5, 6, 7, 8, 9]
    assert session.queue(skipped=True) == [4]
    assert session.status()["done"] == 5
    session.undo()
    assert session.queue()[0] == 4


def test_the_most_uncertain_of_both_properties_come_first(workspace: Path, start) -> None:
    women, good = [0.99] * COUNT, [0.99] * COUNT
    women[20], good[21] = 0.5, 0.7
    women[22], good[22] = 0.6, 0.6
    write_scores(workspace, women, good, labelled=0)
    assert start(count=3).queue() == [0, 1, 2]  # the networks do not know this person yet
    session = start(order="uncertain", count=3)
    assert session.queue() == [22, 20, 21]
    assert session.items([22])[0]["score"] == [0.6, 0.6]
    session.label([[22, 1, 1]])
    assert start(order="number", count=2).queue() == [0, 1]
    start().export()
    assert record_of(workspace)["most_uncertain"] == [22]
    assert start(count=3).queue() == [20, 21]  # by themselves, once the table is this person's


def test_scores_of_other_candidates_do_not_count(workspace: Path) -> None:
    write_scores(workspace, [0.5] * COUNT, [0.5] * COUNT, labelled=0)
    candidates = load_candidates(make_tool(workspace))
    assert len(judged(candidates)) == COUNT
    write_candidates(workspace, candidates["img_path"].tolist(), first_seed=100)
    assert len(judged(load_candidates(make_tool(workspace)))) == 0


@pytest.mark.parametrize("options", [{"check": True}, {"order": "uncertain"}])
def test_what_needs_the_networks_says_so(start, options: dict) -> None:
    with pytest.raises(UserError, match=r"02_filter_candidates\.py --workspace"):
        start(**options)


def test_a_second_pass_shows_what_the_networks_contradict_worst_first(workspace: Path, start) -> None:
    label_all(start(), 20)  # n % 2 is the gender, n % 3 the quality
    women = [0.9 if n % 2 else 0.1 for n in range(COUNT)]
    good = [0.9 if n % 3 else 0.1 for n in range(COUNT)]
    women[4], good[7] = 0.7, 0.05
    write_scores(workspace, women, good, labelled=20)
    session = start(check=True)
    assert session.queue() == [7, 4]
    session.label([[7, 1, 0]])
    assert start(check=True).queue() == [4]
    session = start(check=True)
    session.label([[4, 0, 1]])
    assert session.status()["done"] == session.status()["total"]
    session.undo()
    assert session.queue() == [4]
    assert session.items([4])[0]["label"] == [0, 1]
    for _ in range(18):  # back to before picture 3 was labelled
        session.undo()
    assert session.queue() == [4]
    assert session.items([4])[0]["label"] is None


def test_machine_labels_are_adopted_by_a_second_pass_only(workspace: Path, start) -> None:
    write_labels(workspace, [0, 1] * 10, [0, 1] * 10, made_by="machine (network.safetensors)")
    write_scores(workspace, [0.1] * COUNT, [0.1] * COUNT, labelled=20)
    assert start().status()["done"] == 0
    session = start(check=True)
    assert session.queue() == list(range(1, 20, 2))
    assert not session.journal.answers
    session.label([[1, 0, 0]])
    session.export()
    assert record_of(workspace)["made_by"].startswith("hand")
    assert "19 labels taken over from: machine" in record_of(workspace)["made_by"]
    made_by = pd.read_csv(workspace / LABELS)["made_by"].tolist()
    assert made_by == ["machine", "hand", *["machine"] * 18]
    assert start().status()["done"] == 1  # at the others a person has not looked


def test_first_labels_of_networks_are_corrected_from_the_unsure_ones_on(workspace: Path, start) -> None:
    women, good = np.full(20, 0.02), np.full(20, 0.97)
    women[[3, 11]], good[7], good[18:] = (0.45, 0.6), 0.55, 0.03
    genders, qualities = (women > 0.5).astype(int).tolist(), [1] * 18 + [0, 0]
    write_labels(workspace, genders, qualities, made_by="machine (gender_head.safetensors)")
    table = pd.read_csv(workspace / LABELS).assign(made_by="machine")
    table.assign(quality_probability=good, gender_probability=women).to_csv(workspace / LABELS, index=False)
    session = start(count=20)
    assert session.order == "uncertain" and session.queue()[:3] == [3, 11, 7] and len(session.queue()) == 20
    assert session.items([11])[0]["label"] == [1, 1]  # what the network said; Enter keeps it
    session.label([[3, 1, 1]])
    session.label([[7, 0, 0]])
    session.undo()
    session.export()
    exported = pd.read_csv(workspace / LABELS)
    assert len(exported) == 20 and exported["gender"][3] == 1 and exported["gender"][11] == 1
    assert (exported["made_by"] == "hand").tolist() == [n == 3 for n in range(20)]
    candidates = pd.read_csv(workspace / CANDIDATES)
    assert len(hand_labels.load_labels(make_tool(workspace), candidates, fold_count=2)) == 20
    again = start(count=20)
    assert again.queue()[:2] == [11, 7] and again.status()["done"] == 1


BAD_ANSWERS = [
    [[0, 2, 1]],
    [[0, 1, -1]],
    [[0, 1, True]],
    [[0, 1]],
    [[COUNT, 1, 1]],
    ["000"],
    [[[], 1, 1]],
    [],
    5,
]


@pytest.mark.parametrize("labels", BAD_ANSWERS)
def test_nonsense_is_refused(start, labels: list) -> None:
    session = start()
    with pytest.raises(AnswerError):
        session.label(labels)
    assert not session.journal.answers


def test_answers_are_refused_once_the_candidates_changed(workspace: Path, start) -> None:
    session = start()
    session.label([[0, 1, 1]])
    write_candidates(workspace, session.candidates["img_path"].tolist(), first_seed=1000)
    for act in (lambda: session.label([[1, 1, 1]]), session.undo, session.export):
        with pytest.raises(AnswerError, match="generated anew"):
            act()


def test_answers_belong_to_seeds(workspace: Path, start) -> None:
    """Candidates from a later first seed: the same people have other numbers and keep their labels."""
    session = start()
    label_all(session, 10)
    paths = session.candidates["img_path"].tolist()
    write_candidates(workspace, paths, FIRST_SEED + 4)
    session = start(count=12)
    assert session.queue() == list(range(6, 12))
    assert session.items([0])[0]["label"] == [0, 1]  # number 4 before


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
    record = record_of(workspace)
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
    assert kept_tables(workspace) == [before]
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
    assert len(kept_tables(workspace)) == 1


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
    start().label([[3, 0, 0]])
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
