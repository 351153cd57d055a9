"""A real Label Studio for the flow and browser tests, one for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_ai.demo.label_studio_server import LabelStudioServer

DEFAULT = Path(__file__).parents[1] / ".venv-label-studio" / "bin" / "label-studio"


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """The running server; its `files_root` is the folder `files` beside its data."""
    executable = Path(os.environ.get("CUSTOM_AI_TEST_LABEL_STUDIO", DEFAULT))
    if not executable.exists():
        pytest.fail(f"no Label Studio at {executable}: run `make setup-test`", pytrace=False)
    folder = tmp_path_factory.mktemp("label-studio")
    files = folder / "files"
    files.mkdir()
    with LabelStudioServer(executable, folder / "data", files_root=files) as server:
        yield server
