"""Labels of others into the real Label Studio, and out of it again."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from stack import Stack, scenes_in

from custom_ai.demo.story import CLASSES
from custom_ai.formats.common import DataSet, Format, Item
from custom_ai.formats.detect import files
from custom_ai.labelstudio.config import template
from custom_ai.types import LabelKind

pytestmark = pytest.mark.flow


def test_coco_goes_in_and_equal_boxes_come_out_as_yolo(stack: Stack, tmp_path: Path) -> None:
    scenes = scenes_in(tmp_path / "coco" / "images", 4, seed=77)
    items = [Item(one.path.name, one.size, tuple(one.boxes)) for one in scenes]
    items[0] = Item(scenes[0].path.name, scenes[0].size, ())
    for name, content in files(DataSet(tuple(CLASSES), tuple(items), LabelKind.BOX), Format.COCO):
        (tmp_path / "coco" / name).write_bytes(content)
    project_id = stack.new_project(config=template(CLASSES[:1]), title="From COCO")
    stack.ask("POST", f"/projects/{project_id}/connect")

    def bring_in(*options: str) -> tuple[int, str]:
        done = stack.command("import", str(tmp_path / "coco"), "--project", str(project_id), *options)
        return done.returncode, done.stdout + done.stderr

    code, said = bring_in()
    assert code == 1
    assert "--add-classes" in said
    assert all(
        repr(name) in said
        for name in CLASSES[1:]
        if any(box.label == name for one in items for box in one.shapes or ())
    )
    assert stack.project(project_id)["tasks"]["total"] == 0
    code, said = bring_in("--add-classes")
    assert code == 0, said
    expected = {name: sum(box.label == name for one in items for box in one.shapes or ()) for name in CLASSES}
    # By the very next look at the page, although Label Studio sends no webhook for imported annotations.
    assert stack.project(project_id)["labels"] == {name: count for name, count in expected.items() if count}
    annotations = stack.annotations(project_id)
    assert len(annotations) == 4
    code, said = bring_in()
    assert code == 0, said
    assert stack.annotations(project_id) == annotations, "a second call brings nothing twice"

    answer = stack.api.get(f"/projects/{project_id}/export", params={"format": "yolo"})
    assert answer.is_success, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = json.loads(archive.read("data.yaml"))["names"]
        texts = {
            name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist() if name.endswith(".txt")
        }
    assert len(texts) == 4
    for item in items:
        stem = item.name.rpartition(".")[0]
        (lines,) = [text.splitlines() for name, text in texts.items() if f"__{stem}-" in name]
        assert len(lines) == len(item.shapes or ())
        for line, box in zip(lines, item.shapes or (), strict=True):
            number, x, y, width, height = line.split()
            assert names[int(number)] == box.label
            written = [float(x), float(y), float(width), float(height)]
            drawn = [(box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, box.x2 - box.x1, box.y2 - box.y1]
            assert written == pytest.approx(drawn, abs=1e-5)
    assert stack.api.get(f"/projects/{project_id}/export", params={"format": "xyz"}).status_code == 400
