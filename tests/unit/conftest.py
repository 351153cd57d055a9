"""Fixtures for the tests of the pages: a small world and a browser in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from page_world import World, make_world

from custom_ai import web


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = make_world(tmp_path)
    monkeypatch.setattr(web, "SignIn", lambda services: made.house)
    yield made
    made.services.database.dispose()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return world.app().test_client()
