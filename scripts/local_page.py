"""Local pages: static files and JSON messages over HTTP, for one person on this machine only.

A page is a folder with an ``index.html``; a script adds what it answers with a handler of its own.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from scripts.pipeline import UserError, files

HOST = "127.0.0.1"
HOST_NAMES = {"127.0.0.1", "localhost"}
STATIC_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
POLL_S = 0.3
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Pictures keep their names when they are generated anew: nothing may come from an earlier visit.
    "Cache-Control": "no-store",
}

Action = Callable[[dict[str, Any]], dict[str, Any]]


class PageServer(ThreadingHTTPServer):
    """Serves one page on 127.0.0.1.

    A page shows a token with its messages, so that no other site can send any.

    Attributes:
        only_newest_page: only the page that was opened last may send messages: each gets a token of its own
            and the one before loses its right, so that two tabs cannot mix what they say. False: all may.

    Args:
        handler: answers the requests.
        port: 0 takes any free one.

    Raises:
        UserError: the port is taken.
    """

    daemon_threads = True
    block_on_close = False
    only_newest_page = True

    def __init__(self, handler: type[PageHandler], port: int) -> None:
        try:
            super().__init__((HOST, port), handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error}), so the page cannot be opened there. Give "
                "another --port, or --port 0 for any that is free."
            ) from error
        self.token = new_token()
        self.closing = False
        self.timeout = POLL_S

    @property
    def address(self) -> str:
        """What to type into the browser."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def serve_until(self, check_stop: Callable[[], None]) -> None:
        """Answer requests until the page is closed by its button; ``check_stop`` raises to end earlier."""
        while not self.closing:
            check_stop()
            self.handle_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that drops its connection is no error; anything else is a bug and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def new_token() -> str:
    """A random text that a page shows with every message."""
    return secrets.token_urlsafe(16)


def open_browser(address: str) -> None:
    """Open the page in a browser with windows; one for the console would take over this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return  # there is none; the address has been printed
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)


class PageHandler(BaseHTTPRequestHandler):
    """One connection of the browser.

    Attributes:
        page: folder of the static files; ``{{token}}`` in ``index.html`` becomes the token.
        token_header: header in which messages carry the token.
        largest_message_bytes: longer messages are refused.
        refusals: exceptions of an action that are answered with their text.
        stale_page: answer to a page that has lost its right.
        write_failure: answer if an action cannot write its files; ``{error}`` is the reason.
        close_path: the message that ends the server.
    """

    server: PageServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    page: Path
    token_header = "X-Page-Token"
    largest_message_bytes = 1 << 16
    refusals: tuple[type[Exception], ...] = (UserError,)
    stale_page = "This page was opened again elsewhere, or its script was restarted. Reload to go on here."
    write_failure = "It could not be written ({error}). Free some space or mend the folder, then try again."
    close_path = "/api/close"

    def get(self, url: SplitResult) -> None:
        """Answer a GET request for anything but the page and its files."""
        self.fail(HTTPStatus.NOT_FOUND, f"there is no {url.path}")

    def actions(self) -> Mapping[str, Action]:
        """Path of a POST request -> what it does with the message; the result is sent as JSON."""
        return {}

    def do_GET(self) -> None:
        """The page, its files, and whatever the script adds."""
        if not self._is_local():
            return
        url = urlsplit(self.path)
        if url.path == "/":
            self._send_page()
        elif url.path.startswith("/page/"):
            self._send_static(url.path.removeprefix("/page/"))
        else:
            self.get(url)

    def do_POST(self) -> None:
        """Messages of the page."""
        if not self._is_local():
            return
        message = self._read_message()
        if message is None:
            return
        actions, path = self.actions(), urlsplit(self.path).path
        if path not in actions:
            self.fail(HTTPStatus.NOT_FOUND, f"there is no {path}")
            return
        self.answer(lambda: actions[path](message))
        if path == self.close_path:
            self.server.closing = True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed: the terminal is for messages that matter."""

    def answer(self, action: Callable[[], dict[str, Any]]) -> None:
        """Send what an action returns, or why it was refused, as one readable sentence."""
        try:
            self.send_json(HTTPStatus.OK, action())
        except self.refusals as error:
            self.fail(HTTPStatus.CONFLICT, str(error))
        except ConnectionError:
            raise
        except OSError as error:
            self.fail(HTTPStatus.INSUFFICIENT_STORAGE, self.write_failure.format(error=error))

    def fail(self, status: HTTPStatus, message: str) -> None:
        """Send what is wrong."""
        self.send_json(status, {"error": message})

    def send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        """Send a JSON object."""
        self.send(status, json.dumps(value).encode("utf-8"), "application/json")

    def send(self, status: HTTPStatus, content: bytes, content_type: str) -> None:
        """Send anything, with the headers that keep it on this page."""
        self.send_response(status)
        text = content_type.startswith(("text/", "application/json"))
        self.send_header("Content-Type", content_type + ("; charset=utf-8" if text else ""))
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in SECURITY_HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def finish(self) -> None:
        """Flush and close; a browser that went away meanwhile is no error."""
        with contextlib.suppress(ConnectionError, socket.timeout):
            super().finish()

    def _is_local(self) -> bool:
        """Refuse requests under another host name: a foreign site may have pointed its own name here."""
        host = self.headers.get("Host", "")
        name = host.partition(":")[0]
        origin = self.headers.get("Origin")
        if name in HOST_NAMES and origin in (None, f"http://{host}"):
            return True
        self.close_connection = True
        self.fail(HTTPStatus.FORBIDDEN, f"this page answers as {' or '.join(sorted(HOST_NAMES))} only")
        return False

    def _read_message(self) -> dict[str, Any] | None:
        """The JSON object of a POST with the page's token; else None, answered."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= self.largest_message_bytes:
            self.close_connection = True
            self.fail(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the message has no length, or is too long")
            return None
        token = self.headers.get(self.token_header, "")
        body = self.rfile.read(length)
        if not secrets.compare_digest(token.encode("utf-8"), self.server.token.encode("utf-8")):
            self.fail(HTTPStatus.FORBIDDEN, self.stale_page)
            return None
        try:
            return files.parse_json(body)
        except files.TextFileError:
            self.fail(HTTPStatus.BAD_REQUEST, "the message is no JSON object")
            return None

    def _send_page(self) -> None:
        """The page itself, with its token; only as a document of its own, not inside or from another."""
        if self.headers.get("Sec-Fetch-Dest", "document") != "document":
            self.fail(HTTPStatus.FORBIDDEN, "the page is opened by itself only")
            return
        if self.server.only_newest_page:
            self.server.token = new_token()
        text = (self.page / "index.html").read_text(encoding="utf-8")
        self.send(HTTPStatus.OK, text.replace("{{token}}", self.server.token).encode("utf-8"), "text/html")

    def _send_static(self, name: str) -> None:
        parts = {path.name: path for path in self.page.iterdir() if path.suffix in STATIC_TYPES}
        if name not in parts:
            self.fail(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
            return
        self.send(HTTPStatus.OK, parts[name].read_bytes(), STATIC_TYPES[parts[name].suffix])
