"""The counts of labels are kept up with the mirror, so that no page has to read all tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.pipeline.mirror import count_all, forget_deleted, take_in
from custom_ai.services import Services
from custom_ai.state.tables import Project, now
from support import services_in

CONTROL = parse_label_config(template(["cup", "fork"]), 1).control(None)


@dataclass
class Studio:
    content: dict[int, list[str]] = field(default_factory=dict)
    """The labels that people drew, by task."""

    def tasks(
        self, project_id: int, *, updated_after: datetime | None = None, page_size: int = 500
    ) -> Iterator[dict[str, Any]]:
        for number, labels in self.content.items():
            yield {
                "id": number,
                "data": {"image": "/data/upload/1/a.jpg"},
                "updated_at": "2026-01-01T00:00:00Z",
                "annotations": [{"id": number, "result": [self._region(label) for label in labels]}],
            }

    def task_ids(self, project_id: int) -> list[int]:
        return list(self.content)

    def _region(self, label: str) -> dict[str, Any]:
        value = {"x": 40, "y": 40, "width": 20, "height": 10, "rotation": 0, "rectanglelabels": [label]}
        size = {"original_width": 200, "original_height": 100}
        return {"id": "r", "from_name": CONTROL.from_name, "type": "rectanglelabels", "origin": "manual"} | {
            "value": value,
            **size,
        }


@pytest.fixture
def studio() -> Studio:
    return Studio({1: ["cup", "cup"], 2: ["cup", "fork"], 3: []})


@pytest.fixture
def services(tmp_path: Path, studio: Studio) -> Services:
    made = replace(services_in(tmp_path), label_studio=cast(Any, studio))
    with made.database.write() as session:
        session.add(Project(id=1, title="Kitchen", connected_at=now()))
    return made


def counts(services: Services) -> dict[str, int]:
    """As stored; they must be what counting all tasks gives."""
    with services.database.read() as session:
        stored = session.get_one(Project, 1).label_counts
        assert stored == count_all(session, 1)
    assert stored is not None
    return stored


def test_counts_follow_every_change(services: Services, studio: Studio) -> None:
    take_in(services, 1, CONTROL, None)
    assert counts(services) == {"cup": 3, "fork": 1}
    take_in(services, 1, CONTROL, None)
    assert counts(services) == {"cup": 3, "fork": 1}, "reading a task twice counts it once"
    studio.content |= {1: ["cup"], 2: ["fork", "fork"], 4: ["fork"]}
    take_in(services, 1, CONTROL, None)
    assert counts(services) == {"cup": 1, "fork": 3}


def test_deleted_tasks_count_no_more(services: Services, studio: Studio) -> None:
    take_in(services, 1, CONTROL, None)
    del studio.content[2]
    forget_deleted(services, 1)
    assert counts(services) == {"cup": 2}


def test_a_project_that_was_never_counted_is_counted_at_its_next_change(services: Services, studio: Studio) -> None:
    take_in(services, 1, CONTROL, None)
    with services.database.write() as session:
        session.get_one(Project, 1).label_counts = None
    del studio.content[1]
    forget_deleted(services, 1)
    assert counts(services) == {"cup": 1, "fork": 1}
