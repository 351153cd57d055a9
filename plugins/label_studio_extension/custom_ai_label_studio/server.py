"""Custom AI's REST API, asked on behalf of a Label Studio user: each request is signed by itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from custom_ai_label_studio import assertions
from custom_ai_label_studio.config import Config
from custom_ai_label_studio.words import translator

LOOK_TIMEOUT = (1.0, 2.0)
"""Seconds to connect, and for the answer, while somebody waits for a dialog to open."""
WORK_TIMEOUT = (2.0, 30.0)
DOWN_FOR_S = 5.0
"""So long nobody waits again for a Custom AI that has not answered."""

SILENT = "Custom AI at {url} does not answer. Is it running?"
STRANGE = "Custom AI at {url} gave an answer that this extension does not understand (HTTP {status})."


class Problem(Exception):
    """Why something was not done, for people. ``code`` is Custom AI's name for it, "" when it did not answer."""

    def __init__(self, text: str, *, code: str = "", status: int = 0) -> None:
        self.text, self.code, self.status = text, code, status
        super().__init__(text)


@dataclass(frozen=True)
class Person:
    """Label Studio's signed-in user."""

    id: int
    email: str
    organization: int


class Server:
    """Asks for one person about one project, which Label Studio lets that person see."""

    def __init__(self, config: Config, person: Person, project_id: int) -> None:
        self.config, self.project_id = config, project_id
        self._person = person
        self._translate = translator(config.language)

    def look(self, path: str) -> Any:
        """GET below the project, without waiting long. Raises Problem."""
        if _down.is_down(self.config.url):
            raise Problem(self._translate(SILENT).format(url=self.config.url))
        return self._ask("GET", path, None, LOOK_TIMEOUT)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST below the project. Raises Problem."""
        return self._ask("POST", path, body, WORK_TIMEOUT)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, timeout: tuple[float, float]) -> Any:
        if self.config.problems:
            raise Problem(" ".join(self.config.problems), code="not_configured")
        route = f"/api/projects/{self.project_id}{path}"
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Accept-Language": self.config.language}
        if content:
            headers["Content-Type"] = "application/json"
        try:
            answer = requests.request(
                method,
                self.config.url + route,
                data=content or None,
                headers=headers,
                auth=_shows(self._statement(method, route, content)),
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            _down.note(self.config.url)
            raise Problem(self._translate(SILENT).format(url=self.config.url)) from error
        return self._read(answer)

    def _statement(self, method: str, route: str, content: bytes) -> str:
        return assertions.sign(
            self.config.secret,
            assertions.FOR_API,
            user=self._person.id,
            email=self._person.email,
            organization=self._person.organization,
            project=self.project_id,
            method=method,
            path=route,
            body=assertions.digest(content),
        )

    def _read(self, answer: requests.Response) -> Any:
        try:
            found = answer.json()
            if answer.ok:
                return found
            error = found["error"]
            raise Problem(str(error["message"]), code=str(error["code"]), status=answer.status_code)
        except (ValueError, KeyError, TypeError) as strange:
            text = self._translate(STRANGE).format(url=self.config.url, status=answer.status_code)
            raise Problem(text, code="strange", status=answer.status_code) from strange


def _shows(statement: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """As ``auth``, because requests would put what it finds in ~/.netrc over a plain header."""

    def show(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"{assertions.SCHEME} {statement}"
        return request

    return show


class _Down:
    """Addresses that have not answered lately. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def is_down(self, url: str) -> bool:
        with self._lock:
            return self._until.get(url, 0.0) > time.monotonic()

    def note(self, url: str) -> None:
        with self._lock:
            self._until[url] = time.monotonic() + DOWN_FOR_S


_down = _Down()


def hand_over_path(project_id: int, page: str = "") -> str:
    """The path in Label Studio that opens ``page`` of Custom AI (empty: the project's) as the same user."""
    path = f"/custom-ai/projects/{project_id}/"
    return f"{path}?page={page}" if page else path


def is_own_page(page: str) -> bool:
    """Whether ``page`` is a path on Custom AI and nothing else."""
    parts = urlsplit(page)
    return page.startswith("/") and not page.startswith("//") and "\\" not in page and not parts.netloc
