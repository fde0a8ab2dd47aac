"""Pages in a real browser, which may log nothing, ask the network for nothing, and show no alert."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EVIL = "<script>alert(1)</script>"
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu"]


def launched() -> Iterator[Any]:
    """The system's Chromium; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGS)
        yield browser
        browser.close()


class Pages:
    """Opens one file as often as asked; at the end nothing may have been logged, asked for, or shown by alert()."""

    def __init__(self, browser: Any, file: Path) -> None:
        self._browser, self._url = browser, file.as_uri()
        self._pages: list[Any] = []
        self._seen: list[str] = []

    def open(self, width: int = 1280, height: int = 900, **context: Any) -> Any:
        page = self._browser.new_page(viewport={"width": width, "height": height}, **context)
        self._pages.append(page)
        page.on("console", lambda message: self._seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self._seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self._seen.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", self._note)
        page.goto(self._url)
        return page

    def close(self) -> None:
        for page in self._pages:
            page.close()
        assert self._seen == []

    def _note(self, request: Any) -> None:
        if request.url != self._url and not request.url.startswith("data:"):
            self._seen.append(f"request: {request.url[:90]}")
