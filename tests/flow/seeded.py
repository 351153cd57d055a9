"""A connected project with images and a model that sees one box in every image: nothing has to be trained."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.config import template
from custom_ai.pipeline.auto_label import auto_label
from custom_ai.pipeline.label import request_auto_label
from custom_ai.pipeline.look import look
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.settings import load_settings
from custom_ai.state.tables import Candidate, Project, Run, now
from custom_ai.wiring import build
from fake_trainer import one_box_model
from support import WritingBell

CLASSES = ["cat", "dog"]


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (number * 20 % 255, 90, 120)).save(buffer, "JPEG")
    return buffer.getvalue()


class Seeded:
    """Services in this process, on a database that ``custom-ai run`` may share."""

    def __init__(self, label_studio: LabelStudioServer, state: Path, images: int) -> None:
        settings = load_settings(
            state_dir=state, label_studio_url=label_studio.url, label_studio_api_key=label_studio.token
        )
        self.services: Services = replace(build(settings, need_queue=False), bell=WritingBell())
        self.services.database.migrate()
        self.studio: LabelStudio = self.services.label_studio
        self.project_id = self.studio.create_project("Review", "", template(CLASSES)).id
        self.tasks = self.studio.upload_images(
            self.project_id, [(f"image{number}.jpg", picture(number)) for number in range(images)]
        )
        with self.services.database.write() as session:
            session.add(Project(id=self.project_id, connected_at=now()))
        self.look()

    def close(self) -> None:
        self.studio.session.close()
        self.services.database.dispose()

    def look(self) -> None:
        look(self.services, self.project_id)

    def model(self, score: float) -> Candidate:
        """A model that serves from now on."""
        with self.services.database.write() as session:
            run = Run(
                project_id=self.project_id, trigger="person", requested_by="me", kind="box", classes=CLASSES,
                status="done",
            )  # fmt: skip
            session.add(run)
            session.flush()
            one = Candidate(
                run_id=run.id,
                project_id=self.project_id,
                place=0,
                title="One box",
                recipe={},
                classes=CLASSES,
                status="done",
                image_size=64,
                onnx_sha256=self.services.store.put_bytes(one_box_model(2, score)),
                thresholds={"cat": 0.5, "dog": 0.5},
            )
            session.add(one)
            session.flush()
            promote(session, one, by="me", how="person")
            return one

    def label(self, **values: Any) -> int:
        """An auto-labelling job, done."""
        job_id = request_auto_label(self.services, self.project_id, by="me", **values)
        auto_label(self.services, job_id, 1)
        return job_id

    def draw(self, task: int, label: str) -> None:
        """A box that a person draws."""
        value = {"x": 10, "y": 10, "width": 30, "height": 30, "rotation": 0, "rectanglelabels": [label]}
        region = {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}
        body = {"result": [region | {"origin": "manual"}]}
        self.studio.session.post(f"/api/tasks/{task}/annotations/", body)
        self.look()

    def in_label_studio(self) -> dict[int, dict[str, Any]]:
        return {int(task["id"]): task for task in self.studio.tasks(self.project_id)}

    def versions(self, tasks: Sequence[int]) -> list[list[str]]:
        there = self.in_label_studio()
        return [[one["model_version"] for one in there[task]["predictions"]] for task in tasks]

    def submit(self, task: int, *, change: bool = False) -> Any:
        """What a person sends who opened a pre-labelled task: as it was, or with everything removed."""
        seen = max(self.in_label_studio()[task]["predictions"], key=lambda one: one["id"])
        result = [] if change else [region | {"origin": "prediction"} for region in seen["result"]]
        body = {"result": result, "parent_prediction": seen["id"], "lead_time": 2.0}
        return self.studio.session.post(f"/api/tasks/{task}/annotations/", body)
