"""Rotated boxes the whole way, as polygons go it in tests/flow."""

from __future__ import annotations

from pathlib import Path

import pytest
from stack import Stack
from test_every_kind import go_the_whole_way

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.types import LabelKind

pytestmark = pytest.mark.flow


def test_rotated_boxes_go_the_whole_way(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    stack = Stack(label_studio, tmp_path / "custom-ai")
    stack.start()
    try:
        go_the_whole_way(stack, tmp_path, LabelKind.ROTATED_BOX)
    finally:
        stack.close()
