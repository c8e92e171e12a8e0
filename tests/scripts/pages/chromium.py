"""A headless Chromium for tests, driven over its debugging pipe: no driver and no further package needed."""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--remote-debugging-pipe"),
)
KEY_CODES = {
    "Enter": 13,
    "Backspace": 8,
    " ": 32,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
KEY_TEXTS = {"Enter": "\r", " ": " "}


def find_chromium() -> str | None:
    """Path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser with one page. Used as a context manager.

    Args:
        program: path of the browser.
        profile: empty folder for its data.
        width, height: of the window, in pixels.
    """

    def __init__(self, program: str, profile: Path, width: int = 1280, height: int = 800) -> None:
        self.limit_s = 60.0
        read_by_browser, self._commands = os.pipe()
        self._events, written_by_browser = os.pipe()
        flags = (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank")
        # The browser reads from descriptor 3 and writes to 4.
        wiring = f'exec "$@" 3<&{read_by_browser} 4>&{written_by_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", wiring, "bash", program, *flags],
            pass_fds=(read_by_browser, written_by_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_by_browser)
        os.close(written_by_browser)
        self._received = b""
        self._number = 0
        self._session: str | None = None

    def __enter__(self) -> "Chromium":
        pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._commands)  # the browser ends with its pipe
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._events)

    @contextmanager
    def other_page(self, target: str) -> Iterator[None]:
        """Drive another tab for a while, and close it."""
        first = self._session
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        yield
        self._session = first
        self.call("Target.closeTarget", targetId=target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Result of a command of the Chrome DevTools Protocol."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + self.limit_s
        while True:
            message = self._receive(deadline)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, script: str) -> Any:
        """Value of a JavaScript expression, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Wait until an expression is true; its value."""
        deadline = time.monotonic() + self.limit_s
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"{script} stayed {value!r}"
            time.sleep(0.02)
        return value

    def open(self, address: str, ready: str) -> None:
        """Load a page and wait until an expression is true in it."""
        self.call("Page.navigate", url=address)
        page = address.partition("#")[0]  # the page may change what comes after it
        loaded = f"document.readyState === 'complete' && location.href.split('#')[0] === '{page}'"
        self.wait_for(f"{loaded} && ({ready})")

    def press(self, key: str, shift: bool = False, control: bool = False) -> None:
        """Press and release a key, as a keyboard does."""
        text = key.upper() if shift and len(key) == 1 else key
        event = {"key": text, "modifiers": (8 if shift else 0) + (2 if control else 0)}
        event["windowsVirtualKeyCode"] = KEY_CODES.get(key) or ord(key.upper())
        typed = "" if control else KEY_TEXTS.get(key, text if len(text) == 1 else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", text=typed, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def hold(self, selector: str, pressed: bool) -> None:
        """Press the mouse in the middle of an element, or release it there."""
        box = self.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        kind = "mousePressed" if pressed else "mouseReleased"
        self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def give_files(self, selector: str, *paths: Path) -> None:
        """Choose files in a file field."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        field = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=field, files=[str(path) for path in paths])

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._events], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no answer from the browser in {self.limit_s:g} s"
            part = os.read(self._events, 1 << 16)
            assert part, "the browser ended"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)
