"""Debian's Chromium, driven by Playwright's Python package (which brings no browser of its own here)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # as in set_up.sh
FLAGS = (
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str:
    """Where Chromium is; the environment variable CHROMIUM wins. Raises RuntimeError with the way out."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise RuntimeError("no Chromium here: run `make setup-browser`, or name one in the variable CHROMIUM")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; every context in it is a person of their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--headless=new", *FLAGS])
        try:
            yield browser
        finally:
            browser.close()
