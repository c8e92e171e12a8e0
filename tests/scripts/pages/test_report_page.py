"""The report in a real browser: no errors, no requests, nothing wider than the window, legible contrast."""

from pathlib import Path

import pytest

from scripts.pages.report.page import page, read_run
from scripts.pipeline import files
from tests.scripts.pages.chromium import Chromium, find_chromium
from tests.scripts.pages.report_workspace import make_workspace

CHROMIUM = find_chromium()
COLLECT_ERRORS = """
  window.errors = [];
  addEventListener("error", (event) => errors.push(event.message || event.target.outerHTML), true);
  addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective));
  console.error = (...words) => errors.push(words.join(" "));
"""
# Smallest contrast of the texts with the page, by WCAG's formula.
CONTRAST = """(() => {
  const light = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (color) => {
    const [low, high] = [light(color), ground].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = [...document.querySelectorAll("p, dt, dd, th, figcaption, a, h1, h2, .badge, summary")];
  return Math.min(...texts.map((text) => contrast(getComputedStyle(text).color)));
})()"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium or Chrome is installed (Debian: apt install chromium)"
)


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace")
    path = workspace / "report.html"
    files.write(path, page(read_run(workspace, workspace / "logs"), "today"))
    with Chromium(CHROMIUM, tmp_path / "profile") as browser:
        browser.call("Page.enable")
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=COLLECT_ERRORS)
        browser.open(path.as_uri(), "document.images.length > 0")
        pictures = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        browser.wait_for(pictures)
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                look(browser, width, scheme)
        assert browser.evaluate("errors") == []
        assert browser.evaluate("performance.getEntriesByType('resource').length") == 0
        assert browser.call("Page.printToPDF", printBackground=True)["data"].startswith("JVBER")


def look(browser: Chromium, width: int, scheme: str) -> None:
    """Check one width and colour scheme, with everything unfolded."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate(CONTRAST) >= 4.5
    shown = "[...document.querySelectorAll('nav')].filter((nav) => nav.offsetHeight > 0).length"
    assert browser.evaluate(shown) == 1, "one table of contents"
