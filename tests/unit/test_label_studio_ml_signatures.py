"""The label-studio-ml adapter under the signatures of 2.x, which is on no package index.

The base class here is what 2.x's base class does with its subclasses; 1.0.9 is tested for real in
tests/flow/test_label_studio_ml.py.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from page_world import World, make_world

PLUGINS = Path(__file__).parents[2] / "plugins"


class Base2:
    """``LabelStudioMLBase`` of 2.x: one object per request, values in a cache, ``setup()`` at the end."""

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        self._cache: dict[str, str] = {}
        self.setup()

    def setup(self) -> None: ...

    def get(self, key: str) -> str:
        return self._cache[key]

    def set(self, key: str, value: str) -> None:
        self._cache[key] = value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path)
    made.project()
    yield made
    made.services.database.dispose()


@pytest.fixture
def adapter(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    package, model = ModuleType("label_studio_ml"), ModuleType("label_studio_ml.model")
    vars(model)["LabelStudioMLBase"] = Base2
    monkeypatch.setitem(sys.modules, "label_studio_ml", package)
    monkeypatch.setitem(sys.modules, "label_studio_ml.model", model)
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.delitem(sys.modules, "custom_ai_label_studio_ml", raising=False)
    module = importlib.import_module("custom_ai_label_studio_ml")
    monkeypatch.setattr(module, "services", lambda: world.services)
    yield module
    del sys.modules["custom_ai_label_studio_ml"]


def test_version_is_the_champions(adapter: Any, world: World) -> None:
    assert adapter.CustomAIBackend(project_id="1").get("model_version") == "p1-untrained"
    first, *_ = world.candidates(world.run())
    world.promote(first.id)
    assert adapter.CustomAIBackend(project_id="1").get("model_version") == first.version


def test_predict_answers_every_task(adapter: Any) -> None:
    backend = adapter.CustomAIBackend(project_id="1", label_config="<View/>")
    tasks = [{"id": 1, "data": {}}, {"id": 2, "project": 77, "data": {}}]
    assert backend.predict(tasks, context={}, login=None, password=None) == [[], []]


@pytest.mark.parametrize(
    ("event", "project", "status", "rung"),
    [
        ("ANNOTATION_CREATED", {"id": 1}, "noted", [("look", (1,))]),
        ("START_TRAINING", {"id": 1}, "checking", [("start_training", (1,))]),
        # "Start model training on annotation submission" is on: a saved annotation, not a click
        ("START_TRAINING", {"id": 1, "start_training_on_annotation_update": True}, "noted", [("look", (1,))]),
        ("ANNOTATION_CREATED", {"id": 5}, "unknown", [("adopt", (5,))]),
        ("ANNOTATION_CREATED", {"id": "../x"}, "unknown", []),
        ("ANNOTATION_CREATED", None, "unknown", []),
    ],
)
def test_events_are_handed_over(
    adapter: Any, world: World, event: str, project: object, status: str, rung: list[Any]
) -> None:
    data = {"project": project}
    assert adapter.CustomAIBackend(project_id="1").fit(event, data)["status"] == status
    assert world.bell.rung == rung


def test_both_ways_to_call_fit(adapter: Any, world: World) -> None:
    backend = adapter.CustomAIBackend(project_id="1")
    data = {"project": {"id": 1}}
    assert backend.fit((), event="START_TRAINING", data=data, job_id="1", workdir="x")["status"] == "checking"
    assert backend.fit([{"id": 1}], "workdir") == {"status": "not an event"}
    assert backend.fit() == {"status": "not an event"}
