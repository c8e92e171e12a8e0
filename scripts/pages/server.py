"""Local pages: static files and JSON messages over HTTP, for one person on this machine only.

A page is a folder with an ``index.html``; a script adds what it answers with a server of its own.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
import socket
import webbrowser
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from werkzeug.exceptions import HTTPException, abort
from werkzeug.routing import Map, Rule
from werkzeug.sansio.utils import host_is_trusted
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.utils import send_from_directory
from werkzeug.wrappers import Request, Response

from scripts.pipeline import UserError, files

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SHARED = Path(__file__).with_name("shared")  # scripts and styles of all pages, served as /shared/
HOST = "127.0.0.1"
HOST_NAMES = ("127.0.0.1", "localhost")
TOKEN_HEADER = "X-Page-Token"
POLL_S = 0.05
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Pictures keep their names when they are generated anew: nothing may come from an earlier visit.
    "Cache-Control": "no-store",
}

Value = dict[str, Any]


class PageServer:
    """Serves one page on 127.0.0.1.

    A page shows a token with its messages, so that no other site can send any.

    Attributes:
        page: folder of the static files; ``{{token}}`` in ``index.html`` becomes the token.
        only_newest_page: only the page that was opened last may send messages: each gets a token of its own
            and the one before loses its right, so that two tabs cannot mix what they say. False: all may.
        largest_message_bytes: longer messages are refused.
        refusals: exceptions that are answered with their text.
        stale_page: answer to a page that has lost its right.
        write_failure: answer if an action cannot write its files; ``{error}`` is the reason.
        token: what a page has to show now.
        closing: True once the page was closed by its button.

    Args:
        port: 0 takes any free one.
        pages: rule of a path -> answer to its GET request, called with the request and the rule's values.
        actions: path of a POST request -> what it does with the message; the result is sent as JSON.

    Raises:
        UserError: the port is taken.
    """

    page: Path
    only_newest_page = True
    largest_message_bytes = 1 << 16
    refusals: tuple[type[Exception], ...] = (UserError,)
    stale_page = "This page was opened again elsewhere, or its script was restarted. Reload to go on here."
    write_failure = "It could not be written ({error}). Free some space or mend the folder, then try again."

    def __init__(
        self,
        port: int,
        pages: Mapping[str, Callable[..., Response]],
        actions: Mapping[str, Callable[[Value], Value]],
    ) -> None:
        pages = {
            "/": self._index,
            "/page/<path:name>": partial(_file, self.page),
            "/shared/<path:name>": partial(_file, SHARED),
            **pages,
        }
        answers: dict[str, Callable[[Request], Response]] = {"/api/close": self._close}
        answers |= {path: partial(self._act, action) for path, action in actions.items()}
        self._routes = Map(
            [
                *(Rule(path, methods=["GET"], endpoint=page) for path, page in pages.items()),
                *(Rule(path, methods=["POST"], endpoint=answer) for path, answer in answers.items()),
            ]
        )
        try:
            listening = socket.create_server((HOST, port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error}), so the page cannot be opened there. Give "
                "another --port, or --port 0 for any that is free."
            ) from error
        with listening:
            self._http = make_server(
                HOST, port, self, threaded=True, request_handler=_Connection, fd=listening.fileno()
            )
        self._http.timeout = POLL_S
        self.port: int = self._http.port
        self.address = f"http://{HOST}:{self.port}/"
        self.closing = False
        self.token = secrets.token_urlsafe(16)

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.server_close()

    def show(self, title: str, browser: bool, check_stop: Callable[[], None]) -> None:
        """Print the address, open it in a browser, and answer as `serve_until`."""
        # The address is needed even by those who want to see errors only.
        print(f"{title}: {self.address} (Ctrl-C here, or its Close button, ends it)", flush=True)
        if browser:
            open_browser(self.address)
        self.serve_until(check_stop)

    def serve_until(self, check_stop: Callable[[], None]) -> None:
        """Answer requests until the page is closed by its button; ``check_stop`` raises to end earlier."""
        while not self.closing:
            check_stop()
            self._http.handle_request()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer any request; what is refused or fails is told in one readable sentence."""
        with Request(environ) as request:
            return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            self._check_sender(request)
            endpoint, values = self._routes.bind_to_environ(request.environ).match()
            response: Response = endpoint(request, **values)
        except HTTPException as error:
            response = json_response({"error": error.description}, error.code)
        except self.refusals as error:
            response = json_response({"error": str(error)}, HTTPStatus.CONFLICT)
        except OSError as error:
            message = self.write_failure.format(error=error)
            response = json_response({"error": message}, HTTPStatus.INSUFFICIENT_STORAGE)
        response.headers.update(SECURITY_HEADERS)
        return response

    def _check_sender(self, request: Request) -> None:
        """A foreign site may have pointed its own name here, or send from where it is."""
        host = request.headers.get("Host", "")
        is_local = host_is_trusted(host, HOST_NAMES)
        if not is_local or request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            abort(HTTPStatus.FORBIDDEN, f"this page answers as {' or '.join(HOST_NAMES)} only")

    def _index(self, request: Request) -> Response:
        """The page itself, with its token; only as a document of its own, not inside or from another."""
        if request.headers.get("Sec-Fetch-Dest", "document") != "document":
            abort(HTTPStatus.FORBIDDEN, "the page is opened by itself only")
        if self.only_newest_page:
            self.token = secrets.token_urlsafe(16)
        text = (self.page / "index.html").read_text(encoding="utf-8")
        return Response(text.replace("{{token}}", self.token), mimetype="text/html")

    def _act(self, action: Callable[[Value], Value], request: Request) -> Response:
        """What a message asks for: a JSON object, with the page's token."""
        length, token = request.content_length, request.headers.get(TOKEN_HEADER, "")
        if length is None or length > self.largest_message_bytes:
            abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the message has no length, or is too long")
        if not secrets.compare_digest(token.encode("utf-8"), self.token.encode("utf-8")):
            abort(HTTPStatus.FORBIDDEN, self.stale_page)
        try:
            message = files.parse_json(request.get_data())
        except files.TextFileError:
            abort(HTTPStatus.BAD_REQUEST, "the message is no JSON object")
        return json_response(action(message))

    def _close(self, request: Request) -> Response:
        response = self._act(lambda _: {}, request)
        response.call_on_close(lambda: setattr(self, "closing", True))  # once the answer has been sent
        return response


class _Connection(WSGIRequestHandler):
    """One request. None is printed: the terminal is for messages that matter."""

    disable_nagle_algorithm = True  # headers and body are two packets; the second must not wait

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def _file(folder: Path, request: Request, name: str) -> Response:
    return send_from_directory(folder, name, request.environ)


def png_base64(image: np.ndarray, metadata: PngInfo | None = None) -> str:
    """A picture uint8 [H, W, 3] as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=metadata, **files.PNG_OPTIONS)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def json_response(value: Value, status: int | None = None) -> Response:
    """A JSON object."""
    return Response(json.dumps(value), status, mimetype="application/json")


def open_browser(address: str) -> None:
    """Open the page in a browser with windows; one for the console would take over this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return  # there is none; the address has been printed
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)
