"""Tasks that a program imports with their predictions: nothing twice, nothing without an answer."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from deid_world import Hide
from run_world import CONFIG, picture
from sqlalchemy import select, update

from custom_ai.errors import BadInput, Conflict, ImageError, LabelStudioUnreachable
from custom_ai.pipeline import task_import
from custom_ai.pipeline.task_import import File, import_tasks
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.state.deid_tables import DeidentifiedImage
from custom_ai.state.tables import Candidate, Project, Run, Task, TaskImport, now
from fake_trainer import one_box_model
from support import services_in


@dataclass
class Studio:
    """Keeps what is imported; may lose an answer, or only half of a request."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    lose: bool = False
    keep: int = 1000

    @property
    def session(self) -> Studio:
        return self

    timeout_s = 1.0

    def import_tasks(self, project_id: int, bodies: list[dict[str, Any]]) -> list[int]:
        for body in bodies[: self.keep]:
            self.tasks.append({**body, "id": 100 + len(self.tasks)})
        if self.lose:
            self.lose, self.keep = False, 1000
            raise LabelStudioUnreachable(url="http://studio", detail="lost")
        return []

    def rows(self, project_id: int, items: list[Any], size: int, *, after: int, **_: str) -> list[dict[str, Any]]:
        return [one for one in self.tasks if one["id"] > after]

    def post(self, path: str, *, files: dict[str, tuple[str, bytes]], **_: Any) -> dict[str, Any]:
        first = len(self.files)
        self.files += [name for name, _ in files.values()]
        return {"file_upload_ids": list(range(first, len(self.files)))}

    def get(self, path: str, params: dict[str, str], **_: Any) -> list[dict[str, Any]]:
        return [{"id": number, "file": f"upload/1/{name}"} for number, name in enumerate(self.files)]


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def services(tmp_path: Path, studio: Studio) -> Services:
    made = replace(services_in(tmp_path), label_studio=cast(Any, studio))
    with made.database.write() as session:
        session.add(Project(id=1, title="Pets", label_config=CONFIG, available_classes=["cat", "dog"]))
        session.flush()
        session.add(Task(project_id=1, task_id=50, image="x", touched=False, updated_at=""))
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done")
        session.add(run)
        session.flush()
        one = Candidate(
            run_id=run.id, project_id=1, place=0, title="One box", recipe={}, classes=["cat", "dog"], status="done",
            image_size=64, onnx_sha256=made.store.put_bytes(one_box_model(2)), thresholds={"cat": 0.5, "dog": 0.5},
        )  # fmt: skip
        session.add(one)
        session.flush()
        promote(session, one, by="me", how="person")
    return made


def image(number: int) -> bytes:
    return base64.b64decode(picture(number).partition(",")[2])


WANTED: list[Any] = [{"data": {"image": picture(1)}, "meta": {"camera": 3}}, {"data": {"image": picture(2)}}]


def test_tasks_come_with_predictions_and_the_answer_names_them(services: Services, studio: Studio) -> None:
    answer = import_tasks(services, 1, WANTED, [], by="ann")
    assert [one["task"] for one in answer["tasks"]] == [100, 101]
    assert answer["version"] == "p1-m1"
    for stored, told in zip(studio.tasks, answer["tasks"], strict=True):
        assert stored["predictions"] == [told["prediction"]]
        assert told["prediction"]["model_version"] == "p1-m1"
        (region,) = told["prediction"]["result"]
        assert region["score"] == pytest.approx(0.9, abs=0.01)
        assert told["prediction"]["score"] == pytest.approx(0.9, abs=0.01)
    assert studio.tasks[0]["meta"]["camera"] == 3


def test_an_image_that_cannot_be_had_leaves_its_task_without_a_prediction(services: Services, studio: Studio) -> None:
    broken = {"data": {"image": "data:image/jpeg;base64,bm90IGFuIGltYWdl"}}
    answer = import_tasks(services, 1, [WANTED[0], broken, WANTED[1]], [], by="ann")
    assert [one["error"] and one["error"]["code"] for one in answer["tasks"]] == [None, "image", None]
    assert [len(one["predictions"]) for one in studio.tasks] == [1, 0, 1]


def test_uploaded_files_become_tasks_in_their_order(services: Services, studio: Studio) -> None:
    answer = import_tasks(services, 1, [], [File("a b.JPG", image(1)), File("c.jpeg", image(2))], by="ann")
    assert [one["task"] for one in answer["tasks"]] == [100, 101]
    names = [one["data"]["image"] for one in studio.tasks]
    assert names[0].startswith("/data/upload/1/a_b-")
    assert names[0].endswith(".jpg")
    assert names[1].startswith("/data/upload/1/c-")


def test_an_uploaded_file_that_is_no_image_refuses_all(services: Services, studio: Studio) -> None:
    with pytest.raises(ImageError, match=r"b\.png"):
        import_tasks(services, 1, [], [File("a.jpg", image(1)), File("b.png", b"no image")], by="ann")
    assert not studio.tasks
    assert not studio.files


def test_the_same_key_imports_nothing_twice(services: Services, studio: Studio) -> None:
    first = import_tasks(services, 1, WANTED, [], by="ann", key="k")
    assert import_tasks(services, 1, WANTED, [], by="ann", key="k") == first
    assert len(studio.tasks) == 2
    with pytest.raises(Conflict, match="another request"):
        import_tasks(services, 1, WANTED[:1], [], by="ann", key="k")
    import_tasks(services, 1, WANTED, [], by="ann", key="other")
    assert len(studio.tasks) == 4


@pytest.mark.parametrize("arrived", [0, 1, 2])
@pytest.mark.parametrize("files", [False, True])
def test_after_a_lost_answer_the_rest_is_sent(services: Services, studio: Studio, arrived: int, files: bool) -> None:
    content: dict[str, Any] = {"tasks": [] if files else WANTED}
    content["files"] = [File("a.jpg", image(1)), File("b.jpg", image(2))] if files else []
    studio.lose, studio.keep = True, arrived
    with pytest.raises(LabelStudioUnreachable):
        import_tasks(services, 1, **content, by="ann", key="k")
    answer = import_tasks(services, 1, **content, by="ann", key="k")
    assert [one["task"] for one in answer["tasks"]] == [100, 101]
    assert len(studio.tasks) == 2


def test_a_key_that_is_at_work_must_wait_until_it_is_taken_for_dead(services: Services, studio: Studio) -> None:
    with services.database.write() as session:
        digest = task_import._digest(WANTED, [])
        session.add(TaskImport(project_id=1, key="k", sha256=digest, mark="m", before=50))
    with pytest.raises(Conflict, match="being worked on"):
        import_tasks(services, 1, WANTED, [], by="ann", key="k")
    with services.database.write() as session:
        session.execute(update(TaskImport).values(begun_at=now() - timedelta(minutes=3)))
    studio.tasks.append({"id": 99, "meta": {"custom_ai_import": ["m", 1]}})  # it had come that far
    answer = import_tasks(services, 1, WANTED, [], by="ann", key="k")
    assert [one["task"] for one in answer["tasks"]] == [101, 99]


def test_keys_are_forgotten_after_a_day(services: Services, studio: Studio) -> None:
    import_tasks(services, 1, WANTED, [], by="ann", key="k")
    with services.database.write() as session:
        session.execute(update(TaskImport).values(created_at=now() - timedelta(days=2)))
    import_tasks(services, 1, WANTED, [], by="ann", key="k2")
    with services.database.read() as session:
        assert session.scalars(select(TaskImport.key)).all() == ["k2"]


@pytest.mark.parametrize(
    ("tasks", "files", "said"),
    [
        ([], [], "the request"),
        ([{"url": "x"}], [], "tasks[0]"),
        ([WANTED[0], {"data": {"picture": "x"}}], [], "tasks[1]"),
        ([{**WANTED[0], "annotations": []}], [], "tasks[0].annotations"),
        ([{"data": {"image": "x"}, "meta": [1]}], [], "tasks[0].meta"),
        ([], [File("a.tif", b"")], "a.tif"),
        ([WANTED[0]] * 101, [], "101"),
        (WANTED, [File("a.jpg", b"")], "the request"),
    ],
)
def test_what_cannot_be_used_is_named(services: Services, tasks: list[Any], files: list[File], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        import_tasks(services, 1, tasks, files, by="ann")
    assert str(caught.value).startswith(said)


def test_without_a_model_nothing_is_imported(tmp_path: Path) -> None:
    services = services_in(tmp_path)
    with services.database.write() as session:
        session.add(Project(id=1, label_config=CONFIG))
    with pytest.raises(Conflict, match="no model serves"):
        import_tasks(services, 1, WANTED, [], by="ann")


def test_with_the_policy_originals_never_reach_label_studio(services: Services, studio: Studio) -> None:
    hide = Hide()
    services = replace(services, hider=lambda name: hide)
    with services.database.write() as session:
        session.get_one(Project, 1).deidentify = "at_import"
    broken = "data:image/png;base64," + base64.b64encode(b"broken").decode()
    wanted: list[Any] = [*WANTED, {"data": {"image": broken}}]
    answer = import_tasks(services, 1, wanted, [], by="ann")
    assert [one["task"] for one in answer["tasks"]] == [100, 101, None], "what cannot be hidden is not passed on"
    assert "cannot be read" in str(answer["tasks"][2]["error"])
    assert hide.looked == 3
    assert [one["data"]["image"].startswith("/data/upload/1/") for one in studio.tasks] == [True, True]
    assert studio.tasks[0]["meta"]["camera"] == 3
    assert studio.tasks[0]["predictions"]
    with services.database.read() as session:
        rows = session.scalars(select(DeidentifiedImage).order_by(DeidentifiedImage.task_id)).all()
    assert [(one.task_id, one.uri, one.state) for one in rows] == [
        (one["id"], one["data"]["image"], "done") for one in studio.tasks
    ]
