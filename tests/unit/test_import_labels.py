"""Labelled pictures into a Label Studio that keeps what it is sent, and their way out again."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image
from typer.testing import CliRunner

from custom_ai.archive import Limits
from custom_ai.cli import app as command_line
from custom_ai.cli import data as data_commands
from custom_ai.errors import BadInput, ImageError, LabelConfigError, LabelStudioError, LabelStudioUnreachable
from custom_ai.formats.common import DataSet, Format, Item
from custom_ai.formats.detect import files, read
from custom_ai.formats.source import opened
from custom_ai.labelstudio.annotations import labelled_task
from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.labelstudio.new_labels import with_classes
from custom_ai.labelstudio.results import prediction
from custom_ai.pipeline.export_labels import LEFT_OUT, NOT_EMPTY, PREDICTED, export_labels, folder_or_zip
from custom_ai.pipeline.import_archive import OVER_THE_LIMIT
from custom_ai.pipeline.import_labels import OTHER_SIZE, TWICE, Imported, Wanted, import_labels
from custom_ai.plugins import Hidden
from custom_ai.policy import count_labels
from custom_ai.services import Services
from custom_ai.shapes import to_row
from custom_ai.state.tables import Project, Task
from custom_ai.types import Box, ImageSize, LabelKind
from support import services_in
from zips import picture

SIZE = ImageSize(48, 32)
CONFIG = template(["cat", "강아지"])


@dataclass
class Studio:
    """Keeps one project with what is imported; may refuse or lose something."""

    config: str = CONFIG
    model_version: str = ""
    tasks_there: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[tuple[str, bytes]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lose_after: int = 10**6
    refuse: str = ""

    timeout_s = 1.0

    @property
    def session(self) -> Studio:
        return self

    def project(self, _number: int) -> Any:
        raw = {"task_number": len(self.tasks_there)}
        return SimpleNamespace(id=7, title="Pets", label_config=self.config, model_version=self.model_version, raw=raw)

    def task_of(self, name: str) -> dict[str, Any]:
        return next(task for task in self.tasks_there if name in task["data"]["image"])

    def projects(self) -> list[Any]:
        return [self.project(7)]

    def create_project(self, title: str, _description: str, label_config: str) -> Any:
        self.config = label_config
        return SimpleNamespace(id=8, title=title)

    def update_project(self, number: int, label_config: str) -> Any:
        self.config = label_config
        return self.project(number)

    def tasks(self, _project: int, **_: Any) -> Iterator[dict[str, Any]]:
        return iter(list(self.tasks_there))

    def task_ids(self, _project: int) -> list[int]:
        return [task["id"] for task in self.tasks_there]

    def rows(self, _project: int, _items: Any, _size: int, **_: Any) -> list[dict[str, Any]]:
        return [task | {"total_annotations": len(task["annotations"])} for task in self.tasks_there]

    def post(self, path: str, json: Any = None, *, files: Any = None, **_: Any) -> Any:
        self.calls.append(path)
        if files is not None:
            first = len(self.uploads)
            self.uploads += files.values()
            return {"file_upload_ids": list(range(first, len(self.uploads)))}
        number = int(re.findall(r"\d+", path)[0])
        task = next(one for one in self.tasks_there if one["id"] == number)
        task["annotations"].append(self._stored(json, len(task["annotations"])))
        return {}

    def get(self, _path: str, params: dict[str, str], **_: Any) -> list[dict[str, Any]]:
        return [{"id": one, "file": f"upload/7/{self.uploads[one][0]}"} for one in json.loads(params["ids"])]

    def import_tasks(self, _project: int, bodies: list[dict[str, Any]]) -> list[int]:
        if self.refuse and any(self.refuse in body["data"]["image"] for body in bodies):
            raise LabelStudioError(what="POST", http_status=400, detail="no such picture")
        for body in bodies:
            if len(self.tasks_there) >= self.lose_after:
                self.lose_after = 10**6
                raise LabelStudioUnreachable(url="http://studio", detail="gone")
            predictions = [{"id": 900, **one} for one in body.get("predictions", ())]
            annotations = [self._stored(one, number) for number, one in enumerate(body.get("annotations", ()))]
            number = 100 + len(self.tasks_there)
            self.tasks_there.append(
                {"id": number, "data": body["data"], "annotations": annotations, "predictions": predictions,
                 "updated_at": "2026-01-01T00:00:00Z"}
            )  # fmt: skip
        return []

    def _stored(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        return {"id": 500 + 10 * len(self.tasks_there) + number, "was_cancelled": False, "completed_by": 1, **body}

    def push_predictions(self, _project: int, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            task = next(one for one in self.tasks_there if one["id"] == row["task"])
            task["predictions"].append({"id": 950, **row})

    def tasks_with_version(self, _project: int, version: str, among: list[int]) -> set[int]:
        has = {one["id"] for one in self.tasks_there for it in one["predictions"] if it["model_version"] == version}
        return has & set(among)


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def services(tmp_path: Path, studio: Studio) -> Services:
    return replace(services_in(tmp_path, import_max_images=6), label_studio=cast(Any, studio))


BOXES = (Box("cat", 0.25, 0.25, 0.5, 0.75), Box("강아지", 0.5, 0.0, 1.0, 0.5))


def coco_set(folder: Path, *items: Item, kind: LabelKind = LabelKind.BOX, classes: Any = ("cat", "강아지")) -> Path:
    wanted = items or (Item("하나.jpg", SIZE, BOXES), Item("b c.png", SIZE, ()), Item("d.jpg", SIZE, BOXES[:1]))
    (folder / "images").mkdir(parents=True)
    for number, item in enumerate(wanted):
        content = picture(number, "PNG" if item.name.endswith("png") else "JPEG")
        (folder / "images" / item.name).write_bytes(content)
    for name, content in files(DataSet(tuple(classes), wanted, kind), Format.COCO):
        (folder / name).write_bytes(content)
    return folder


def call(services: Services, folder: Path, **values: Any) -> Imported:
    limits = Limits(images=100, image_bytes=10**6, image_pixels=10**7, ratio=200, unpacked_bytes=10**8)
    with opened(folder, limits) as source:
        return import_labels(services, 7, source, Wanted(by="ann", **values))


def counted(studio: Studio) -> dict[str, int]:
    """As the pipeline counts labels that were drawn by hand."""
    control = parse_label_config(studio.config, 7).control()
    tasks = [labelled_task(task, control) for task in studio.tasks_there]
    return dict(count_labels(to_row(box, box.untouched) for task in tasks for box in task.boxes or ()))


def test_labels_arrive_as_if_drawn_by_hand_and_nothing_comes_twice(
    services: Services, studio: Studio, tmp_path: Path
) -> None:
    folder = coco_set(tmp_path / "set")
    (folder / "images" / "extra.jpg").write_bytes(picture(77))
    (folder / "images" / "broken.jpg").write_bytes(picture(78)[:200])
    (folder / "images" / "same.jpg").write_bytes(picture(77))
    done = call(services, folder)
    assert (done.images, done.shapes, done.already) == (4, 3, 0)
    assert {(one.where, one.why) for one in done.left_out} == {
        ("images/broken.jpg", "it is not an image that can be decoded, or it is truncated"),
        ("images/same.jpg", TWICE),
    }
    assert counted(studio) == {"cat": 2, "강아지": 1}
    control = parse_label_config(studio.config, 7).control()
    negative = labelled_task(studio.task_of("b_c"), control)
    assert negative.boxes == ()
    extra = labelled_task(studio.task_of("extra"), control)
    assert extra.boxes is None
    assert not extra.touched
    again = call(services, folder)
    assert (again.images, again.completed, again.already, again.shapes) == (0, 0, 4, 0)
    assert len(studio.tasks_there) == 4


def test_an_interrupted_import_goes_on_where_it_was(services: Services, studio: Studio, tmp_path: Path) -> None:
    folder = coco_set(tmp_path / "set")
    studio.lose_after = 2
    with pytest.raises(LabelStudioUnreachable):
        call(services, folder)
    done = call(services, folder)
    assert (done.images, done.already) == (1, 2)
    assert counted(studio) == {"cat": 2, "강아지": 1}


def test_pictures_that_are_there_get_their_labels_once(services: Services, studio: Studio, tmp_path: Path) -> None:
    folder = coco_set(tmp_path / "set")
    assert call(services, folder, format=Format.IMAGES).images == 3
    assert counted(studio) == {}
    studio.tasks_there[2]["annotations"].append({"id": 1, "result": [], "completed_by": 4, "was_cancelled": False})
    done = call(services, folder)
    assert (done.images, done.completed, done.already) == (0, 2, 1)
    assert studio.tasks_there[2]["annotations"] == [
        {"id": 1, "result": [], "completed_by": 4, "was_cancelled": False}
    ], "what a person has said stays"
    assert call(services, folder).already == 3


def test_labels_as_predictions_count_for_nobody(services: Services, studio: Studio, tmp_path: Path) -> None:
    folder = coco_set(tmp_path / "set")
    call(services, folder, as_predictions=True, version="v5")
    assert counted(studio) == {}
    versions = [one["model_version"] for task in studio.tasks_there for one in task["predictions"]]
    assert versions == ["v5"] * 3
    assert call(services, folder, as_predictions=True, version="v5").already == 3
    assert call(services, folder, as_predictions=True, version="v6").completed == 3


def test_unknown_classes_are_named_with_the_way_out(services: Services, studio: Studio, tmp_path: Path) -> None:
    name = 'a "b" <c> & d'
    folder = coco_set(tmp_path / "set", Item("a.jpg", SIZE, (Box(name, 0, 0, 1, 1), BOXES[0])), classes=(name, "cat"))
    with pytest.raises(BadInput, match="--add-classes") as error:
        call(services, folder)
    assert repr(name) in str(error.value)
    assert studio.tasks_there == []
    done = call(services, folder, add_classes=True)
    assert done.added_classes == (name,)
    assert parse_label_config(studio.config, 7).control().classes == ("cat", "강아지", name)
    assert counted(studio) == {name: 1, "cat": 1}
    assert call(services, coco_set(tmp_path / "2", Item("x.jpg", SIZE, (Box("Hund", 0, 0, 1, 1),)), classes=["Hund"]),
                rename={"Hund": "강아지"}).left_out == []  # fmt: skip


def test_labels_of_another_picture_and_too_many_pictures(services: Services, studio: Studio, tmp_path: Path) -> None:
    items = [Item(f"{number}.jpg", ImageSize(100, 100) if number == 2 else SIZE, BOXES) for number in range(8)]
    done = call(services, coco_set(tmp_path / "set", *items))
    assert done.images == 6
    assert [(one.where, one.why) for one in done.left_out] == [
        ("images/2.jpg", OTHER_SIZE),
        ("images/6.jpg", OVER_THE_LIMIT),
        ("images/7.jpg", OVER_THE_LIMIT),
    ]
    control = parse_label_config(studio.config, 7).control()
    assert [labelled_task(task, control).boxes is None for task in studio.tasks_there].count(True) == 1


def test_what_label_studio_refuses_is_named_and_the_rest_arrives(
    services: Services, studio: Studio, tmp_path: Path
) -> None:
    studio.refuse = "b_c"
    done = call(services, coco_set(tmp_path / "set"))
    assert done.images == 2
    assert [(one.where, one.why) for one in done.left_out] == [("images/b c.png", "no such picture")]


def test_faces_are_hidden_before_anything_leaves(services: Services, studio: Studio, tmp_path: Path) -> None:
    def hide(data: bytes, name: str) -> Hidden:
        if name.endswith("d.jpg"):
            raise ImageError(image=name, why="not sure")
        return Hidden(b"hidden " + data, (), 48, 32, "0" * 64)

    safe = replace(services, hider=lambda name: hide)
    folder = coco_set(tmp_path / "set")
    done = call(safe, folder, deidentify=True)
    assert [(one.where, one.why) for one in done.left_out] == [("images/d.jpg", "not sure")]
    assert all(content.startswith(b"hidden ") for _, content in studio.uploads)
    assert call(safe, folder, deidentify=True).already == 2


def test_a_connected_project_counts_at_once(services: Services, studio: Studio, tmp_path: Path) -> None:
    with services.database.write() as session:
        session.add(Project(id=7, title="Pets", label_config=CONFIG, available_classes=["cat"]))
    call(services, coco_set(tmp_path / "set"))
    with services.database.read() as session:
        assert session.get_one(Project, 7).label_counts == {"cat": 2, "강아지": 1}
        assert session.get_one(Task, (7, 101)).touched


def test_classes_are_added_without_touching_the_rest() -> None:
    xml = (
        "<!-- ours -->\n<View>\n  <Image name='image' value='$image'/><!-- here -->\n"
        "  <Labels name='names' toName='image'>\n    <Label value='cat' hotkey='c'/>\n  </Labels>\n"
        "  <Rectangle name='box' toName='image'/>\n</View>"
    )
    config = parse_label_config(xml, 7)
    more = with_classes(config, xml, config.control(), ["dog", '큰 "새" & Co'])
    assert parse_label_config(more, 7).control().classes == ("cat", "dog", '큰 "새" & Co')
    assert "<!-- ours -->" in more
    assert "<!-- here -->" in more
    assert 'hotkey="c"/>\n    <Label value="dog"/>\n    <Label' in more
    bare = xml.replace("<Label value='cat' hotkey='c'/>", "")
    with pytest.raises(LabelConfigError):
        with_classes(config, bare, config.control(), ["dog"])


def test_a_new_project_gets_the_classes_of_the_data_set(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_commands, "services_for_terminal", lambda: services)
    monkeypatch.setenv("LANG", "C")
    folder = str(coco_set(tmp_path / "set", classes=("never", "cat", "강아지")))

    def call_it(*arguments: str) -> Any:
        return CliRunner().invoke(command_line, ["import", folder, *arguments])

    done = call_it("--new", "From COCO", "--rename", "cat=Cat", "--kind", "polygon")
    assert done.exit_code == 0, done.output
    assert "Project 8 was made." in done.output
    control = parse_label_config(studio.config, 8).control()
    assert (control.kind, control.classes) == (LabelKind.POLYGON, ("Cat", "강아지"))
    assert counted(studio) == {"Cat": 2, "강아지": 1}
    again = call_it("--new", "Pets")
    assert isinstance(again.exception, BadInput)
    assert "--project" in str(again.exception)
    for wrong in (["--project", "7", "--as", "guesses"], [], ["--project", "7", "--rename", "cat"]):
        assert isinstance(call_it(*wrong).exception, BadInput), wrong


# The way out


def pictures_of(studio: Studio, monkeypatch: pytest.MonkeyPatch, broken: str = "") -> list[str]:
    """Serve what was uploaded; returns the addresses that are asked for."""
    asked: list[str] = []
    by_name = {f"/data/upload/7/{name}": content for name, content in studio.uploads}

    def fetch(_session: object, _settings: object, task_id: int, uri: str) -> bytes:
        asked.append(uri)
        if broken and broken in uri:
            raise ImageError(image=uri, why="gone")
        return by_name[uri]

    monkeypatch.setattr("custom_ai.pipeline.pictures.fetch_image", fetch)
    return asked


@pytest.mark.parametrize("format", [Format.COCO, Format.YOLO, Format.VOC])
@pytest.mark.parametrize("target", ["folder", "a.zip"])
def test_what_was_imported_comes_out_the_same(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format, target: str
) -> None:
    call(services, coco_set(tmp_path / "set"))
    pictures_of(studio, monkeypatch)
    with folder_or_zip(tmp_path / target) as sink:
        done = export_labels(services, 7, sink, by="ann", format=format, images=True)
    assert (done.images, done.shapes, done.predicted, done.left_out) == (3, 3, 0, ())
    limits = Limits(images=100, image_bytes=10**6, image_pixels=10**7, ratio=200, unpacked_bytes=10**8)
    with opened(tmp_path / target, limits) as source:
        found = read(source, LabelKind.BOX)
    shapes = sorted((item.shapes or () for item in found.items), key=len)
    assert shapes[0] == ()
    for box, drawn in zip(shapes[2], BOXES, strict=True):
        assert box.label == drawn.label
        assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((drawn.x1, drawn.y1, drawn.x2, drawn.y2), abs=1e-4)


def test_predictions_only_on_request_and_marked(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(services, coco_set(tmp_path / "set"))
    control = parse_label_config(CONFIG, 7).control()
    first, second = studio.task_of("하나"), studio.task_of("d-")
    for task in (first, second):
        old = prediction(task["id"], [Box("강아지", 0, 0, 1, 1, 0.3)], SIZE, control, "p7-m1")
        new = prediction(task["id"], [Box("cat", 0, 0, 0.5, 1, 0.8125)], SIZE, control, "p7-m2")
        task["predictions"] = [{"id": 1, **new}, {"id": 2, **old}]
    first["annotations"] = []
    studio.model_version = "p7-m2"
    asked = pictures_of(studio, monkeypatch)

    def out(name: str, **values: Any) -> Any:
        with folder_or_zip(tmp_path / name) as sink:
            done = export_labels(services, 7, sink, by="ann", format=Format.COCO, **values)
        return done, json.loads((tmp_path / name / "annotations.json").read_text(encoding="utf-8"))

    done, content = out("without")
    assert (done.images, done.predicted) == (2, 0)
    assert not any("score" in one for one in content["annotations"])
    assert len(asked) == 1, "only the size of the negative is not known"
    done, content = out("with", with_predictions=True)
    assert (done.images, done.predicted) == (3, 1)
    (marked,) = [one for one in content["annotations"] if "score" in one]
    assert (marked["score"], marked["image_id"], marked["bbox"]) == (0.8125, first["id"], [0, 0, 24, 32])
    assert len((tmp_path / "with" / PREDICTED).read_text(encoding="utf-8").splitlines()) == 1
    with pytest.raises(BadInput, match="files in it"), folder_or_zip(tmp_path / "with"):
        raise AssertionError(NOT_EMPTY)


def test_names_are_files_names_and_photos_come_upright(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(buffer, "JPEG", exif=exif)
    uris = [
        "/data/upload/7/%EA%B3%A0%EC%96%91%EC%9D%B4%3F.jpg",
        "/data/local-files/?d=x/../../etc/passwd",
        "https://host/a/IMG.jpg",
        "s3://bucket/b/img.PNG",
        "data:image/png;base64,AAAA",
    ]
    for number, uri in enumerate(uris, start=1):
        studio.tasks_there.append(
            {"id": number, "data": {"image": uri}, "annotations": [{"id": number, "result": []}], "predictions": []}
        )
    monkeypatch.setattr("custom_ai.pipeline.pictures.fetch_image", lambda *_: buffer.getvalue())
    found: dict[str, bytes] = {}
    done = export_labels(services, 7, found.__setitem__, by="ann", format=Format.COCO, images=True)
    assert done.left_out == ()
    content = json.loads(found["annotations.json"])
    names = [one["file_name"] for one in content["images"]]
    assert names == ["고양이_.jpg", "passwd.jpg", "IMG.jpg", "img-4.PNG", "task-5.jpg"]
    assert {(one["width"], one["height"]) for one in content["images"]} == {(20, 40)}
    with Image.open(io.BytesIO(found["images/IMG.jpg"])) as image:
        assert image.size == (20, 40)
        assert not image.getexif()


def test_an_image_that_cannot_be_had_is_named(
    services: Services, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(services, coco_set(tmp_path / "set"))
    pictures_of(studio, monkeypatch, broken="b_c")
    found: dict[str, bytes] = {}
    done = export_labels(services, 7, found.__setitem__, by="ann", format=Format.YOLO, images=True)
    assert found[LEFT_OUT].endswith(b": gone\n")
    assert (done.images, [one.why for one in done.left_out]) == (2, ["gone"])
    studio.tasks_there.clear()
    with pytest.raises(BadInput, match="nobody has submitted"):
        export_labels(services, 7, lambda *_: None, by="ann", format=Format.COCO)
