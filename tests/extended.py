"""A Label Studio with our extension in it, and a Custom AI that shares its secret, under another host name."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stack import Stack

from custom_ai.demo.label_studio_server import LabelStudioServer


def copy_of(server: LabelStudioServer, folder: Path) -> Path:
    """The running server's users in a folder for another one: migrations, which take 25 s, are done already."""
    folder.mkdir(parents=True)
    shutil.copy(server.data_dir / "credentials.json", folder)
    with (
        closing(sqlite3.connect(server.data_dir / "label_studio.sqlite3", timeout=30)) as theirs,
        closing(sqlite3.connect(folder / "label_studio.sqlite3")) as ours,
    ):
        theirs.backup(ours)
    return folder


class Extended:
    """Browsers find Label Studio at 127.0.0.1 and Custom AI at localhost, so that no cookie reaches both."""

    def __init__(self, executable: Path, data: Path, state: Path, port: int) -> None:
        self.public_url = f"http://localhost:{port}"
        self.state, self._port = state, port
        self.secret = secrets.token_hex(32)
        self.label_studio = LabelStudioServer(
            executable,
            data,
            environment={
                "DJANGO_SETTINGS_MODULE": "custom_ai_label_studio.settings",
                "CUSTOM_AI_URL": f"http://127.0.0.1:{port}",
                "CUSTOM_AI_PUBLIC_URL": self.public_url,
                "CUSTOM_AI_EXTENSION_SECRET": self.secret,
            },
        )

    def __enter__(self) -> Self:
        self.label_studio.start()
        self.stack = Stack(
            self.label_studio,
            self.state,
            port=self._port,
            public_url=self.public_url,
            backend_url=f"http://127.0.0.1:{self._port}",
            extension_secret=self.secret,
        )
        try:
            self.stack.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()
        self.label_studio.stop()

    def form(self, action: str, project_id: int) -> list[dict[str, Any]]:
        """The fields of an action's dialog, as the Data Manager gets them when it opens."""
        with self.label_studio.signed_in() as browser:
            answer = browser.get(f"/api/dm/actions/{action}/form", params={"project": project_id})
        assert answer.status_code == 200, answer.text
        return [field for row in answer.json() for field in row["fields"]]

    def act(self, action: str, project_id: int, tasks: list[int], form: Mapping[str, Any] | None = None) -> Any:
        """What an action answers for these tasks: the status and the JSON."""
        chosen = {"selectedItems": {"all": False, "included": tasks}}
        with self.label_studio.signed_in() as browser:
            path = f"/api/dm/actions?id={action}&project={project_id}"
            answer = browser.post(path, json=chosen | dict(form or {}))
        return answer.status_code, answer.json()
