"""Custom AI beside the real Label Studio (which ../conftest.py starts), for the flow tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import Stack

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.labelstudio.client import LabelStudio, Session


@pytest.fixture(scope="session")
def served_files(label_studio: LabelStudioServer) -> Path:
    """Images in this folder can be served by Label Studio as local files."""
    return label_studio.data_dir.parent / "files"


@pytest.fixture
def ls_client(label_studio: LabelStudioServer) -> Iterator[LabelStudio]:
    """A client with a personal access token."""
    with Session(label_studio.url, label_studio.token, timeout_s=60, retry_s=10) as session:
        yield LabelStudio(session)


@pytest.fixture(scope="session")
def stack(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Custom AI as a program of its own, with its embedded queue and real workers."""
    running = Stack(label_studio, tmp_path_factory.mktemp("custom-ai"))
    running.start()
    yield running
    running.close()
