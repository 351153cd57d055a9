"""A real Label Studio for the flow and browser tests, one for the whole session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from custom_ai.demo.label_studio_server import LabelStudioServer, _free_port

if TYPE_CHECKING:
    from extended import Extended

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


@pytest.fixture(scope="session")
def extended(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extended]:
    """A second Label Studio, with our extension in it, and a Custom AI of its own; one for flow and browser tests."""
    from extended import Extended, copy_of  # the unit tests do not need what it loads

    folder = tmp_path_factory.mktemp("extended")
    with Extended(
        label_studio.executable, copy_of(label_studio, folder / "data"), folder / "state", _free_port()
    ) as made:
        yield made
