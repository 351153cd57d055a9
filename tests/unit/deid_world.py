"""A Label Studio with uploaded files that answers as 1.23 does, and something that hides, for tests of the swap."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, ImageDraw

from custom_ai.errors import ImageError
from custom_ai.plugins import Area, Hidden
from custom_ai.services import Services
from custom_ai.state.tables import Project, now
from custom_ai.vault import new_key
from stand_in import StandIn
from support import services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/><Label value="dog"/></RectangleLabels></View>'
)
FACE: Area = (4.0, 4.0, 12.0, 12.0, 0.5)


def picture(number: int) -> bytes:
    """A PNG of its own for each number, 40 x 30."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (number % 256, 200, number // 256)).save(buffer, "PNG")
    return buffer.getvalue()


class Hide:
    """Paints areas black: FACE when it looks by itself. Files that begin with "broken" cannot be read."""

    def __init__(self) -> None:
        self.looked = 0

    def __call__(self, data: bytes, name: str) -> Hidden:
        self.looked += 1
        return self._paint(data, name, [FACE])

    def again(self, data: bytes, name: str, found: Sequence[Area], drawn: Sequence[Area]) -> Hidden:
        return self._paint(data, name, [*found, *drawn])

    def _paint(self, data: bytes, name: str, areas: Sequence[Area]) -> Hidden:
        if data.startswith(b"broken"):
            raise ImageError(image=name, why="it cannot be read")
        image = Image.open(io.BytesIO(data)).convert("RGB")
        for x1, y1, x2, y2, _ in areas:
            ImageDraw.Draw(image).rectangle((x1, y1, x2, y2), fill="black")
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        content = buffer.getvalue()
        return Hidden(content, areas, image.width, image.height, hashlib.sha256(content).hexdigest())


class Studio(StandIn):
    """Tasks with uploaded files. ``media`` is its disk, from which it removes nothing."""

    def __init__(self, media: Path) -> None:
        super().__init__(range(0))
        self.media = media
        self.data: dict[int, dict[str, Any]] = {}
        self.upload_of: dict[int, int | None] = {}
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.uploads: dict[int, str] = {}
        self.listed: set[int] = set()
        """Uploads of our own user: it lists no others."""
        self.mangles = False
        """Whether it stores other bytes than it was sent."""

    def add(self, task: int, content: bytes, *, share: int | None = None, **more: Any) -> None:
        """A task whose file somebody else has uploaded; ``share``: the same file as that task."""
        number = self._store(f"{task}.png", content) if share is None else self.upload_of[share] or 0
        self.upload_of[task] = number
        self.data[task] = {"image": f"/data/{self.uploads[number]}", **more}
        self.annotations[task] = [{"id": 900 + task, "result": [task]}]

    def shown(self, task: int) -> bytes | None:
        """What a person gets to see in a task; None: nothing."""
        return self.served(self.data[task]["image"])

    def served(self, uri: str) -> bytes | None:
        name = uri.removeprefix("/data/")
        return (self.media / name).read_bytes() if name in self.uploads.values() else None

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes] | None:
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path
        if path.startswith("/data/"):
            content = self.served(unquote(path))
            return (500, b"{}") if content is None else (200, content)
        if path == "/api/projects/1/import":
            assert asked == {"commit_to_project": "false"}
            head, _, rest = body.partition(b"\r\n\r\n")
            boundary = head.partition(b"\r\n")[0]
            (name,) = re.findall(rb'filename="([^"]+)"', head)
            content = rest[: rest.rindex(b"\r\n" + boundary)]
            number = self._store(name.decode(), b"other" if self.mangles else content)
            self.listed.add(number)
            return 201, json.dumps({"file_upload_ids": [number]}).encode()
        if found := re.fullmatch(r"/api/import/file-upload/(\d+)", path):
            return 200, json.dumps({"id": int(found[1]), "file": self.uploads[int(found[1])]}).encode()
        if path == "/api/projects/1/file-uploads" and method == "GET":
            rows = [{"id": one, "file": name} for one, name in self.uploads.items() if one in self.listed]
            return 200, json.dumps(rows).encode()
        if path == "/api/projects/1/file-uploads" and method == "DELETE":
            numbers = json.loads(body or b"{}").get("file_upload_ids", list(self.uploads))
            for number in numbers:
                self.uploads.pop(number, None)
                self.upload_of = {task: None if one == number else one for task, one in self.upload_of.items()}
            return 200, json.dumps({"deleted": len(numbers)}).encode()
        if found := re.fullmatch(r"/api/tasks/(\d+)/", path):
            task = int(found[1])
            if task not in self.data:
                return 404, b"{}"
            change = json.loads(body)
            self.data[task] = change.get("data", self.data[task])
            self.upload_of[task] = change.get("file_upload", self.upload_of[task])
            return 200, json.dumps({"id": task, "file_upload": self.upload_of[task]}).encode()
        if path == "/api/tasks":
            return 200, json.dumps({"tasks": self._rows(asked)}).encode()
        if path.endswith("/import/predictions") or path.startswith("/api/predictions"):
            return super().answer(method, target, body)
        row = {"id": 1, "title": "Cats", "label_config": CONFIG, "task_number": len(self.data)}
        return 200, json.dumps(row).encode()

    def _rows(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        wanted = sorted(self.data)
        for item in json.loads(asked["query"])["filters"]["items"]:
            column, operator, value = item["filter"].removeprefix("filter:tasks:"), item["operator"], item["value"]
            if column == "id" and operator == "greater":
                wanted = [one for one in wanted if one > value]
            elif column == "id":
                wanted = [one for one in wanted if one == value]
            elif column.startswith("data."):
                wanted = [one for one in wanted if self.data[one].get(column.removeprefix("data.")) == value]
        return [
            {
                "id": one,
                "data": self.data[one],
                "annotations": [],
                "predictions": [],
                "updated_at": "2026-01-01T00:00:00.000000Z",
            }
            for one in wanted[: int(asked["page_size"])]
        ]

    def _store(self, name: str, content: bytes) -> int:
        number = next(self._ids)
        file = f"upload/1/{number:08x}-{name}"
        (self.media / "upload" / "1").mkdir(parents=True, exist_ok=True)
        (self.media / file).write_bytes(content)
        self.uploads[number] = file
        return number


_MADE: list[Services] = []


def close_all() -> None:
    """Give back what ``make_hiding`` has opened."""
    while _MADE:
        services = _MADE.pop()
        services.label_studio.session.close()
        services.database.dispose()


def make_hiding(folder: Path, studio: Studio, *, originals: str = "destroy", **settings: Any) -> Services:
    """Services with project 1, which has hidden nothing yet, and ``Hide`` as the plug-in."""
    services = services_in(folder, studio.url, **{"vault_key": new_key(), **settings})
    hide = Hide()
    services = replace(services, hider=lambda name: hide)
    _MADE.append(services)
    with services.database.write() as session:
        session.add(
            Project(id=1, title="Cats", label_config=CONFIG, available_classes=["cat"], connected_at=now(),
                    originals=originals)
        )  # fmt: skip
    return services
