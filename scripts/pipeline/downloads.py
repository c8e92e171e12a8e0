"""Downloads that go on where they broke off, and that are checked before they get their final name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scripts.pipeline.fingerprint import sha256_file

TIMEOUT_S = 30
BLOCK_BYTES = 1 << 18
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416


class DownloadError(OSError):
    """A source did not give the file; the message says why."""


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

    The certificate of the server is verified. The caller renames the part once it is content with it.

    Args:
        url: the source.
        target: final name of the file.
        check: size and sha256 that the file must have.
        on_bytes: called with bytes done and bytes in all (0: unknown); may raise to stop, the part stays.
        schemes: accepted protocols, of the source and of every redirection.

    Returns:
        Path of the complete, checked part.

    Raises:
        DownloadError: no connection, refused by the server, broken off, or not the right file. A part that
            turned out wrong is removed; one that is merely incomplete stays.
    """
    import requests

    part = part_path(target)
    part.parent.mkdir(parents=True, exist_ok=True)
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    _check_scheme(url, schemes)
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            _check_scheme(response.url, schemes)
            if response.status_code != RANGE_NOT_SATISFIABLE:  # that one says: the part is complete already
                response.raise_for_status()
                goes_on = response.status_code == PARTIAL_CONTENT
                _receive(response, part, start if goes_on else 0, on_bytes)
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {_reason(error)}") from error
    complaint = check.complaint(part)
    if complaint:
        part.unlink()
        raise DownloadError(f"{url}: not the right file, {complaint}")
    return part


def _receive(response, part: Path, start: int, on_bytes: Callable[[int, int], None]) -> None:
    """Append the body of a response (``requests.Response``) to the part, or begin it anew at ``start`` 0."""
    expected = int(response.headers.get("Content-Length", 0))
    total = start + expected if expected else 0
    done = start
    with part.open("ab" if start else "wb") as file:
        on_bytes(done, total)
        for block in response.iter_content(BLOCK_BYTES):
            file.write(block)
            done += len(block)
            on_bytes(done, total)
    if done < total:
        raise DownloadError(f"{response.url}: the connection broke off at {done} of {total} bytes")


def _check_scheme(url: str, schemes: Sequence[str]) -> None:
    if urlsplit(url).scheme not in schemes:
        raise DownloadError(f"{url}: only {', '.join(schemes)} is accepted")


def _reason(error: Exception) -> str:
    """One short line about why a request failed; the libraries nest theirs deeply."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    return f"no connection ({type(error).__name__})"
