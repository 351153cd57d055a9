"""The import job against a Label Studio that refuses, stays away, or answers twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select

from custom_ai import wiring
from custom_ai.archive import Picture
from custom_ai.errors import BadInput, ImageError, LabelStudioError, LabelStudioMissing, LabelStudioUnreachable
from custom_ai.labelstudio.uploading import file_name, mark_of
from custom_ai.pipeline import import_archive as module
from custom_ai.pipeline import uploads
from custom_ai.pipeline.import_archive import DUPLICATE, OVER_THE_LIMIT, import_archive
from custom_ai.pipeline.import_end import drop_leftovers
from custom_ai.pipeline.importing import cancel_import, classes_in, import_again, left_out, request_import, show
from custom_ai.plugins import FACES, Hidden
from custom_ai.services import Services
from custom_ai.state.tables import ImportItem, Project, now
from support import services_in
from zips import Member, make_zip, picture


@dataclass
class Studio:
    """What the import asks of Label Studio."""

    projects_made: dict[int, Any] = field(default_factory=dict)
    tasks: list[tuple[int, str, int]] = field(default_factory=list)
    """(task id, file name, annotations)"""
    batches: list[int] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    """HTTP status by a part of the name."""
    lose_answers: int = 0
    connected: list[int] = field(default_factory=list)
    cannot_connect: bool = False
    away: bool = False
    """Does not answer, from the first image on."""

    def create_project(self, title: str, description: str, label_config: str) -> Any:
        number = 70 + len(self.projects_made)
        self.projects_made[number] = SimpleNamespace(id=number, label_config=label_config, title=title)
        return self.projects_made[number]

    def projects(self) -> list[Any]:
        return list(self.projects_made.values())

    def project(self, number: int) -> Any:
        if self.away:
            raise LabelStudioUnreachable(url="x", detail="refused")
        made = self.projects_made[number]
        return SimpleNamespace(label_config=made.label_config, raw={"task_number": len(self.tasks)})

    def delete_project(self, number: int) -> None:
        del self.projects_made[number]

    def delete_task(self, number: int) -> None:
        self.tasks = [task for task in self.tasks if task[0] != number]

    def send(self, _studio: object, project: int, images: Sequence[tuple[str, bytes]]) -> dict[str, int]:
        assert project in self.projects_made
        if self.away:
            raise LabelStudioUnreachable(url="x", detail="refused")
        self.batches.append(len(images))
        for part, status in self.refuse.items():
            if any(part in name for name, _ in images):
                raise LabelStudioError(what="POST", http_status=status, detail="no")
        for name, _ in images:
            self.tasks.append((len(self.tasks) + 1, name, 0))
        if self.lose_answers:
            self.lose_answers -= 1
            raise LabelStudioUnreachable(url="x", detail="timeout")
        return {_mark(name): number for number, name, _ in self.tasks}

    def marked(self, _studio: object, project: int) -> dict[str, list[dict[str, int]]]:
        if project not in self.projects_made:
            raise LabelStudioMissing(what="project", id=project)
        found: dict[str, list[dict[str, int]]] = {}
        for number, name, count in self.tasks:
            found.setdefault(_mark(name), []).append({"id": number, "total_annotations": count})
        return found

    def connect(self, services: Services, project_id: int, *, by: str, kind: str) -> None:
        if self.cannot_connect:
            raise LabelStudioError(what="POST /api/ml/", http_status=403, detail="private address")
        with services.database.write() as session:
            session.merge(Project(id=project_id, connected_at=now()))
        self.connected.append(project_id)


def _mark(name: str) -> str:
    return name.rpartition("-")[2].partition(".")[0]


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    made = Studio()
    monkeypatch.setattr(module, "send_images", made.send)
    monkeypatch.setattr(module, "marked_tasks", made.marked)
    monkeypatch.setattr(module, "connect", made.connect)
    monkeypatch.setattr(module, "BATCH_FILES", 4)
    monkeypatch.setattr(module, "SMALLEST_BATCH", 1)
    return made


@pytest.fixture
def services(tmp_path: Path, studio: Studio) -> Iterator[Services]:
    made = services_in(tmp_path, import_max_images=10)
    yield replace(made, label_studio=cast(Any, studio))
    made.database.dispose()


def asked(
    services: Services, folder: Path, members: list[Member], title: str = "Animals", deidentify: bool = False
) -> int:
    path = make_zip(folder / "a.zip", members)
    upload = uploads.begin(services, by="ann", name="a.zip", size=path.stat().st_size)["id"]
    with path.open("rb") as file:
        uploads.write(services, upload, by="ann", offset=0, read=file.read)
    uploads.complete(services, upload, by="ann")
    return request_import(services, by="ann", upload_id=upload, title=title, classes=[("a", "")], deidentify=deidentify)


def pictures(count: int) -> list[Member]:
    return [(f"{n}.jpg", picture(n)) for n in range(count)]


def why(services: Services, import_id: int) -> dict[str, str]:
    return {one["name"]: one["reason"] for one in left_out(services, import_id)}


def test_everything_in_batches(services: Services, studio: Studio, tmp_path: Path) -> None:
    number = asked(services, tmp_path, [*pictures(9), ("again.jpg", picture(3))])
    import_archive(services, number, 1)
    found = show(services, number)
    assert (found["status"], found["imported"], found["left_out"]) == ("done", 9, 1)
    assert studio.batches == [4, 4, 1]
    assert found["deidentify"] is None
    assert why(services, number) == {"again.jpg": DUPLICATE.format(other="3.jpg")}
    assert studio.connected == [70] == [found["project"]]
    assert "<!-- custom-ai import " in studio.projects_made[70].label_config
    import_archive(services, number, 1)  # rung for twice
    assert len(studio.tasks) == 9


def hiding(services: Services, sent: list[bytes]) -> Services:
    """Services whose plug-in sees no sense in 2.jpg, and two faces, one of them small, in every other image."""

    def hide(data: bytes, name: str) -> Hidden:
        if name == "2.jpg":
            raise ImageError(image=name, why="it cannot be checked")
        sent.append(data)
        areas = [(1.0, 1.0, 9.0, 9.0, 0.9), (10.0, 1.0, 60.0, 50.0, 0.99)]
        return Hidden(b"hidden " + name.encode(), areas, 96, 64, "f" * 64)

    return replace(services, hider=lambda name: hide)


def test_faces_are_hidden_before_label_studio_gets_anything(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents: list[bytes] = []
    monkeypatch.setattr(
        module,
        "send_images",
        lambda *args: (contents.extend(data for _, data in args[2]), studio.send(*args))[1],
    )
    originals: list[bytes] = []
    number = asked(services, tmp_path, pictures(5), deidentify=True)
    import_archive(hiding(services, originals), number, 1)
    assert contents == [b"hidden " + name for name in (b"0.jpg", b"1.jpg", b"3.jpg", b"4.jpg")]
    assert not {*contents} & {*originals}
    found = show(services, number)
    assert found["deidentify"] == {"faces": 8, "images_with_faces": 4, "doubtful": 4}
    assert why(services, number) == {"2.jpg": "it cannot be checked"}
    with services.database.read() as session:
        kept = session.scalars(select(ImportItem.hidden).where(ImportItem.name == "3.jpg")).one()
    assert kept is not None
    assert kept["size"] == [96, 64]
    assert kept["areas"][0] == [1.0, 1.0, 9.0, 9.0, 0.9]


def test_without_the_plug_in_nothing_is_sent(services: Services, studio: Studio, tmp_path: Path) -> None:
    number = asked(services, tmp_path, pictures(2), deidentify=True)
    import_archive(services, number, 1)
    found = show(services, number)
    assert found["status"] == "failed"
    assert "preprocessor 'faces'" in found["reason"]
    assert studio.batches == []


def test_a_real_face_is_not_in_what_is_sent(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = (Path(__file__).parents[1] / "data" / "astronaut.jpg").read_bytes()
    contents: list[bytes] = []
    monkeypatch.setattr(
        module,
        "send_images",
        lambda *args: (contents.extend(data for _, data in args[2]), studio.send(*args))[1],
    )
    number = asked(services, tmp_path, [("a.jpg", photo)], deidentify=True)
    real = replace(services, hider=lambda name: wiring.hider(services.settings, name))
    import_archive(real, number, 1)
    assert show(services, number)["deidentify"] == {"faces": 1, "images_with_faces": 1, "doubtful": 0}
    assert real.hider(FACES)(contents[0], "a.jpg").areas == ()


def test_more_images_than_allowed(services: Services, studio: Studio, tmp_path: Path) -> None:
    number = asked(services, tmp_path, pictures(12))
    import_archive(services, number, 1)
    assert show(services, number)["imported"] == 10
    assert why(services, number) == dict.fromkeys(["10.jpg", "11.jpg"], OVER_THE_LIMIT)


@pytest.mark.parametrize("status", [400, 413])
def test_one_image_that_label_studio_refuses_does_not_stop_the_others(
    services: Services, studio: Studio, tmp_path: Path, status: int
) -> None:
    studio.refuse = {"2-": status}
    number = asked(services, tmp_path, pictures(6))
    import_archive(services, number, 1)
    found = show(services, number)
    assert (found["status"], found["imported"]) == ("done", 5)
    assert list(why(services, number)) == ["2.jpg"] and f"HTTP {status}" in why(services, number)["2.jpg"]


def test_nothing_is_left_behind_when_label_studio_takes_nothing(
    services: Services, studio: Studio, tmp_path: Path
) -> None:
    studio.refuse = {".jpg": 403}
    number = asked(services, tmp_path, pictures(3))
    import_archive(services, number, 1)
    found = show(services, number)
    assert (found["status"], found["project"], studio.projects_made) == ("failed", None, {})
    assert "HTTP 403" in found["reason"]
    studio.refuse = {}
    import_again(services, number, by="ann")
    import_archive(services, number, 2)
    assert show(services, number)["imported"] == 3 and len(studio.projects_made) == 1


def test_lost_answers_wait_and_are_made_up_for(services: Services, studio: Studio, tmp_path: Path) -> None:
    studio.lose_answers = 2
    number = asked(services, tmp_path, pictures(7))
    for attempt in (1, 2):
        import_archive(services, number, attempt)
        assert show(services, number)["status"] == "queued"
        assert "does not answer" in show(services, number)["reason"]
    import_archive(services, number, 3)
    assert show(services, number)["imported"] == 7
    assert [name.partition("-")[0] for _, name, _ in studio.tasks] == [str(n) for n in range(7)]
    assert studio.batches == [4, 2, 1]  # smaller after each trouble


def test_second_copies_are_removed_unless_somebody_works_on_them(
    services: Services, studio: Studio, tmp_path: Path
) -> None:
    studio.lose_answers = 1
    number = asked(services, tmp_path, pictures(3))
    import_archive(services, number, 1)
    late = [(task + 9, name, count) for (task, name, _), count in zip(studio.tasks, (0, 1, 1), strict=True)]
    studio.tasks[2] = (*studio.tasks[2][:2], 1)
    studio.tasks += late  # Label Studio was slow: it acted on an older request only now
    import_archive(services, number, 2)
    kept = {(task, count) for task, _, count in studio.tasks}
    assert kept == {(1, 0), (11, 1), (3, 1), (12, 1)}


def test_a_project_that_cannot_be_connected_is_told_of_and_tried_again(
    services: Services, studio: Studio, tmp_path: Path
) -> None:
    studio.cannot_connect = True
    number = asked(services, tmp_path, pictures(3))
    import_archive(services, number, 1)
    found = show(services, number)
    assert (found["status"], found["imported"], found["connected"]) == ("failed", 3, False)
    assert "private address" in found["reason"] and found["can_go_on"]
    assert list(studio.projects_made) == [70]  # with images in it, it stays
    studio.cannot_connect = False
    import_again(services, number, by="ann")
    import_archive(services, number, 2)
    assert show(services, number)["status"] == "done" and len(studio.tasks) == 3


def test_a_project_that_somebody_deleted_is_made_anew(services: Services, studio: Studio, tmp_path: Path) -> None:
    studio.cannot_connect = True
    number = asked(services, tmp_path, [*pictures(3), ("a.txt", b"text")])
    import_archive(services, number, 1)
    studio.projects_made.clear()
    studio.projects_made[99] = SimpleNamespace(id=99, label_config="", title="another one")
    studio.tasks.clear()
    studio.cannot_connect = False
    import_again(services, number, by="ann")
    import_archive(services, number, 2)
    found = show(services, number)
    assert (found["status"], found["imported"], found["left_out"], found["project"]) == ("done", 3, 1, 71)
    assert studio.connected == [71]


def test_an_image_of_which_no_task_was_made(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(*arguments: Any) -> dict[str, int]:
        answer = studio.send(*arguments)
        return dict(list(answer.items())[1:])

    monkeypatch.setattr(module, "send_images", send)
    number = asked(services, tmp_path, pictures(3))
    import_archive(services, number, 1)
    assert show(services, number)["imported"] == 2 and list(why(services, number)) == ["0.jpg"]


def test_cancelled_while_it_waits(services: Services, studio: Studio, tmp_path: Path) -> None:
    """Its project was made, then Label Studio went away: the import waits, and nobody works on it when it ends."""
    number = asked(services, tmp_path, pictures(3))
    studio.away = True
    import_archive(services, number, 1)
    assert (show(services, number)["status"], list(studio.projects_made)) == ("queued", [70])
    cancel_import(services, number, by="ann")
    drop_leftovers(services)
    assert list(studio.projects_made) == [70]  # it is away still
    studio.away = False
    drop_leftovers(services)
    found = show(services, number)
    assert (found["status"], found["project"], studio.projects_made) == ("cancelled", None, {})
    import_again(services, number, by="ann")
    import_archive(services, number, 3)
    assert show(services, number)["status"] == "done" and len(studio.projects_made) == 1
    drop_leftovers(services)
    assert len(studio.projects_made) == 1


def test_cancelled_in_the_middle(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = asked(services, tmp_path, pictures(8))
    monkeypatch.setattr("custom_ai.pipeline.pulse.BEAT_S", 0.01)

    def slow(one: Picture) -> tuple[bytes, None]:
        if one.name == "4.jpg":
            cancel_import(services, number, by="ann")
        time.sleep(0.05)
        return one.data, None

    monkeypatch.setattr(module, "unchanged", slow)
    import_archive(services, number, 1)
    found = show(services, number)
    assert (found["status"], found["imported"]) == ("cancelled", 4)
    assert found["project"] in studio.projects_made and studio.connected == []


def test_an_archive_that_was_removed_meanwhile(services: Services, studio: Studio, tmp_path: Path) -> None:
    number = asked(services, tmp_path, pictures(1))
    uploads.path_of(services.settings, 1).unlink()
    import_archive(services, number, 1)
    assert show(services, number)["status"] == "failed" and studio.projects_made == {}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"title": "ab"}, "'ab'"),
        ({"title": "x" * 51}, "xxx"),
        ({"title": "a\x07bc"}, "title"),
        ({"description": "x" * 5001}, "description"),
        ({"description": "\x00"}, "description"),
        ({"kind": "circle"}, "circle"),
        ({"classes": []}, "at least one class"),
        ({"classes": [("a", ""), (" a ", "")]}, "twice"),
        ({"classes": [("$image", "")]}, "$image"),
        ({"classes": [("x" * 101, "")]}, "xxx"),
        ({"classes": [("a\x00", "")]}, "control"),
        ({"classes": [("a", "red")]}, "red"),
        ({"classes": [("a", "#12345g")]}, "#12345g"),
        ({"classes": [(str(n), "") for n in range(201)]}, "200"),
    ],
)
def test_input_that_is_refused_by_name(services: Services, tmp_path: Path, values: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        request_import(
            services, by="ann", upload_id=1, **{"title": "good", "kind": "box", "classes": [("a", "")], **values}
        )
    assert named in str(refused.value)


def test_classes_in_lines_of_text() -> None:
    text = "cat #D55E00\r\n\n  big dog \n#123456\nbird #12\n고양이 <b> #0072b2"
    assert classes_in(text) == [
        ("cat", "#D55E00"),
        ("big dog", ""),
        ("#123456", ""),
        ("bird #12", ""),
        ("고양이 <b>", "#0072b2"),
    ]


def test_names_for_label_studio() -> None:
    sha256 = "0123456789abcdef" * 4
    assert file_name("동물/day 1/사진 (2).JPEG", sha256, ".jpg") == "동물__day_1__사진__2_-0123456789ab.jpg"
    assert file_name("x" * 300, sha256, ".png") == "x" * 50 + "-0123456789ab.png"
    assert file_name("...", sha256, ".png").endswith("-0123456789ab.png")
    assert file_name("???", sha256, ".gif") == "___-0123456789ab.gif"
    assert mark_of(sha256) == "0123456789ab"
