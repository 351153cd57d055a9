"""The settings form of a project: what it saves, and what it says and keeps when it is refused."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, World, page, visible

from custom_ai.state.tables import Project

WHERE = "/projects/1/settings"


def send(client: FlaskClient, **fields: object) -> tuple[int, str]:
    """Send the settings form; (status, page) of what follows."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, "/projects/1"))
    assert token is not None
    answer = client.post(WHERE, data={"csrf_token": token[1], **fields}, follow_redirects=True)
    return answer.status_code, answer.get_data(as_text=True)


def stored(world: World) -> Project:
    with world.services.database.read() as session:
        return session.get_one(Project, 1)


def field(html: str, id: str) -> str:
    found = re.search(rf'<input[^>]* id="{id}"[^>]*>', html)
    assert found is not None, id
    return found[0]


def test_everything_is_saved_and_shown_again(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([3, 3, 3])
    status, html = send(
        client,
        auto_train="on",
        auto_label="on",
        labels_per_class="25",
        retrain_below="72.5",
        threshold="0.35",
        classes_shown="1",
        chosen_class=[CLASSES[0], CLASSES[1]],
    )
    assert status == 200
    assert "The settings are saved." in html
    row = stored(world)
    assert (row.auto_train, row.auto_label, row.labels_per_class) == (True, True, 25)
    assert (row.retrain_below, row.chosen_classes) == (0.725, [CLASSES[0], CLASSES[1]])
    assert " checked" in field(html, "auto-train")
    assert 'value="25"' in field(html, "labels-per-class")
    assert 'value="72.5"' in field(html, "retrain-below")
    assert row.threshold == 0.35 and 'value="0.35"' in field(html, "default-threshold")
    assert [" checked" in field(html, f"chosen-{number}") for number in (1, 2, 3)] == [True, True, False]


def test_all_classes_mean_also_those_that_come_later(client: FlaskClient, world: World) -> None:
    world.project(chosen_classes=[CLASSES[0]], retrain_below=0.5)
    send(client, classes_shown="1", chosen_class=CLASSES, retrain_below="", labels_per_class="10")
    assert (stored(world).chosen_classes, stored(world).retrain_below) == (None, None)
    assert stored(world).labels_per_class is None, "an unchanged number must not pin the default"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"labels_per_class": "0"}, "expected a whole number from 1 to 10,000"),
        ({"labels_per_class": "many"}, "many cannot be used: expected a number"),
        ({"threshold": "1.5"}, "1.5 cannot be used: a threshold lies between 0 and 1"),
        ({"retrain_below": "150"}, "150 cannot be used: expected a percentage between 0 and 100"),
        ({"retrain_below": "nan"}, "expected a percentage between 0 and 100"),
        ({"chosen_class": []}, "tick at least one class"),
        ({"chosen_class": ["lamp"]}, "cannot be used"),
    ],
)
def test_refused_form_keeps_what_was_typed(
    client: FlaskClient, world: World, bad: dict[str, object], words: str
) -> None:
    world.project()
    good: dict[str, object] = {
        "auto_train": "on",
        "labels_per_class": "33",
        "retrain_below": "61",
        "classes_shown": "1",
        "chosen_class": [CLASSES[2]],
    }
    status, html = send(client, **(good | bad))
    assert status == 400
    assert words in visible(html)
    row = stored(world)
    assert (row.auto_train, row.labels_per_class, row.retrain_below, row.chosen_classes) == (False, None, None, None)
    assert " checked" in field(html, "auto-train")
    assert f'value="{bad.get("labels_per_class", 33)}"' in field(html, "labels-per-class")
    assert f'value="{bad.get("retrain_below", 61)}"' in field(html, "retrain-below")
    assert (" checked" in field(html, "chosen-3")) == ("chosen_class" not in bad)
    assert " checked" not in field(page(client, "/projects/1"), "auto-train"), "the next visit shows what is stored"


def test_settings_of_a_project_without_classes(client: FlaskClient, world: World) -> None:
    world.project()
    with world.services.database.write() as session:
        session.get_one(Project, 1).available_classes = []
    html = page(client, "/projects/1")
    assert "classes_shown" not in html
    status, _html = send(client, auto_label="on", labels_per_class="10")
    assert status == 200
    assert stored(world).auto_label


def test_explanations_belong_to_their_fields(client: FlaskClient, world: World) -> None:
    world.project()
    html = page(client, "/projects/1")
    for id in ("auto-train", "auto-label", "labels-per-class", "retrain-below"):
        hint = re.search(r'aria-describedby="([^"]+)"', field(html, id))
        assert hint is not None
        assert f'id="{hint[1]}"' in html
