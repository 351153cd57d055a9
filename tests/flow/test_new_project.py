"""A ZIP becomes a project in a real Label Studio, whatever happens on the way."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from stack import Stack, eventually

from custom_ai.labelstudio.config import template
from custom_ai.pipeline.import_archive import import_archive
from custom_ai.pipeline.importing import request_import, show
from custom_ai.pipeline.tick import tick
from custom_ai.pipeline.uploads import begin, complete, write
from custom_ai.services import Services
from custom_ai.settings import PREFIX, load_settings
from custom_ai.wiring import build
from zips import Member, make_zip, picture

pytestmark = pytest.mark.flow
CLASSES = [{"name": "고양이 <b>", "colour": "#d55e00"}, 'dog "&"']


def members(count: int, first: int = 0) -> list[Member]:
    """Images in nested folders with Korean names, and what people leave in archives."""
    images: list[Member] = [(f"동물/{n % 3}/사진 {n}.jpg", picture(first + n)) for n in range(count)]
    return [
        *images,
        ("broken.jpg", picture(first, size=(300, 200))[:700]),
        ("readme.txt", b"hello"),
        ("copy of 0.jpg", images[0][1]),
        ("../../climbs.png", picture(first + count, "PNG")),
        ("__MACOSX/._x.jpg", b"resource fork"),
    ]


def send(stack: Stack, path: Path, piece: int = 5000) -> int:
    """Upload in small pieces, some of them twice; the upload's id."""
    data = path.read_bytes()
    upload = stack.ask("POST", "/uploads", {"name": path.name, "size": len(data)})
    offset = 0
    while offset < len(data):
        for _ in range(2):
            answer = stack.api.put(
                f"/uploads/{upload['id']}/content", params={"offset": offset}, content=data[offset : offset + piece]
            )
            assert answer.is_success, answer.text
        offset = answer.json()["offset"]
    done = stack.ask("POST", f"/uploads/{upload['id']}/complete", {"sha256": hashlib.sha256(data).hexdigest()})
    assert done["complete"]
    return int(upload["id"])


def ended(stack: Stack, import_id: int, seconds: float = 90) -> Any:
    def look() -> Any:
        found = stack.ask("GET", f"/imports/{import_id}")
        return found if found["status"] not in ("queued", "running") else None

    return eventually(look, seconds, f"import {import_id} has ended")


def images_of(stack: Stack, project_id: int) -> Counter[str]:
    """The names of the images of a project's tasks, without Label Studio's prefix."""
    names = (unquote(task["data"]["image"]).rpartition("/")[2] for task in stack.studio.tasks(project_id))
    return Counter(name.partition("-")[2] for name in names)


def test_a_zip_becomes_a_connected_project(stack: Stack, tmp_path: Path) -> None:
    upload = send(stack, make_zip(tmp_path / "동물.zip", members(30)))
    body = {"upload": upload, "title": "동물 & co", "description": "<i>x</i>", "kind": "polygon", "classes": CLASSES}
    first = stack.ask("POST", "/imports", body)
    assert stack.ask("POST", "/imports", body)["id"] == first["id"]  # a double click
    found = ended(stack, first["id"])

    assert (found["status"], found["imported"], found["left_out"], found["system_files"]) == ("done", 31, 3, 1)
    assert found["looked_at"] == found["files"] == 35
    reasons = {
        one["name"]: one["reason"] for one in stack.ask("GET", f"/imports/{found['id']}/left-out?system=1")["files"]
    }
    assert set(reasons) == {"broken.jpg", "readme.txt", "copy of 0.jpg", "__MACOSX/._x.jpg"}
    assert "동물/0/사진 0.jpg" in reasons["copy of 0.jpg"]

    remote = stack.studio.project(found["project"])
    assert (remote.title, remote.raw["description"]) == ("동물 & co", "<i>x</i>")
    names = images_of(stack, remote.id)
    assert len(names) == 31 and set(names.values()) == {1}
    assert sum(name.startswith("동물__1__사진_") for name in names) == 10
    mine = stack.project(remote.id)
    assert mine["connected"] and mine["kind"] == "polygon" and mine["classes"] == ["고양이 <b>", 'dog "&"']
    assert mine["tasks"]["total"] == 31
    assert [one.url for one in stack.studio.ml_backends(remote.id)] == [stack.url]
    stack.ask("GET", f"/uploads/{upload}", expect=404)  # used up
    assert not list((stack.folder / "uploads").glob("*.zip"))


def test_an_archive_without_images_leaves_no_project_behind(stack: Stack, tmp_path: Path) -> None:
    before = {one.id for one in stack.studio.projects()}
    upload = send(stack, make_zip(tmp_path / "texts.zip", [("a.txt", b"a"), ("b.jpg", b"b")]))
    body = {"upload": upload, "title": "Nothing in it", "classes": ["x"]}
    found = ended(stack, stack.ask("POST", "/imports", body)["id"])
    assert found["status"] == "failed" and "none of its files is an image" in found["reason"]
    assert found["project"] is None and {one.id for one in stack.studio.projects()} == before
    assert found["can_go_on"]
    assert stack.api.delete(f"/uploads/{upload}").is_success
    assert not stack.ask("GET", f"/imports/{found['id']}")["can_go_on"]


def test_kind_of_projects_that_can_be_connected(stack: Stack) -> None:
    ids = {
        "plain": stack.new_project(template(["a"]), "One click"),
        "empty": stack.new_project("", "No config yet"),
        "words": stack.new_project('<View><Text name="t" value="$t"/></View>', "Nothing to draw"),
    }
    listed = {one["id"]: one for one in stack.ask("GET", "/label-studio/projects")["projects"]}
    assert listed[ids["plain"]]["kinds"] == ["box"] and not listed[ids["plain"]]["problem"]
    assert listed[ids["empty"]]["problem"] and listed[ids["words"]]["problem"]
    stack.ask("POST", f"/projects/{ids['plain']}/connect")
    assert ids["plain"] not in {one["id"] for one in stack.ask("GET", "/label-studio/projects")["projects"]}
    assert stack.ask("GET", "/label-studio/projects?page=999") == {"projects": [], "page": 999, "more": False}


DIES = """
import os, sys
from custom_ai.pipeline import import_archive as job
from custom_ai.wiring import services_of_this_process

import_id, attempt, where = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
services, sent = services_of_this_process(), job.send_images
batches = [0]

def die_around_sending(*arguments):
    if where == "noted" and batches[0] == 1:
        os._exit(9)
    answer = sent(*arguments)
    batches[0] += 1
    if where == "sent" and batches[0] == 2:
        os._exit(9)
    return answer

def die_after_making(*arguments):
    type(services.label_studio).made(services.label_studio, *arguments)
    os._exit(9)

job.BATCH_FILES, job.send_images = 6, die_around_sending
if where == "made":
    type(services.label_studio).made = type(services.label_studio).create_project
    services.label_studio.create_project = die_after_making
job.import_archive(services, import_id, attempt)
"""


@pytest.mark.parametrize("where", ["made", "noted", "sent"])
def test_killed_anywhere_and_run_again_no_image_is_there_twice(stack: Stack, tmp_path: Path, where: str) -> None:
    environment = stack.environment | {
        f"{PREFIX}STATE_DIR": str(tmp_path / "state"),  # its own installation, so that nobody else takes the job
        f"{PREFIX}REDIS_URL": "redis://127.0.0.1:9",
        f"{PREFIX}LOST_AFTER_S": "0.01",
    }
    services = services_like(environment)
    try:
        path = make_zip(tmp_path / "a.zip", members(20, first=100))
        upload_id = begin(services, by="ann", name="a.zip", size=path.stat().st_size)["id"]
        with path.open("rb") as file:
            write(services, upload_id, by="ann", offset=0, read=file.read)
        complete(services, upload_id, by="ann")
        classes = [("cat", "")]
        import_id = request_import(services, by="ann", upload_id=upload_id, title=f"Killed: {where}", classes=classes)
        died = subprocess.run([sys.executable, "-c", DIES, str(import_id), "1", where], env=environment, timeout=100)
        assert died.returncode == 9
        half = show(services, import_id)
        assert half["status"] == "running" and half["imported"] == (0 if where == "made" else 6)

        tick(services)  # finds that it died
        import_archive(services, import_id, 2)
        found = show(services, import_id)
        assert (found["status"], found["imported"], found["left_out"]) == ("done", 21, 3)
        names = images_of(stack, found["project"])
        assert len(names) == 21 and set(names.values()) == {1}
        assert [one.title for one in stack.studio.projects()].count(f"Killed: {where}") == 1
    finally:
        services.database.dispose()
        services.label_studio.session.close()


def services_like(environment: dict[str, str]) -> Services:
    """The services of a process with this environment, in our own process."""
    names = {PREFIX + name.upper(): name for name in ("state_dir", "redis_url", "lost_after_s", "public_url")}
    names |= {PREFIX + name.upper(): name for name in ("label_studio_url", "label_studio_api_key")}
    services = build(load_settings(**{name: environment[key] for key, name in names.items()}))
    services.database.migrate()
    return services
