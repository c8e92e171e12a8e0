"""The label page's server: what it serves, whom it refuses, and how failures reach the person."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.pages.labelling.server import LabelServer
from scripts.pipeline import UserError
from tests.scripts.pages.label_workspace import COUNT, FIRST_SEED, Sessions, make_workspace, write_candidates
from tests.scripts.pages.page_serving import Tab, answering


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def server(workspace: Path) -> Iterator[LabelServer]:
    with (
        Sessions(workspace) as sessions,
        answering(LabelServer(sessions.start(count=20), 0)) as server,
    ):
        yield server


@pytest.fixture
def tab(server: LabelServer) -> Iterator[Tab]:
    with Tab(server.port) as tab:
        yield tab


def test_page_files_pictures_and_queue(tab: Tab, workspace: Path) -> None:
    tab.check_files()
    picture = (workspace / "stylegan/synthesize_results/000003.jpg").read_bytes()
    assert tab.get("/images/3") == (200, picture)
    queue = json.loads(tab.get("/api/queue")[1])
    assert [item["img"] for item in queue["items"]] == list(range(20))
    assert (queue["total"], queue["pageSize"], queue["grid"]) == (20, 48, False)


NOT_SERVED = ("/page/../server.py", "/page/%2e%2e/server.py", "/images/../candidates.csv", "/images/99", "/x")


@pytest.mark.parametrize("path", NOT_SERVED)
def test_nothing_else_is_served(tab: Tab, path: str) -> None:
    status, body = tab.get(path)
    assert status == 404
    assert json.loads(body)["error"]


def test_answers_undo_and_export_over_http(tab: Tab, workspace: Path) -> None:
    status, value = tab.post("/api/label", {"labels": [[0, 1, 1]]})
    assert (status, value["done"], value["women"]) == (200, 1, 1)
    assert tab.post("/api/label", {"labels": [[1, 0, 0], [2, 1, 1]], "skip": [3]})[1]["done"] == 4
    lines = next(workspace.glob("cnn/labelling/answers_*.jsonl")).read_text().splitlines()
    assert json.loads(lines[1])["labels"] == [[FIRST_SEED, 1, 1]]
    value = tab.post("/api/undo", {})[1]
    assert [(item["img"], item["was"]) for item in value["items"]] == [(1, [0, 0]), (2, [1, 1]), (3, None)]
    status, value = tab.post("/api/export", {})
    assert (status, value["exported"]) == (200, True)
    table = (workspace / "cnn/synthesize_results_quality_and_gender.csv").read_text()
    assert table == "img_name,quality,gender\n000000.jpg,1,1\n"
    assert tab.post("/api/label", {"labels": [[1, 0, 0]]})[1]["exported"] is False


def test_other_sites_are_refused(tab: Tab) -> None:
    label = {"labels": [[0, 1, 1]]}
    assert tab.get("/", Host="evil.example")[0] == 403  # a name that was pointed at this machine
    assert tab.post("/api/label", label, Host="evil.example:80")[0] == 403
    assert tab.post("/api/label", label, Origin="http://evil.example")[0] == 403
    assert tab.post("/api/label", label, **{"X-Page-Token": "guess"})[0] == 403
    assert tab.post("/api/label", label, **{"X-Page-Token": ""})[0] == 403
    # Neither may another page take the right to answer away by embedding this one.
    assert tab.get("/", **{"Sec-Fetch-Dest": "image"})[0] == 403
    assert json.loads(tab.get("/api/queue")[1])["done"] == 0
    assert tab.post("/api/label", label, Host="localhost:9999")[0] == 200  # through a tunnel


def test_only_the_page_that_was_opened_last_may_answer(tab: Tab) -> None:
    tab.load_page()
    status, value = tab.post("/api/label", {"labels": [[0, 1, 1]]})
    assert status == 403
    assert "Reload" in value["error"]
    tab.token = tab.load_page()
    assert tab.post("/api/label", {"labels": [[0, 1, 1]]})[0] == 200


NO_JSON = (b"{", b"[]")
NO_LABELS = ({"labels": [[COUNT, 1, 1]]}, {"labels": [[0, 3, 1]]}, {}, {"skip": [[1]]})
NONSENSE = [*((message, 400) for message in NO_JSON), *((message, 409) for message in NO_LABELS)]


@pytest.mark.parametrize(("message", "expected"), NONSENSE)
def test_nonsense_is_answered_with_a_sentence(tab: Tab, message: object, expected: int) -> None:
    status, value = tab.post("/api/label", message)
    assert status == expected
    assert value["error"]


def test_a_message_without_end_is_refused(tab: Tab) -> None:
    assert tab.post("/api/label", b"", **{"Content-Length": str(1 << 30)})[0] == 413
    chunked = b"2\r\n{}\r\n0\r\n\r\n"
    assert tab.post("/api/undo", chunked, **{"Transfer-Encoding": "chunked"})[0] == 413


def test_only_this_machine_can_ask_and_only_by_get_and_post(server: LabelServer, tab: Tab) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert tab.ask(method, "/api/label", b"{}", **{"X-Page-Token": tab.token}).status == 405


def test_every_answer_keeps_the_page_to_itself(tab: Tab) -> None:
    for path in ("/", "/page/app.js", "/api/queue", "/images/3", "/none"):
        response = tab.ask("GET", path, None)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert response.headers.get_all("Cache-Control") == ["no-store"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response.headers


def test_failures_are_told_and_change_nothing(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        status, value = tab.post("/api/label", {"labels": [[0, 1, 1]]})
    assert status == 507
    assert "does not count" in value["error"]
    assert json.loads(tab.get("/api/queue")[1])["done"] == 0
    (workspace / "stylegan/synthesize_results/000003.jpg").unlink()
    assert tab.get("/images/3")[0] == 404
    write_candidates(workspace, [f"stylegan/synthesize_results/{n:06d}.jpg" for n in range(COUNT)], 1000)
    status, value = tab.post("/api/label", {"labels": [[0, 1, 1]]})
    assert status == 409
    assert "generated anew" in value["error"]


def test_a_taken_port_is_told(server: LabelServer) -> None:
    for port in (server.port, 99999):
        with pytest.raises(UserError, match="--port 0"):
            LabelServer(server.session, port)
