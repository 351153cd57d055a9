"""A real Label Studio for the flow tests, one for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import Stack

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.labelstudio.client import LabelStudio, Session

DEFAULT = Path(__file__).parents[2] / ".venv-label-studio" / "bin" / "label-studio"


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """The running server; its `files_root` is the folder `files` beside its data."""
    executable = Path(os.environ.get("CUSTOM_AI_TEST_LABEL_STUDIO", DEFAULT))
    if not executable.exists():
        pytest.fail(f"no Label Studio at {executable}: run `make setup`", pytrace=False)
    folder = tmp_path_factory.mktemp("label-studio")
    files = folder / "files"
    files.mkdir()
    with LabelStudioServer(executable, folder / "data", files_root=files) as server:
        yield server


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
