"""Downloads that go on where they broke off, trust no server, and are checked before they get their name."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from scripts.pipeline import files
from scripts.pipeline.fingerprint import sha256_file

if TYPE_CHECKING:
    from requests import Response

BLOCK_BYTES = 1 << 18
OK = 200
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416
REDIRECTS = {301, 302, 303, 307, 308}
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class DownloadError(OSError):
    """A source did not give the file; the message says why."""


class _StaleError(Exception):
    """The bytes that are there already do not belong to what the server has now."""


@dataclass(frozen=True)
class Check:
    """What is known about a file beforehand; None where nothing is."""

    size_bytes: int | None = None
    sha256: str | None = None

    def complaint(self, path: Path) -> str:
        """What is wrong with a file, or an empty text."""
        size = path.stat().st_size
        if size == 0:
            return "it is empty"
        if self.size_bytes is not None and size != self.size_bytes:
            return f"it has {size} bytes instead of {self.size_bytes}"
        if self.sha256 is not None:
            digest = sha256_file(path)
            if digest != self.sha256:
                return f"its sha256 is {digest} instead of {self.sha256}"
        return ""


@dataclass(frozen=True)
class Limits:
    """When a download is given up.

    Attributes:
        connect_s: seconds until a connection must stand.
        silence_s: seconds without a byte.
        headers_s: seconds until all headers must be there.
        slowest_bytes_per_s: least speed, averaged over `window_s` seconds.
        total_s: seconds in all.
        largest_bytes: of a file whose size is not known beforehand.
        redirections: how often the source may name another address.
    """

    connect_s: float = 15
    silence_s: float = 30
    headers_s: float = 60
    slowest_bytes_per_s: float = 1024
    window_s: float = 60
    total_s: float = 12 * 3600
    largest_bytes: int = 8 << 30
    redirections: int = 5


def part_path(target: Path) -> Path:
    """Where the bytes of an unfinished download wait: beside the file, with its suffix."""
    return target.with_name(f"{target.stem}.part{target.suffix}")


def download(
    url: str,
    target: Path,
    check: Check,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    schemes: Sequence[str] = ("https",),
    limits: Limits | None = None,
) -> Path:
    """Download into `part_path(target)`, going on behind the bytes that are there already.

    The certificate of the server is verified; proxies are those of the environment. Bytes of an earlier
    attempt are kept only if the server still has the same file, or if the checksum will tell.

    Args:
        url: the source.
        target: final name of the file; the caller renames the part once it is content with it.
        check: size and sha256 that the file must have.
        on_bytes: called with bytes done and bytes in all (0: unknown); may raise to stop, the part stays.
        schemes: accepted protocols, of the source and of every redirection.
        limits: when to give up; None: the usual ones.

    Returns:
        Path of the complete, checked part.

    Raises:
        DownloadError: no connection, refused by the server, broken off, too slow, too large, or not the right
            file. A part that turned out wrong is removed; one that is merely incomplete stays.
    """
    import requests
    import urllib3

    part = part_path(target)
    part.parent.mkdir(parents=True, exist_ok=True)
    attempt = _Attempt(url, part, check, on_bytes, schemes, limits or Limits())
    try:
        try:
            attempt.run()
        except _StaleError:
            attempt.forget()
            attempt.run()
    except _StaleError as error:
        raise DownloadError(f"{url}: {error}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise DownloadError(f"{url}: {_reason(error)}") from error
    complaint = check.complaint(part)
    attempt.origin_path.unlink(missing_ok=True)
    if complaint:
        attempt.forget()
        raise DownloadError(f"{url}: not the right file, {complaint}")
    return part


@dataclass(frozen=True)
class _Attempt:
    """One download; see `download` for the attributes."""

    url: str
    part: Path
    check: Check
    on_bytes: Callable[[int, int], None]
    schemes: Sequence[str]
    limits: Limits

    @property
    def origin_path(self) -> Path:
        """Tells which file of which source the part belongs to."""
        return self.part.with_name(f"{self.part.name}.json")

    @property
    def largest_bytes(self) -> int:
        return self.check.size_bytes or self.limits.largest_bytes

    def forget(self) -> None:
        """Begin anew."""
        self.part.unlink(missing_ok=True)
        self.origin_path.unlink(missing_ok=True)

    def run(self) -> None:
        """Ask for what is missing and append it.

        Raises:
            _StaleError: what is there is of no use.
        """
        validator = self._validator()
        if not (validator or self.check.sha256):  # nothing would tell bytes of two different files apart
            self.forget()
        start = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
        with self._open(headers) as response:
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            first, total = found.groups() if found else (None, None)
            if response.status_code == RANGE_NOT_SATISFIABLE and start:
                if str(start) not in (total, str(self.check.size_bytes)):
                    raise _StaleError("the server has fewer bytes than were received before")
                return  # the part is complete already
            response.raise_for_status()
            if response.status_code == PARTIAL_CONTENT:
                if not start or first != str(start):
                    raise _StaleError("the server sent other bytes than were asked for")
            elif response.status_code == OK:
                start = 0
            else:
                raise DownloadError(f"{self.url}: the server answered {response.status_code}")
            self._receive(response, start)

    def _validator(self) -> str:
        """What the server called the version of the file that the part belongs to; empty if unknown."""
        try:
            origin = files.read_json(self.origin_path)
        except (FileNotFoundError, files.TextFileError):
            return ""
        return str(origin.get("validator", "")) if origin.get("url") == self.url else ""

    def _open(self, headers: dict[str, str]) -> Response:
        """The response after redirections, each of them checked before it is followed."""
        address = self.url
        for _ in range(self.limits.redirections + 1):
            if urlsplit(address).scheme not in self.schemes:
                raise DownloadError(f"{address}: only {', '.join(self.schemes)} is accepted")
            response = self._get(address, headers)
            if response.status_code not in REDIRECTS:
                return response
            response.close()
            address = urljoin(address, response.headers.get("Location", ""))
        raise DownloadError(f"{self.url}: more than {self.limits.redirections} redirections")

    def _get(self, address: str, headers: dict[str, str]) -> Response:
        """Request in a thread that is left behind if the headers trickle in too slowly."""
        import requests

        answer: list[Any] = []

        def work() -> None:
            timeout = (self.limits.connect_s, self.limits.silence_s)
            try:
                answer.append(
                    requests.get(
                        address, headers=headers, stream=True, timeout=timeout, allow_redirects=False
                    )
                )
            except (requests.RequestException, OSError, ValueError) as error:
                answer.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.limits.headers_s)
        if not answer:
            raise DownloadError(f"{address}: no answer within {self.limits.headers_s:g} s")
        if isinstance(answer[0], ValueError) and not isinstance(answer[0], requests.RequestException):
            raise DownloadError(f"{address}: {answer[0]}") from answer[0]
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    def _receive(self, response: Response, start: int) -> None:
        """Append the body to the part, or begin it anew at ``start`` 0."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(f"{self.url}: the server packs the file, which was not asked for")
        length = response.headers.get("Content-Length", "0")
        total = start + int(length) if length.isdecimal() and int(length) else 0
        if total > self.largest_bytes:
            self.forget()
            raise DownloadError(f"{self.url}: it has {total} bytes, more than {self.largest_bytes}")
        validator = response.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # a weak one does not promise the same bytes
            validator = response.headers.get("Last-Modified", "")
        if not start:
            files.write_json(self.origin_path, {"url": self.url, "validator": validator})
        done, pace = start, _Pace(self.limits)
        with self.part.open("ab" if start else "wb") as file:
            self.on_bytes(done, total)
            while block := response.raw.read1(BLOCK_BYTES, decode_content=False):
                if done + len(block) > self.largest_bytes:
                    file.close()
                    self.forget()
                    raise DownloadError(f"{self.url}: it has more than {self.largest_bytes} bytes")
                file.write(block)
                done += len(block)
                self.on_bytes(done, total)
                complaint = pace.complaint(len(block))
                if complaint:
                    raise DownloadError(f"{self.url}: {complaint}; {done} bytes are kept")
        if done < total:
            raise DownloadError(f"{self.url}: the connection broke off at {done} of {total} bytes")


class _Pace:
    """Notices a server that keeps a connection open with a byte now and then."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._started_at = self._window_at = time.monotonic()
        self._received = 0

    def complaint(self, count: int) -> str:
        """Why to give up after these bytes; empty if there is no reason."""
        now, limits = time.monotonic(), self.limits
        self._received += count
        if now - self._started_at > limits.total_s:
            return f"not finished within {limits.total_s:g} s"
        if now - self._window_at > limits.window_s:
            if self._received < limits.slowest_bytes_per_s * (now - self._window_at):
                return f"slower than {limits.slowest_bytes_per_s:g} bytes per second"
            self._window_at, self._received = now, 0
        return ""


def _reason(error: Exception) -> str:
    """One short line about why a request failed; the libraries nest theirs deeply."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate of the server cannot be verified"
    kind = type(error).__name__
    return "the connection broke off" if "IncompleteRead" in str(error) else f"no connection ({kind})"
