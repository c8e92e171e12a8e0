"""The local page: static files, pictures and answers over HTTP, for one person on this machine only."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.labelling.session import AnswerError, LabelSession
from scripts.pipeline import UserError

HOST = "127.0.0.1"
HOST_NAMES = {"127.0.0.1", "localhost"}
PAGE = Path(__file__).with_name("page")
STATIC_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
IMAGE_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
TOKEN_HEADER = "X-Label-Token"
LARGEST_MESSAGE_BYTES = 1 << 16
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


class LabelServer(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1.

    Only the page that was opened last may answer: each page gets a token of its own, and the one before loses
    its right, so that two tabs cannot mix their answers.

    Args:
        session: what to show and where answers go.
        port: 0 takes any free one.
        page_size: pictures of a page in grid mode.
        start_with_grid: the page opens in grid mode.

    Raises:
        UserError: the port is taken.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, session: LabelSession, port: int, page_size: int, start_with_grid: bool) -> None:
        try:
            super().__init__((HOST, port), LabelHandler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error}), so the page cannot be opened there. Give "
                "another --port, or --port 0 for any that is free."
            ) from error
        self.session = session
        self.page_settings = {"pageSize": page_size, "grid": start_with_grid}
        self.token = _new_token()
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


def _new_token() -> str:
    return secrets.token_urlsafe(16)


class LabelHandler(BaseHTTPRequestHandler):
    """One connection of the browser."""

    server: LabelServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def do_GET(self) -> None:
        """The page, its files, pictures, and the queue."""
        if not self._is_local():
            return
        url = urlsplit(self.path)
        if url.path == "/":
            self._send_page()
        elif url.path.startswith("/page/"):
            self._send_static(url.path.removeprefix("/page/"))
        elif url.path.startswith("/images/"):
            self._send_picture(url.path.removeprefix("/images/"))
        elif url.path == "/api/queue":
            self._answer(lambda: self._queue(bool(parse_qs(url.query).get("skipped"))))
        else:
            self._fail(HTTPStatus.NOT_FOUND, f"there is no {url.path}")

    def do_POST(self) -> None:
        """Answers: label, undo, export, close."""
        if not self._is_local():
            return
        message = self._read_message()
        if message is None:
            return
        session = self.server.session
        actions: dict[str, Callable[[], dict[str, Any]]] = {
            "/api/label": lambda: session.label(message.get("labels", []), message.get("skip")),
            "/api/undo": session.undo,
            "/api/export": session.export,
            "/api/close": session.status,
        }
        path = urlsplit(self.path).path
        if path not in actions:
            self._fail(HTTPStatus.NOT_FOUND, f"there is no {path}")
            return
        self._answer(actions[path])
        if path == "/api/close":
            self.server.closing = True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed: the terminal is for messages that matter."""

    def _is_local(self) -> bool:
        """Refuse requests under another host name: a foreign site may have pointed its own name here."""
        host = self.headers.get("Host", "")
        name = host.partition(":")[0]
        origin = self.headers.get("Origin")
        if name in HOST_NAMES and origin in (None, f"http://{host}"):
            return True
        self.close_connection = True
        self._fail(HTTPStatus.FORBIDDEN, f"this page answers as {' or '.join(sorted(HOST_NAMES))} only")
        return False

    def _read_message(self) -> dict[str, Any] | None:
        """The JSON object of a POST with the token of the page that was opened last; else None, answered."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= LARGEST_MESSAGE_BYTES:
            self.close_connection = True
            self._fail(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the message has no length, or is too long")
            return None
        body = self.rfile.read(length)
        token = self.headers.get(TOKEN_HEADER, "")
        if not secrets.compare_digest(token.encode("utf-8"), self.server.token.encode("utf-8")):
            self._fail(
                HTTPStatus.FORBIDDEN,
                "This page is no longer the one that may answer: label_images was started again, or the page "
                "was opened a second time. Reload to go on here; what was answered is saved.",
            )
            return None
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._fail(HTTPStatus.BAD_REQUEST, "the message is no JSON object")
            return None
        return message

    def _answer(self, action: Callable[[], dict[str, Any]]) -> None:
        """Send what an action returns, or why it was refused, as one readable sentence."""
        try:
            self._send_json(HTTPStatus.OK, action())
        except (AnswerError, UserError) as error:
            self._fail(HTTPStatus.CONFLICT, str(error))
        except ConnectionError:
            raise
        except OSError as error:
            self._fail(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"The answer could not be written ({error}), so it does not count. Free some space or mend "
                "the folder, then answer again; everything before is saved.",
            )

    def _queue(self, skipped: bool) -> dict[str, Any]:
        session = self.server.session
        items = session.items(session.queue(skipped))
        return {**session.status(), **self.server.page_settings, "items": items}

    def _send_page(self) -> None:
        """The page itself, with a new token; only as a document of its own, not inside or from another."""
        if self.headers.get("Sec-Fetch-Dest", "document") != "document":
            self._fail(HTTPStatus.FORBIDDEN, "the page is opened by itself only")
            return
        self.server.token = _new_token()
        text = (PAGE / "index.html").read_text(encoding="utf-8").replace("{{token}}", self.server.token)
        self._send(HTTPStatus.OK, text.encode("utf-8"), "text/html")

    def _send_static(self, name: str) -> None:
        files = {path.name: path for path in PAGE.iterdir() if path.suffix in STATIC_TYPES}
        if name not in files:
            self._fail(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
            return
        self._send(HTTPStatus.OK, files[name].read_bytes(), STATIC_TYPES[files[name].suffix])

    def _send_picture(self, number: str) -> None:
        try:
            path = self.server.session.picture(int(number))
            content = path.read_bytes()
        except (ValueError, OSError) as error:
            self._fail(HTTPStatus.NOT_FOUND, f"picture {number} cannot be read: {error}")
            return
        self._send(HTTPStatus.OK, content, IMAGE_TYPES.get(path.suffix.lower(), "application/octet-stream"))

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._send_json(status, {"error": message})

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode("utf-8"), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, content_type: str) -> None:
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
