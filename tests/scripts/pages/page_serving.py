"""A local page that answers while a test looks at it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

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
