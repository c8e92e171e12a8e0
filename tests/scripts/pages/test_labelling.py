"""Labelling by hand: the journal of answers, and what is asked next."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.pages.labelling.answers import Answer, AnswerJournal, journal_path
from scripts.pages.labelling.candidates import load_candidates, load_scores
from scripts.pages.labelling.session import AnswerError, LabelSession
from scripts.pipeline import UserError
from scripts.stages.workspace import LABELS_RECORD
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
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        journal.record([(5, 1, 1)])
        journal.record([(6, 1, 1)])
    path = journal_path(workspace, WEIGHTS_ID)
    path.write_bytes(path.read_bytes()[:-20])
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        assert set(journal.answers) == {5}
        journal.record([(7, 1, 1)])
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        assert set(journal.answers) == {5, 7}


def test_a_changed_answer_is_refused(workspace: Path) -> None:
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        journal.record([(5, 1, 1)])
        journal.record([(6, 1, 1)])
    path = journal_path(workspace, WEIGHTS_ID)
    path.write_bytes(path.read_bytes().replace(b"[5,1,1]", b"[5,0,1]"))
    with pytest.raises(UserError, match="line 2 of .*checksum"):
        AnswerJournal(workspace, WEIGHTS_ID).__enter__()


def test_damage_in_the_middle_is_refused_with_its_line(workspace: Path) -> None:
    with AnswerJournal(workspace, WEIGHTS_ID) as journal:
        label = [(5, 1, 1)]
        journal.record(label)
        journal.record(label)
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
    session = start(order="uncertain", count=3)
    assert session.queue() == [22, 20, 21]
    session.label([[22, 1, 1]])
    assert start(order="number", count=2).queue() == [0, 1]
    start().export()
    assert json.loads((workspace / LABELS_RECORD).read_text())["most_uncertain"] == [22]


def test_scores_of_other_candidates_do_not_count(workspace: Path) -> None:
    write_scores(workspace, [0.5] * COUNT, [0.5] * COUNT, labelled=0)
    tool = make_tool(workspace)
    assert load_scores(tool, load_candidates(tool)) is not None
    paths = list(load_candidates(tool).paths.values())
    write_candidates(workspace, paths, first_seed=100)
    assert load_scores(tool, load_candidates(tool)) is None


def test_a_second_pass_shows_what_the_networks_contradict_worst_first(workspace: Path, start) -> None:
    label_all(start(), 20)  # n % 2 is the gender, n % 3 the quality
    women = [0.9 if n % 2 else 0.1 for n in range(COUNT)]
    good = [0.9 if n % 3 else 0.1 for n in range(COUNT)]
    women[4], good[7] = 0.7, 0.05
    write_scores(workspace, women, good, labelled=20)
    session = start(mode="check")
    assert session.queue() == [7, 4]
    session.label([[7, 1, 0]])
    assert start(mode="check").queue() == [4]
    session = start(mode="check")
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
    session = start(mode="check")
    assert session.queue() == list(range(1, 20, 2))
    assert not session.journal.answers
    session.label([[1, 0, 0]])
    session.export()
    record = json.loads((workspace / LABELS_RECORD).read_text())
    assert record["made_by"].startswith("hand")
    assert "19 labels taken over from: machine" in record["made_by"]
    assert start().status()["done"] == 20


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
    write_candidates(workspace, list(session.candidates.paths.values()), first_seed=1000)
    for act in (lambda: session.label([[1, 1, 1]]), session.undo, session.export):
        with pytest.raises(AnswerError, match="generated anew"):
            act()


def test_answers_belong_to_seeds(workspace: Path, start) -> None:
    """Candidates from a later first seed: the same people have other numbers and keep their labels."""
    label_all(start(), 10)
    paths = list(load_candidates(make_tool(workspace)).paths.values())
    write_candidates(workspace, paths, FIRST_SEED + 4)
    session = start(count=12)
    assert session.queue() == list(range(6, 12))
    assert session.items([0])[0]["label"] == [0, 1]  # number 4 before
    write_candidates(workspace, paths, FIRST_SEED, weights_id="f" * 16)
    assert start(count=12).queue() == list(range(12))
