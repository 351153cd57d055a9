"""Choosing mails, and the way out of them without signing in; the picture in them; the command line."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from fake_label_studio import Reply, serving
from flask.testing import FlaskClient
from page_world import World, page, post
from PIL import Image
from report_world import make_report_world
from sqlalchemy import select
from typer.testing import CliRunner

from custom_ai import wiring
from custom_ai.cli import app as command_line
from custom_ai.cli import doctor
from custom_ai.errors import LinkInvalid, SettingsError
from custom_ai.pipeline import mail_wishes
from custom_ai.pipeline.notice_picture import picture_about
from custom_ai.state.tables import AuditEntry, Candidate, Notification, Project

ANN = "ann@example.com"


def wishes(world: World) -> dict[str, object]:
    return mail_wishes.wishes_of(world.services, world.house.visitor.email if world.house.visitor else "")


def test_people_choose_language_and_projects(client: FlaskClient, world: World) -> None:
    world.project(1, "Kitchen")
    world.project(2, "Secret")
    html = page(client, "/mails")
    assert "Kitchen" in html
    assert "Secret" not in html
    assert "No mail server is set up" in html
    post(client, "/mails", "/mails", language="ko")
    assert wishes(world) == {"language": "ko", "projects": {}}, "who only chooses a language loses no mails"
    html = post(client, "/mails", "/mails", language="ko", **{"project-1": "everything", "project-2": "everything"})
    assert wishes(world)["projects"] == {1: True}, "a project that one does not see cannot be chosen"
    assert re.search(r'value="everything" selected', html)
    post(client, "/mails", "/mails", language="en", **{"project-1": "nothing"})
    assert wishes(world) == {"language": "en", "projects": {1: False}}
    post(client, "/mails", "/mails", language="en", **{"project-1": "own"})
    assert wishes(world)["projects"] == {}


def test_programs_choose_too(client: FlaskClient, world: World) -> None:
    world.project(1, "Kitchen")
    world.project(2, "Secret")
    headers = {"X-CSRFToken": client.get("/api/me").get_json()["csrf_token"]}

    def put(body: object) -> int:
        return client.put("/api/notifications/mail", json=body, headers=headers).status_code

    assert put({"language": "ko", "projects": {"1": True}}) == 200
    assert client.get("/api/notifications/mail").get_json() == {"language": "ko", "projects": {"1": True}}
    assert put({"projects": {"1": None}}) == 200
    assert wishes(world)["projects"] == {}
    assert put({"projects": {"1": True}}) == 200
    assert put({"projects": {"2": True}}) == 404
    for bad in ({"language": "xx"}, {"projects": {"x": True}}, {"projects": {"1": 1}}, {"projects": [1]}):
        assert put(bad) == 400, bad
    assert wishes(world) == {"language": "ko", "projects": {1: True}}


def test_unsubscribing_needs_no_sign_in_and_asks_first(client: FlaskClient, world: World) -> None:
    world.project(1, "<Kitchen>")
    world.house.visitor = None
    path = mail_wishes.unsubscribe_link(world.services, ANN, 1).removeprefix(world.services.settings.public_url)
    html = client.get(path).get_data(as_text=True)
    assert "&lt;Kitchen&gt;" in html
    assert mail_wishes.still_wanted(world.services, ANN, 1)
    answer = client.post(path, data={"List-Unsubscribe": "One-Click"})  # as RFC 8058 has it: no cookie, no CSRF token
    assert answer.status_code == 200
    assert not mail_wishes.still_wanted(world.services, ANN, 1)
    assert client.post(path).status_code == 200
    for method in (client.get, client.post):
        assert method(path[:-3] + "AAA").status_code == 403
    with pytest.raises(LinkInvalid):
        mail_wishes.unsubscribe(world.services, "AAA")
    with world.services.database.read() as session:
        assert ANN in session.scalars(select(AuditEntry.actor).where(AuditEntry.action == "mail.wish")).all()


def test_custom_ai_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    with serving(lambda call: Reply(200 if "good" in call.path else 404, b"")) as receiver:
        values = {
            "STATE_DIR": tmp_path, "LABEL_STUDIO_API_KEY": "0" * 40, "WEBHOOK_SECRET": "s" * 40,
            "WEBHOOK_URLS": f"{receiver.url}/good?key=hidden",
        }  # fmt: skip
        for name, value in values.items():
            monkeypatch.setenv(f"CUSTOM_AI_{name}", str(value))
        monkeypatch.setenv("LANG", "C")
        done = run.invoke(command_line, ["notify", "--test"])
        assert done.exit_code == 0, done.output
        assert "webhook 1" in done.output
        assert "hidden" not in done.output
        assert len(receiver.calls) == 1
        monkeypatch.setenv("CUSTOM_AI_WEBHOOK_URLS", f"{receiver.url}/bad")
        done = run.invoke(command_line, ["notify", "--test"])
        assert done.exit_code == 1
        assert "HTTP 404" in done.output
    services = wiring.build(wiring.settings_of_this_process(), need_queue=False)
    with services.database.write() as session:
        session.add(Project(id=7, title="x", label_config="", available_classes=[]))
    assert "Notifier" in run.invoke(command_line, ["notify"]).output
    assert "notifiers: apprise, mail, webhook (set up: apprise, webhook;" in doctor._plugins(services, str)
    monkeypatch.setenv("CUSTOM_AI_NOTIFIERS", "mail,pigeon")
    services = wiring.build(wiring.settings_of_this_process(), need_queue=False)
    with pytest.raises(SettingsError, match="pigeon"):
        doctor._plugins(services, str)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_a_projects_own_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_AI_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CUSTOM_AI_LABEL_STUDIO_API_KEY", "0" * 40)
    run = CliRunner()
    run.invoke(command_line, ["notify"])
    services = wiring.build(wiring.settings_of_this_process(), need_queue=False)
    with services.database.write() as session:
        session.add(Project(id=7, title="x", label_config="", available_classes=[]))
    done = run.invoke(command_line, ["notify", "--project", "7", "--add", "json://127.0.0.1/secret-path"])
    assert done.exit_code == 0, done.output
    assert "secret-path" not in done.output
    name = done.output.split()[0]
    assert run.invoke(command_line, ["notify", "--project", "7", "--add", "nonsense://x"]).exit_code == 1
    assert run.invoke(command_line, ["notify", "--project", "8"]).exit_code == 1
    assert run.invoke(command_line, ["notify", "--project", "7", "--remove", name]).output == ""
    with services.database.read() as session:
        assert session.get_one(Project, 7).notify_urls == []


def test_the_picture_shows_what_the_model_sees(tmp_path: Path) -> None:
    world, run = make_report_world(tmp_path)

    def about(event: str, subject: str) -> bytes | None:
        return picture_about(world.services, Notification(project_id=1, event=event, subject=subject, message={}))

    content = about("run_done", f"run {run}")
    assert content is not None
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (96, 64)
        colours = {image.getpixel((x, 6)) for x in range(10, 38)}  # the upper side of a cup, in JPEG's colours
    assert any(red > 150 and green < 140 and blue < 90 for red, green, blue in colours), colours
    assert about("run_failed", f"run {run}") is None
    assert about("run_done", "run 999") is None
    assert about("run_done", "") is None
    world.services.store.path(_unseen(world)).write_bytes(b"no JSON")
    assert about("run_done", f"run {run}") is None, "without the picture rather than without the mail"


def _unseen(world: World) -> str:
    with world.services.database.read() as session:
        found = session.scalar(select(Candidate.unseen_sha256).where(Candidate.unseen_sha256.is_not(None)))
    assert found is not None
    return found
