"""Somebody at a browser of their own, and what every page that they see must keep to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, expect
from stack import Stack

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
TIMEOUT_MS = 20_000.0
expect.set_options(timeout=TIMEOUT_MS)


class Person:
    """A browser context: its own cookies, language and storage."""

    def __init__(self, browser: Browser, stack: Stack, *, locale: str = "en-US") -> None:
        self.stack = stack
        # No transitions: axe would measure colours half-way. Playwright would otherwise choose light itself.
        self.context = browser.new_context(
            locale=locale, viewport=DESK, reduced_motion="reduce", timezone_id="Asia/Seoul"
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.set_default_navigation_timeout(2 * TIMEOUT_MS)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.strangers: set[str] = set()
        self.context.on("weberror", lambda error: self.complaints.append(f"{self.page.url}: {error.error}"))
        self.context.on("console", lambda message: self._console(message.type, message.text))
        self.context.on("request", self._request)

    def close(self) -> None:
        self.context.close()

    def open(self, path: str) -> Page:
        """Go to one of our pages; ``path`` may be a whole address."""
        self.page.goto(path if path.startswith("http") else self.stack.url + path)
        return self.page

    def sign_in_to_label_studio(self) -> None:
        """As people do it: Label Studio's own page."""
        server = self.stack.label_studio
        self.page.goto(f"{server.url}/user/login/")
        self.page.locator("input[name=email]").fill(server.email)  # their labels are tied to no field
        self.page.locator("input[name=password]").fill(server.password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/user/login" not in url)

    def _console(self, kind: str, text: str) -> None:
        if kind == "error" and self.page.url.startswith(self.stack.url):
            self.complaints.append(f"{self.page.url}: {text}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        known = {urlsplit(self.stack.url).netloc, urlsplit(self.stack.label_studio.url).netloc}
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc not in known:
            self.strangers.add(address.netloc)


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out, one line for each rule and place."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {' '.join(map(str, node['target']))}: {node['html'][:160]}: {node['any'][:1]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@contextmanager
def on_a_phone(page: Page) -> Iterator[None]:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    try:
        yield
    finally:
        page.set_viewport_size(DESK)  # type: ignore[arg-type]


def too_wide(page: Page) -> list[str]:
    """What makes people scroll sideways: elements that stick out, unless something around them scrolls by itself."""
    found: list[str] = page.evaluate(
        """() => {
          const root = document.documentElement;
          if (root.scrollWidth <= root.clientWidth) return [];
          const out = [...document.querySelectorAll("body *")]
            .filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1)
            .map((one) => one.outerHTML.slice(0, 120));
          return [`the page is ${root.scrollWidth} px wide`, ...out];
        }"""
    )
    return found


def check(page: Page) -> None:
    """For everybody: axe has nothing serious against it, light or dark, and a phone is wide enough for it."""
    problems = []
    page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        problems += [f"{scheme}: {one}" for one in serious(page)]
        if scheme == "dark":
            expect(page.locator("html")).to_have_attribute("data-theme", "auto")
            assert darkness(page) > 0.7, "dark mode does not reach this page"
    page.emulate_media(color_scheme="light")
    with on_a_phone(page):
        problems += [f"phone: {one}" for one in too_wide(page)]
    assert not problems, f"{page.url}\n" + "\n".join(problems)


def darkness(page: Page) -> float:
    """How dark the background is: 0 for white, 1 for black."""
    levels: list[float] = page.evaluate(
        "() => getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)"
    )
    return 1 - sum(levels) / 3 / 255
