"""What would remain at which threshold: counted on what the model had not seen, told by page and by REST."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from page_world import World, page, visible
from report_world import make_report_world

from custom_ai import web
from custom_ai.errors import NotFound
from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.pipeline import preview
from custom_ai.pipeline.pictures import threshold_of


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made, _ = make_report_world(tmp_path)
    monkeypatch.setattr(web, "SignIn", lambda services: made.house)
    yield made
    made.services.database.dispose()


def test_labels_images_precision_and_recall(world: World) -> None:
    """Of 8 cups and 8 forks the model sees all cups at .9 and six forks at .8; it invents a cup at .85, and takes a
    fork for a cup at .75.
    """
    found = preview.thresholds(world.services, 1)
    assert (found["of_images"], found["of_labels"]) == (8, 16)
    rows = {row.pop("threshold"): row for row in found["rows"]}
    assert list(rows) == [None, *preview.THRESHOLDS]
    assert rows[0.85] == {"labels": 9, "images": 8, "precision": 8 / 9, "recall": 8 / 16}
    assert rows[0.1] == {"labels": 16, "images": 8, "precision": 14 / 16, "recall": 14 / 16}
    assert rows[None] == rows[0.55], "its own are .5 for both classes"


def test_a_threshold_that_lets_nothing_through(world: World) -> None:
    (row,) = [one for one in preview.thresholds(world.services, 1, [0.99])["rows"] if one["threshold"] == 0.99]
    assert row == {"threshold": 0.99, "labels": 0, "images": 0, "precision": None, "recall": 0.0}


def test_unknown_model(world: World) -> None:
    with pytest.raises(NotFound):
        preview.thresholds(world.services, 99)


def test_page_and_rest_tell_the_same(client: FlaskClient, world: World) -> None:
    api = client.get("/api/models/1/thresholds").get_json()
    html = page(client, "/models/1/thresholds")
    part = page(client, "/models/1/thresholds?part=1")
    assert "<html" in html
    assert "<html" not in part
    for text in (html, part):
        table = text[text.index("<tbody>") : text.index("</tbody>")]
        shown = [visible(row).split()[-4:] for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
        assert shown == [
            [str(one["labels"]), str(one["images"]), f"{one['precision']:.0%}", f"{one['recall']:.0%}"]
            for one in api["rows"]
        ]


def test_a_line_fills_the_form(client: FlaskClient) -> None:
    html = page(client, "/models/1/thresholds")
    link = re.search(r'href="(/projects/1\?[^"#]*)#auto-label-title" data-threshold="0.4"', html)
    assert link is not None
    form = page(client, link[1].replace("&amp;", "&"))
    assert re.search(r'name="threshold"[^>]* value="0.4"', form)
    assert re.search(r'<option value="1"[^>]* selected', form)


def test_which_threshold_holds(world: World) -> None:
    """What a job asks for, then the project's setting, the labelling config, the installation's setting, the model."""
    services = world.services
    plain = parse_label_config(template(["a"]), 1).control()
    told = replace(plain, score_threshold=0.4)
    usual = replace(services, settings=services.settings.model_copy(update={"score_threshold": 0.5}))
    assert threshold_of(usual, told, 0.2, 0.3) == 0.2
    assert threshold_of(usual, told, None, 0.3) == 0.3
    assert threshold_of(usual, told, None, 0.0) == 0.0
    assert threshold_of(usual, told, None, None) == 0.4
    assert threshold_of(usual, plain, None, None) == 0.5
    assert threshold_of(services, plain, None, None) is None
