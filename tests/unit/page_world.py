"""A small world for the pages: real services on SQLite, a bell that records, and people who sign in.

Only Label Studio is missing: who is asking and what they may see is said by ``House``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from flask import Flask
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect
from PIL import Image
from sqlalchemy import select

from custom_ai import web
from custom_ai.errors import NotFound, Unauthorized
from custom_ai.pipeline.vote import open_selection, promote
from custom_ai.services import Services
from custom_ai.settings import load_settings
from custom_ai.state.database import Database
from custom_ai.state.journal import notify, reason
from custom_ai.state.tables import (
    AutoLabelItem,
    AutoLabelJob,
    Candidate,
    Project,
    Run,
    SelectionImage,
    Task,
    now,
)
from custom_ai.store import FileStore

CLASSES = ["cup", "<b>fork</b>", "spoon"]
TITLES = ["Small and quick", "Small, other start", "Larger pictures", "Frozen start"]


@dataclass
class Bell:
    """Records what was rung."""

    rung: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def ring(self, job: str, *ids: int, delay_s: float = 0.0) -> None:
        self.rung.append((job, ids))

    def workers(self, job: str) -> int:
        return 1

    def waiting(self, job: str, *ids: int) -> bool:
        return (job, ids) in self.rung


@dataclass(frozen=True)
class Visitor:
    id: int
    email: str
    how: str = "token"


@dataclass
class House:
    """Stands where ``custom_ai.web.sign_in.SignIn`` stands."""

    visitor: Visitor | None = Visitor(1, "ann@example.com")
    visible: set[int] = field(default_factory=lambda: {1})
    extended: bool = False

    def user(self) -> Visitor:
        if self.visitor is None:
            raise Unauthorized(url="http://studio.example:8080")
        return self.visitor

    def sees(self, project_id: int) -> Visitor:
        visitor = self.user()
        if project_id not in self.visible:
            raise NotFound(what="project", id=project_id)
        return visitor

    def sees_which(self, project_ids: Iterable[int]) -> list[int]:
        self.user()
        return [one for one in project_ids if one in self.visible]

    def protect(self, csrf: CSRFProtect) -> None:
        csrf.protect()

    def present(self) -> Visitor | None:
        return self.visitor

    def sessions(self) -> list[Any]:
        return []

    def arrive(self, statement: str) -> str:
        raise Unauthorized(url="http://studio.example:8080")


@dataclass
class World:
    services: Services
    bell: Bell
    house: House

    def app(self) -> Flask:
        """The whole web process. Its SignIn must have been replaced by our house."""
        return web.create_app(self.services)

    def project(self, id: int = 1, title: str = "Kitchen", **values: Any) -> None:
        with self.services.database.write() as session:
            row = Project(id=id, title=title, available_classes=list(CLASSES), connected_at=now(), **values)
            session.add(row)

    def tasks(self, labels: list[int], *, untouched: int = 3, project_id: int = 1) -> None:
        """One task per class with that many boxes, and some untouched ones."""
        with self.services.database.write() as session:
            for number, count in enumerate(labels, start=1):
                boxes = [[CLASSES[number - 1], 0.1, 0.1, 0.5, 0.5, False]] * count
                session.add(_task(project_id, number, touched=True, boxes=boxes))
            for number in range(100, 100 + untouched):
                session.add(_task(project_id, number, touched=False, boxes=None))

    def run(self, status: str = "done", *, project_id: int = 1, **values: Any) -> int:
        """A run with four candidates that are as far as ``status`` says."""
        with self.services.database.write() as session:
            run = Run(
                project_id=project_id,
                status=status,
                trigger="person",
                requested_by="ann@example.com",
                kind="box",
                classes=list(CLASSES),
                labels=36,
                **values,
            )
            session.add(run)
            session.flush()
            for place, title in enumerate(TITLES):
                session.add(_candidate(run, place, title, status))
            return run.id

    def candidates(self, run_id: int) -> list[Candidate]:
        with self.services.database.read() as session:
            return list(session.scalars(select(Candidate).where(Candidate.run_id == run_id)))

    def selection(self, run_id: int, images: list[tuple[bytes, int, int]]) -> int:
        """An open vote; candidate number n of each image draws n boxes."""
        with self.services.database.write() as session:
            run = session.get_one(Run, run_id)
            rows = []
            for number, (content, width, height) in enumerate(images):
                seen = {
                    str(one.id): [_box(box, place) for box in range(place + 1)]
                    for place, one in enumerate(run.candidates)
                }
                rows.append(
                    SelectionImage(
                        task_id=100 + number,
                        sha256=self.services.store.put_bytes(content),
                        width=width,
                        height=height,
                        disagreement=0.5,
                        predictions=seen,
                    )
                )
            return open_selection(session, run, run.candidates, rows).id

    def promote(self, candidate_id: int) -> None:
        with self.services.database.write() as session:
            promote(session, session.get_one(Candidate, candidate_id), by="ann@example.com", how="person")

    def job(self, candidate_id: int, *, waiting: int, done: int, status: str = "running") -> int:
        with self.services.database.write() as session:
            job = AutoLabelJob(
                project_id=1, candidate_id=candidate_id, trigger="person", requested_by="ann", status=status
            )
            session.add(job)
            session.flush()
            for number in range(waiting + done):
                state = "done" if number < done else "waiting"
                session.add(AutoLabelItem(job_id=job.id, task_id=100 + number, status=state))
            return job.id

    def tell(self, template: str, *, failure: bool = False, **params: Any) -> None:
        with self.services.database.write() as session:
            notify(session, 1, "test", template, failure=failure, **params)

    def problem(self, template: str, **params: object) -> None:
        with self.services.database.write() as session:
            session.get_one(Project, 1).problem = reason(template, **params)


def make_world(folder: Path) -> World:
    """Services with a new database; neither a Label Studio nor a queue is asked."""
    settings = load_settings(state_dir=folder, label_studio_url="http://studio.example:8080")
    database = Database(f"sqlite:///{folder / 'world.db'}")
    database.migrate()
    bell = Bell()
    services = Services(
        settings=settings,
        database=database,
        store=FileStore(folder / "files"),
        bell=bell,
        label_studio=cast(Any, None),
        trainer=cast(Any, None),
        models=cast(Any, None),
    )
    return World(services, bell, House())


def plain_images(count: int) -> list[tuple[bytes, int, int]]:
    """Different grey JPEGs, as (content, width, height)."""
    made = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.new("L", (64, 48), 40 * number % 256).save(buffer, "JPEG")
        made.append((buffer.getvalue(), 64, 48))
    return made


def _task(project_id: int, number: int, *, touched: bool, boxes: list[Any] | None) -> Task:
    return Task(project_id=project_id, task_id=number, image="/data/x.jpg", touched=touched, boxes=boxes, updated_at="")


def _box(number: int, place: int) -> list[object]:
    x, y = 0.08 + 0.24 * number, 0.12 + 0.05 * place
    return [CLASSES[number % len(CLASSES)], x, y, x + 0.2, y + 0.4 + 0.02 * number, 0.9 - 0.1 * number]


def _candidate(run: Run, place: int, title: str, status: str) -> Candidate:
    one = Candidate(
        run_id=run.id, project_id=run.project_id, place=place, title=title, recipe={}, classes=list(CLASSES)
    )
    if status == "done" or (status == "running" and place == 0):
        one.status, one.fraction, one.map50 = "done", 1.0, 0.81 - 0.1 * place
        one.seconds, one.image_size, one.base_weights = 171.4, 512, "ImageNet backbone"
        one.scores = {
            "map50": one.map50,
            "per_class": {
                name: {"ap50": 0.7, "precision": 0.8, "recall": 0.6, "threshold": 0.31, "boxes": 12} for name in CLASSES
            },
        }
    elif status == "running" and place == 1:
        one.status, one.stage, one.fraction = "running", "training", 0.45
        one.seconds_left = timedelta(minutes=2).total_seconds()
    elif status in ("failed", "cancelled"):
        one.status = "cancelled"
    return one


def page(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path, follow_redirects=True)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def post(client: FlaskClient, path: str, on: str, **fields: object) -> str:
    """Send a form as the page ``on`` would, and return the page that follows."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, on))
    assert token is not None
    answer = client.post(path, data={"csrf_token": token[1], **fields}, follow_redirects=True)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.history, "expected a redirect after the POST"
    return answer.get_data(as_text=True)


def visible(html: str) -> str:
    """The text of a page, without tags and with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def refused(client: FlaskClient, path: str, on: str, **fields: object) -> str:
    """Send a form as the page ``on`` would; the page that answers when it cannot be taken (no redirect, 4xx)."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, on))
    assert token is not None
    answer = client.post(path, data={"csrf_token": token[1], **fields})
    assert 400 <= answer.status_code < 500, answer.get_data(as_text=True)
    html = answer.get_data(as_text=True)
    assert f'href="{on.partition("?")[0]}?' in html, "the choice of a language leads back to the page of the form"
    return html
