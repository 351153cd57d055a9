"""What the steps of the story (see conftest.py) leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    reloaded: bool
