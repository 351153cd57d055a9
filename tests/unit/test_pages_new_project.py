"""The pages that make and connect projects, as a browser without JavaScript uses them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from page_world import Visitor, World, page
from sqlalchemy import select, update

from custom_ai import web
from custom_ai.errors import LabelStudioError
from custom_ai.labelstudio.config import template
from custom_ai.state.journal import reason
from custom_ai.state.tables import ImportItem, ImportJob, Upload
from custom_ai_ui import new_project
from zips import make_zip, picture


def form(client: FlaskClient, path: Path | None = None, **fields: str) -> Any:
    """Send the form for a new project; its answer."""
    html = page(client, "/projects/new")
    token = html.partition('name="csrf_token" value="')[2].partition('"')[0]
    body: dict[str, Any] = {"csrf_token": token, "title": "Cats", "kind": "box", "classes": "cat\ndog #112233"} | fields
    if path is not None:
        body["archive"] = (io.BytesIO(path.read_bytes()), path.name)
    return client.post("/projects/new", data=body, content_type="multipart/form-data")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_zip(tmp_path / "a <b>.zip", [("1.jpg", picture())])


def job(world: World) -> ImportJob:
    with world.services.database.read() as session:
        return session.scalars(select(ImportJob)).one()


def test_the_form_says_what_it_takes(client: FlaskClient) -> None:
    html = page(client, "/projects/new")
    for text in (
        "1.1 GB",
        "20,000 images",
        "Rotated boxes",
        "One class per line",
        "Without JavaScript",
        'name="archive"',
    ):
        assert text in html
    assert 'href="/projects/new"' in page(client, "/projects")


def test_an_archive_with_the_form(client: FlaskClient, world: World, archive: Path) -> None:
    answer = form(client, archive, kind="polygon", description="mine")
    assert answer.status_code == 303
    found = job(world)
    assert (found.title, found.kind, found.archive) == ("Cats", "polygon", "a <b>.zip")
    assert found.classes == [["cat", "#d55e00"], ["dog", "#112233"]]
    assert world.bell.rung == [("import_archive", (found.id, 1))]
    html = page(client, answer.location)
    assert "a &lt;b&gt;.zip" in html and "waiting to begin" in html and "data-busy" in html
    assert 'http-equiv="refresh"' in html  # within <noscript>


def test_what_was_typed_and_sent_is_kept_when_something_is_wrong(
    client: FlaskClient, world: World, archive: Path
) -> None:
    answer = form(client, archive, title="<i>", classes="<b>cat</b>", description="kept", kind="polygon")
    assert answer.status_code == 303  # three characters are enough
    answer = form(client, archive, title="x", classes="<b>cat</b>", description="kept", kind="polygon")
    assert answer.status_code == 400
    html = answer.get_data(as_text=True)
    assert "3 to 50 characters" in html and "&lt;b&gt;cat&lt;/b&gt;" in html and "<b>cat" not in html
    assert "Complete: 1 files" in html and ">kept</textarea>" in html
    with world.services.database.read() as session:
        upload = session.scalars(select(Upload.id).order_by(Upload.id.desc())).first()
    assert f'name="upload" value="{upload}"' in html
    assert form(client, upload=str(upload)).status_code == 303


def test_a_form_without_an_archive_or_with_another_file(client: FlaskClient, world: World, tmp_path: Path) -> None:
    assert "choose a ZIP archive" in form(client).get_data(as_text=True)
    other = tmp_path / "a.zip"
    other.write_bytes(b"hello")
    assert "not a ZIP file" in form(client, other).get_data(as_text=True)
    with world.services.database.read() as session:
        assert session.scalars(select(Upload)).all() == []  # nothing is kept of it
    assert form(client, upload="77").status_code == 404


def test_every_file_that_was_left_out_is_on_the_page(
    client: FlaskClient, world: World, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = form(client, archive).location
    number = job(world).id
    with world.services.database.write() as session:
        for position in range(5):
            name = f"<script>{position}</script>.jpg"
            why = reason("the same picture is in the archive as {other}", other="<img>")
            session.add(ImportItem(job_id=number, position=position, name=name, status="left_out", reason=why))
        session.add(ImportItem(job_id=number, position=9, name=".DS_Store", status="system", reason=reason("hidden")))
        session.execute(update(ImportJob).values(status="failed", reason=reason("no room left")))
    monkeypatch.setattr(new_project, "SHOWN_AT_ONCE", 3)
    html = page(client, where)
    assert html.count("&lt;script&gt;") == 3 and "<script>0" not in html and "&lt;img&gt;" in html
    assert "no room left" in html and "Try again" in html and "No project was left behind" in html
    more = page(client, f"/imports/{number}?after=2&system=1")
    assert more.count("&lt;script&gt;") == 2 and ".DS_Store" in more
    assert "&lt;script&gt;" not in page(client, f"/imports/{number}?after={10**30}")
    world.house.visitor = Visitor(2, "bob@example.com")
    for path in (where, f"/imports/{number}/live", "/imports/999"):
        page(client, path, status=404)


def test_an_import_that_ended_well_leads_to_its_project(client: FlaskClient, world: World, archive: Path) -> None:
    where = form(client, archive).location
    world.project(1)
    with world.services.database.write() as session:
        session.execute(update(ImportJob).values(status="done", project_id=1))
    html = page(client, where)
    assert 'data-go="/projects/1"' in html and "Open the project" in html
    world.house.visitor = Visitor(2, "bob@example.com")  # sees the project in Label Studio
    page(client, where)


def test_projects_that_can_be_connected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = [
        SimpleNamespace(id=1, title="Known", label_config=template(["a"]), raw={"task_number": 1}),
        SimpleNamespace(id=2, title="<b>New</b>", label_config=template(["a"]), raw={"task_number": 1234}),
        SimpleNamespace(id=3, title="Empty", label_config="<View></View>", raw={"task_number": 0}),
        SimpleNamespace(id=4, title="Foreign", label_config=template(["a"]), raw={"task_number": 1}),
    ]
    studio = SimpleNamespace(project_page=lambda number, size: (remote, True))
    world.services = replace(world.services, label_studio=cast(Any, studio))
    world.house.visible = {1, 2, 3}
    world.project(1, "Known")
    client = web.create_app(world.services).test_client()
    html = page(client, "/projects/unconnected")
    assert "&lt;b&gt;New&lt;/b&gt;" in html and "1,234 images" in html and "upright boxes" in html
    assert "Known" not in html and "Foreign" not in html
    assert "no labelling interface yet" in html and html.count('action="/projects/') == 1
    assert "Older projects" in html and "Newer" not in html
    assert "<html" not in page(client, "/projects/unconnected?part=1")

    asked: list[int] = []

    def connect(services: object, project_id: int, *, by: str, read_now: bool) -> None:
        asked.append(project_id)
        if len(asked) > 1:
            raise LabelStudioError(what="POST", http_status=403, detail="private address")

    monkeypatch.setattr(new_project, "connect", connect)
    token = html.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert client.post("/projects/2/connect").status_code == 400
    assert client.post("/projects/2/connect", data={"csrf_token": token}).location == "/projects/2"
    assert client.post("/projects/4/connect", data={"csrf_token": token}).status_code == 404
    failed = client.post("/projects/2/connect", data={"csrf_token": token}, follow_redirects=True)
    assert "private address" in failed.get_data(as_text=True)
    assert asked == [2, 2]


def test_an_import_that_waits_for_another_says_so(client: FlaskClient, world: World, tmp_path: Path) -> None:
    words = "Another import is under way"
    numbers = []
    for name in ("one", "two"):
        assert form(client, make_zip(tmp_path / f"{name}.zip", [("1.jpg", picture())]), title=name).status_code == 303
        with world.services.database.read() as session:
            numbers.append(session.scalars(select(ImportJob.id).order_by(ImportJob.id.desc())).first())
    assert words not in page(client, f"/imports/{numbers[1]}")
    with world.services.database.write() as session:
        session.execute(update(ImportJob).where(ImportJob.id == numbers[0]).values(status="running"))
    assert words in page(client, f"/imports/{numbers[1]}")
    assert words not in page(client, f"/imports/{numbers[0]}")
