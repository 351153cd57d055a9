"""What the steps of the story (see conftest.py) leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stack import Stack

from custom_ai.demo.scenes import Scene

CLASSES = ("mug", "leaf", "tool")
ARCHIVE = "Table tops.zip"


@dataclass
class Project:
    """The project of the story."""

    id: int
    path: str
    scenes: dict[int, Scene]
    """The scene of every task."""
    labelled: list[int]
    """Tasks that a person labels."""


@dataclass
class Training:
    """What was seen on the dashboard while the models trained, without loading it again."""

    run: Any
    badges: list[str]
    candidates: list[str]


def scenes_of(stack: Stack, project_id: int, scenes: Sequence[Scene]) -> dict[int, Scene]:
    """The scene of every task of a project that was made from an archive."""
    by_name = {scene.path.stem: scene for scene in scenes}
    found = {}
    for task in stack.studio.tasks(project_id):
        name = str(task["data"]["image"]).rpartition("__")[2]  # "scene-0001-", a mark of the content, ".jpg"
        found[int(task["id"])] = by_name[name.rpartition("-")[0]]
    return found
