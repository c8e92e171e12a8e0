"""Downloads that go on where they broke off, and are checked before they get their name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from scripts.pipeline.files import sha256_file

BLOCK_BYTES = 1 << 14
TIMEOUT_S = (15, 30)  # until a connection stands, and between two bytes
LARGEST_BYTES = 8 << 30  # of a file whose size is not known beforehand
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416


class DownloadError(OSError):
    """A source did not give the file; the message says why."""


@dataclass(frozen=True)
class Check:
    """What is known about a file beforehand; None where nothing is. Of the sha256 its beginning is enough."""

    size_bytes: int | None = None
    sha256: str | None = None

    def complaint(self, path: Path) -> str:
        """What is wrong with a file, or an empty text."""
        size = path.stat().st_size
        if size == 0:
            return "it is empty"
        if self.size_bytes is not None and size != self.size_bytes:
            return f"it has {size} bytes instead of {self.size_bytes}"
        digest = sha256_file(path) if self.sha256 else ""
        if self.sha256 and not digest.startswith(self.sha256):
            return f"its sha256 is {digest} instead of {self.sha256}"
        return ""


def part_path(target: Path) -> Path:
    """Where the bytes of an unfinished download wait: beside the file, with its suffix."""
    return target.with_name(f"{target.stem}.part{target.suffix}")


def download(
    url: str,
    target: Path,
    check: Check,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    schemes: Sequence[str] = ("https",),
) -> Path:
    """Download into `part_path(target)`, going on behind the bytes that are there already.

    The certificate of the server is verified; proxies are those of the environment. Bytes of an earlier
    attempt are kept only if the checksum will tell whether they belong to the same file.

    Args:
        url: the source.
        target: final name of the file; the caller renames the part once it is content with it.
        check: size and sha256 that the file must have.
        on_bytes: called with bytes done and bytes in all (0: unknown); may raise to stop, the part stays.
        schemes: accepted protocols, of the source and of every redirection.

    Returns:
        Path of the complete, checked part.

    Raises:
        DownloadError: no connection, refused by the server, broken off, too large, or not the right file. A
            part that turned out wrong is removed; one that is merely incomplete stays.
    """
    part = part_path(target)
    part.parent.mkdir(parents=True, exist_ok=True)
    if check.sha256 is None:
        part.unlink(missing_ok=True)
    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        _require_scheme(url, schemes)
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            for step in (*response.history, response):
                _require_scheme(step.url, schemes)
            if response.status_code != RANGE_NOT_SATISFIABLE or not start:  # else the part is complete
                response.raise_for_status()
                _receive(response, part, start, check.size_bytes or LARGEST_BYTES, on_bytes)
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise DownloadError(f"{url}: {_reason(error)}") from error
    complaint = check.complaint(part)
    if complaint:
        part.unlink()
        raise DownloadError(f"{url}: not the right file, {complaint}")
    return part


def _receive(
    response: requests.Response, part: Path, start: int, largest: int, on_bytes: Callable[[int, int], None]
) -> None:
    """Append the body to the part; a server that sends the whole file begins it anew."""
    done = start if response.status_code == PARTIAL_CONTENT else 0
    if done and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        part.unlink(missing_ok=True)
        raise DownloadError(f"{response.url}: the server sent other bytes than were asked for")
    length = response.headers.get("Content-Length", "")
    total = done + int(length) if length.isdecimal() else 0
    with part.open("ab" if done else "wb") as file:
        on_bytes(done, total)
        for block in response.iter_content(BLOCK_BYTES):
            done += len(block)
            if max(done, total) > largest:
                part.unlink()
                raise DownloadError(f"{response.url}: it has more than {largest} bytes")
            file.write(block)
            on_bytes(done, total)
    if done < total:
        raise DownloadError(f"{response.url}: the connection broke off at {done} of {total} bytes")


def _require_scheme(address: str, schemes: Sequence[str]) -> None:
    if urlsplit(address).scheme not in schemes:
        raise DownloadError(f"{address}: only {', '.join(schemes)} is accepted")


def _reason(error: Exception) -> str:
    """One short line about why a request failed; the libraries nest theirs deeply."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate of the server cannot be verified"
    is_broken = any(name in str(error) for name in ("IncompleteRead", "ChunkedEncoding", "Read timed out"))
    return "the connection broke off" if is_broken else f"no connection ({type(error).__name__})"
