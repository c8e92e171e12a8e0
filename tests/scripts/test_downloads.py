"""Servers that lie, stall, change and cut: what is kept, what is refused, and what is never asked."""

import gzip
import hashlib
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.pipeline.downloads import Check, DownloadError, Limits, download, part_path

PAYLOAD = bytes(range(256)) * 256
HALF = len(PAYLOAD) // 2
KNOWN = Check(len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest())
UNKNOWN = Check()
QUICK = Limits(silence_s=5, headers_s=0.5, window_s=0.2, slowest_bytes_per_s=100, largest_bytes=1 << 20)


class Handler(BaseHTTPRequestHandler):
    """Answers by the function of `ANSWERS` that the path names."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        try:
            ANSWERS[self.path.rsplit("/", 1)[-1]](self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, body: bytes, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(body), "Connection": "close"} | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def start(self) -> int:
        return int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def rest(self, content_range: str = "bytes {start}-{last}/{total}", **headers: object) -> None:
        """The whole file, or what is missing of it."""
        start, total = self.start(), len(PAYLOAD)
        if start:
            headers["Content_Range"] = content_range.format(start=start, last=total - 1, total=total)
        self.answer(PAYLOAD[start:], 206 if start else 200, **headers)

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


def cut(handler: Handler, **headers: object) -> None:
    """Half of the file, then the connection ends; the rest on request."""
    if handler.start():
        handler.rest(**headers)
    else:
        handler.answer(PAYLOAD[:HALF], Content_Length=len(PAYLOAD), **headers)


def changed(handler: Handler) -> None:
    """Half of one version; later the file is another, which If-Range must notice."""
    version = '"2"' if len(handler.server.seen) > 1 else '"1"'
    if version == '"1"':
        handler.answer(b"x" * HALF, Content_Length=len(PAYLOAD), ETag=version)
    elif handler.headers.get("If-Range") in (None, version):
        handler.rest(ETag=version)
    else:
        handler.answer(PAYLOAD, ETag=version)


def endless(handler: Handler) -> None:
    """No length, and no end."""
    handler.answer(b"", Content_Length=None)
    while True:
        handler.wfile.write(PAYLOAD)


def trickle(handler: Handler) -> None:
    """The length of a file, and a byte now and then."""
    handler.answer(PAYLOAD[: handler.start() + 5000], Content_Length=len(PAYLOAD))
    for _ in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def trickle_headers(handler: Handler) -> None:
    """Headers that do not end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(f"X-{number}: 1\r\n".encode())
        handler.wfile.flush()
        time.sleep(0.05)


def chunked(handler: Handler) -> None:
    """The file in pieces without a length."""
    handler.answer(b"", Content_Length=None, Transfer_Encoding="chunked")
    for start in range(0, len(PAYLOAD), 1000):
        piece = PAYLOAD[start : start + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def redirect(to: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(b"", 302, Location=to)


ANSWERS: dict[str, Callable[[Handler], None]] = {
    "file": Handler.rest,
    "cut": cut,
    "cut-with-date": lambda handler: cut(handler, Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT"),
    "changed": changed,
    "wrong-range": lambda handler: (
        handler.rest("bytes 7-{last}/{total}") if handler.start() else cut(handler)
    ),
    "no-range": lambda handler: handler.answer(PAYLOAD),
    "shorter": lambda handler: (
        handler.answer(b"", 416, Content_Range="bytes */9") if handler.start() else handler.rest()
    ),
    "huge": lambda handler: handler.answer(PAYLOAD, Content_Length=1 << 40),
    "nonsense": lambda handler: handler.answer(PAYLOAD, Content_Length="-5"),
    "endless": endless,
    "trickle": trickle,
    "trickle-headers": trickle_headers,
    "chunked": chunked,
    "packed": lambda handler: handler.answer(gzip.compress(bytes(1 << 20)), Content_Encoding="gzip"),
    "moved": redirect("/file"),
    "loop": redirect("/loop"),
    "to-file": redirect("file:///etc/passwd"),
    "to-ftp": redirect("ftp://127.0.0.1/x"),
}


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    yield from serving(None)


def serving(context: ssl.SSLContext | None) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.seen = []
    server.handle_error = lambda *arguments: None
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.address = f"{'https' if context else 'http'}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server: ThreadingHTTPServer, name: str, target: Path, check: Check = KNOWN) -> bytes:
    return download(f"{server.address}/{name}", target, check, schemes=("http",), limits=QUICK).read_bytes()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


def leave_half(server: ThreadingHTTPServer, target: Path, name: str, check: Check = UNKNOWN) -> None:
    with pytest.raises(DownloadError, match="broke off"):
        fetch(server, name, target, check)
    assert part_path(target).stat().st_size == HALF


@pytest.mark.parametrize("name", ["file", "no-range", "chunked", "moved"])
def test_honest_servers(server, target: Path, name: str) -> None:
    assert fetch(server, name, target) == PAYLOAD
    assert not list(target.parent.glob("*.json"))


def test_the_rest_is_asked_for_only_of_the_same_file(server, target: Path) -> None:
    leave_half(server, target, "cut-with-date")
    assert fetch(server, "cut-with-date", target, UNKNOWN) == PAYLOAD
    assert server.seen[-1][1:] == (f"bytes={HALF}-", "Mon, 01 Jan 2024 00:00:00 GMT")


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, target: Path) -> None:
    leave_half(server, target, "changed")
    assert fetch(server, "changed", target, UNKNOWN) == PAYLOAD
    assert server.seen[-1][1:] == (f"bytes={HALF}-", '"1"')


def test_without_version_and_checksum_nothing_is_continued(server, target: Path) -> None:
    leave_half(server, target, "cut")
    leave_half(server, target, "cut")
    assert [wanted for _, wanted, _ in server.seen] == [None, None]


def test_bytes_from_elsewhere_are_not_joined(server, target: Path) -> None:
    part_path(target).write_bytes(PAYLOAD[:HALF])
    with pytest.raises(DownloadError, match="broke off"):
        fetch(server, "wrong-range", target)
    assert [wanted for _, wanted, _ in server.seen] == [f"bytes={HALF}-", None]


def test_a_part_longer_than_the_file_is_dropped(server, target: Path) -> None:
    part_path(target).write_bytes(b"too many bytes" * 10)
    assert fetch(server, "shorter", target) == PAYLOAD


@pytest.mark.parametrize(
    ("name", "check", "message"),
    [
        ("huge", UNKNOWN, f"more than {1 << 20}"),
        ("endless", UNKNOWN, f"more than {1 << 20}"),
        ("endless", KNOWN, f"more than {len(PAYLOAD)}"),
        ("packed", UNKNOWN, "packs the file"),
        ("loop", KNOWN, "more than 5 redirections"),
        ("to-file", KNOWN, "only http is accepted"),
        ("to-ftp", KNOWN, "only http is accepted"),
        ("trickle-headers", KNOWN, "no answer within 0.5 s"),
    ],
)
def test_refused(server, target: Path, name: str, check: Check, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError, match=message):
        fetch(server, name, target, check)
    assert time.monotonic() - started < 5
    assert not part_path(target).exists() or part_path(target).stat().st_size == 0
    assert len(server.seen) <= QUICK.redirections + 1


def test_a_redirection_to_another_scheme_is_not_followed(server, target: Path) -> None:
    ANSWERS["to-https"] = redirect(f"https://localhost:{server.server_port}/file")
    with pytest.raises(DownloadError, match=r"https://.*only http is accepted"):
        fetch(server, "to-https", target)
    assert [path for path, _, _ in server.seen] == ["/to-https"]


def test_a_trickle_is_cut_and_its_bytes_are_kept(server, target: Path) -> None:
    with pytest.raises(DownloadError, match="slower than 100 bytes per second"):
        fetch(server, "trickle", target)
    assert part_path(target).stat().st_size > 5000


def test_a_nonsensical_length_decides_nothing(server, target: Path) -> None:
    with pytest.raises(DownloadError):
        fetch(server, "nonsense", target, Check(len(PAYLOAD), "0" * 64))
    assert not part_path(target).exists()


def test_the_proxy_of_the_environment_is_asked(server, target: Path, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    url = "http://models.invalid/file"
    assert download(url, target, KNOWN, schemes=("http",), limits=QUICK).read_bytes() == PAYLOAD
    assert server.seen[0][0] == url


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A self-made certificate for localhost, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "1")
    command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", path, "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[ThreadingHTTPServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield from serving(context)


def test_the_certificate_is_verified(tls_server, target: Path, certificate: Path, monkeypatch) -> None:
    url = f"{tls_server.address}/file"
    with pytest.raises(DownloadError, match="certificate of the server cannot be verified"):
        download(url, target, KNOWN, limits=QUICK)
    assert tls_server.seen == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
    assert download(url, target, KNOWN, limits=QUICK).read_bytes() == PAYLOAD
    with pytest.raises(DownloadError, match="certificate"):
        download(url.replace("localhost", "127.0.0.1"), target, KNOWN, limits=QUICK)


def test_tls_is_not_left_by_a_redirection(tls_server, server, target: Path, certificate, monkeypatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
    ANSWERS["to-plain"] = redirect(f"{server.address}/file")
    with pytest.raises(DownloadError, match="only https is accepted"):
        download(f"{tls_server.address}/to-plain", target, KNOWN, limits=QUICK)
    assert server.seen == []
    leave = pytest.raises(DownloadError, match="broke off")
    with leave:
        download(f"{tls_server.address}/cut", target, KNOWN, limits=QUICK)
    assert download(f"{tls_server.address}/cut", target, KNOWN, limits=QUICK).read_bytes() == PAYLOAD
