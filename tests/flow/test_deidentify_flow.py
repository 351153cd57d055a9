"""Faces are hidden in tasks of the real Label Studio: the copy is there, the original neither by HTTP nor on disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import insert

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.demo.scenes import make_scenes
from custom_ai.demo.story import CLASSES, annotation
from custom_ai.errors import ImageError
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.labelstudio.images import fetch_image
from custom_ai.pipeline import hidden_report
from custom_ai.pipeline.deidentify import deidentify, request_deidentify
from custom_ai.pipeline.look import look
from custom_ai.state.tables import Project, now
from custom_ai.wiring import hider
from support import services_in

pytestmark = pytest.mark.flow


def test_the_original_is_gone_and_the_labels_stay(
    label_studio: LabelStudioServer, ls_client: LabelStudio, tmp_path: Path
) -> None:
    config = template(CLASSES)
    project_id = ls_client.create_project("Faces", "", config).id
    scenes = make_scenes(tmp_path / "scenes", 3, seed=5)
    tasks = ls_client.upload_images(project_id, [(one.path.name, one.path) for one in scenes])
    control = parse_label_config(config, project_id).control()
    body = annotation(tasks[0], scenes[0], control)
    ls_client.session.post(f"/api/tasks/{tasks[0]}/annotations/", body)
    before: dict[int, Any] = {one["id"]: one for one in ls_client.tasks(project_id)}

    media = label_studio.data_dir / "media"
    made = services_in(tmp_path, label_studio.url, label_studio_media_dir=media)
    hide = hider(made.settings, "faces")

    class Drawn:
        """What the plug-in does when a face is found at one place of every image."""

        def __call__(self, data: bytes, name: str) -> Any:
            return hide.again(data, name, [(10.0, 10.0, 40.0, 40.0, 0.5)], [])

        again = hide.again

    services = replace(made, label_studio=ls_client, hider=lambda name: Drawn())
    with services.database.write() as session:
        session.execute(insert(Project).values(id=project_id, title="Faces", label_config=config, connected_at=now()))
    look(services, project_id)
    job_id = request_deidentify(services, project_id, by="ann")
    deidentify(services, job_id, 1)
    rows = hidden_report.images(services, job_id)
    assert [(one["status"], one["original"], one["faces"]) for one in rows] == [("done", "erased", 1)] * 3, rows

    after: dict[int, Any] = {one["id"]: one for one in ls_client.tasks(project_id)}
    for task, row in zip(tasks, sorted(rows, key=lambda one: int(one["task"])), strict=True):
        old, new = before[task]["data"]["image"], after[task]["data"]["image"]
        assert (
            hashlib.sha256(fetch_image(ls_client.session, services.settings, task, new)).hexdigest()
            == row["sha256_after"]
        )
        with pytest.raises(ImageError):
            fetch_image(ls_client.session, services.settings, task, old)
        assert not (media / unquote(old).removeprefix("/data/")).exists()
        assert (media / unquote(new).removeprefix("/data/")).exists()
        assert [one["result"] for one in after[task]["annotations"]] == [
            one["result"] for one in before[task]["annotations"]
        ]
    assert len(after[tasks[0]]["annotations"]) == 1
    services.database.dispose()
