"""A local page that answers while a test looks at it, and just enough of a browser to look."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urljoin

import pytest

from scripts.pages.server import PageServer

ServerT = TypeVar("ServerT", bound=PageServer)


@contextmanager
def answering(server: ServerT) -> Iterator[ServerT]:
    """The server, which answers in a thread until the end of the block."""
    with server:
        thread = threading.Thread(target=server.serve_until, args=(lambda: None,))
        thread.start()
        try:
            yield server
        finally:
            server.closing = True
            thread.join()


class Tab:
    """A kept-open connection and the token of the page. Used as a context manager."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.token = self.load_page()

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def load_page(self) -> str:
        status, body = self.get("/")
        assert status == 200
        return re.search(r'name="page-token" content="([^"]+)"', body.decode()).group(1)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        response = self.ask("GET", path, None, **headers)
        return response.status, response.body

    def post(self, path: str, message: object, **headers: str) -> tuple[int, dict]:
        body = message if isinstance(message, bytes) else json.dumps(message)
        response = self.ask("POST", path, body, **{"X-Page-Token": self.token, **headers})
        return response.status, json.loads(response.body)

    def ask(
        self, method: str, path: str, body: bytes | str | None, **headers: str
    ) -> http.client.HTTPResponse:
        """The response, with what was read of it as ``body``."""
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        response.body = response.read()
        return response

    def check_files(self) -> None:
        """Everything that the page is made of is there and comes from here."""
        page = self.get("/")[1].decode()
        assert "//" not in page
        for name in re.findall(r'(?:href|src)="(/[^"]+)"', page):
            status, content = self.get(name)
            assert status == 200
            for imported in re.findall(r'from "([\w./]+)"', content.decode()):
                assert self.get(urljoin(name, imported))[0] == 200


def use_tab(monkeypatch: pytest.MonkeyPatch, act: Callable[[Tab], None]) -> None:
    """Let the browser that a script opens do this, and then close the page."""

    def visit(address: str) -> None:
        with Tab(int(address.rstrip("/").rpartition(":")[2])) as tab:
            act(tab)
            assert tab.post("/api/close", {})[0] == 200

    class Browser:
        def open(self, address: str) -> None:
            threading.Thread(target=visit, args=(address,)).start()

    monkeypatch.setattr("webbrowser.get", Browser)
