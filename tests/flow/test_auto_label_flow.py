"""What auto-labelling asks of the real Label Studio: the tasks of a tab, second predictions, lost answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custom_ai.errors import LabelStudioMissing, LabelStudioUnreachable
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.config import template
from custom_ai.labelstudio.tasks import condition

pytestmark = pytest.mark.flow
VERSION = "p1-m7"


@pytest.fixture(scope="module")
def project(label_studio: object) -> list[int]:
    """Filled by the first test that needs it: the project's id, then its tasks."""
    return []


@pytest.fixture
def tasks(ls_client: LabelStudio, project: list[int]) -> Iterator[list[int]]:
    if not project:
        made = ls_client.create_project("Tabs", "", template(["mug"])).id
        project += [made, *ls_client.import_tasks(made, [{"data": {"image": f"/data/{n}.jpg"}} for n in range(10)])]
    yield project[1:]


def rows(tasks: list[int], version: str = VERSION) -> list[dict[str, object]]:
    return [{"task": task, "result": [], "score": 0.0, "model_version": version} for task in tasks]


def tab(ls_client: LabelStudio, project_id: int, filters: dict[str, object]) -> int:
    body = {"project": project_id, "data": {"title": "Some", "type": "list", "filters": filters}}
    return int(ls_client.session.post("/api/dm/views/", body)["id"])


def test_the_tasks_of_a_tab(ls_client: LabelStudio, project: list[int], tasks: list[int]) -> None:
    first = condition("id", "in", "Number", {"min": tasks[0], "max": tasks[2]})
    last = condition("id", "equal", "Number", tasks[9])
    middle = condition("id", "greater", "Number", tasks[1])
    either = tab(ls_client, project[0], {"conjunction": "or", "items": [first, last]})
    assert ls_client.tasks_of_view(project[0], either) == {*tasks[:3], tasks[9]}
    both = tab(ls_client, project[0], {"conjunction": "and", "items": [first, middle]})
    assert ls_client.tasks_of_view(project[0], both) == {tasks[2]}
    every = tab(ls_client, project[0], {"conjunction": "and", "items": []})
    assert ls_client.tasks_of_view(project[0], every) == set(tasks)
    with pytest.raises(LabelStudioMissing, match=f"view {every + 1000}"):
        ls_client.tasks_of_view(project[0], every + 1000)
    with pytest.raises(LabelStudioMissing, match=f"view {every}"):
        ls_client.check_view(project[0] + 1000, every)


def test_second_predictions_are_removed(ls_client: LabelStudio, project: list[int], tasks: list[int]) -> None:
    ls_client.push_predictions(project[0], rows(tasks))
    ls_client.push_predictions(project[0], rows(tasks[:3]) + rows(tasks[:2], VERSION + "0"))
    assert ls_client.model_versions(project[0]) == {VERSION: 13, VERSION + "0": 2}
    assert ls_client.remove_second_predictions(project[0], VERSION, among=tasks[1:]) == 2
    assert ls_client.remove_second_predictions(project[0], VERSION, among=tasks) == 1
    assert ls_client.remove_second_predictions(project[0], VERSION, among=tasks) == 0
    assert ls_client.model_versions(project[0]) == {VERSION: 10, VERSION + "0": 2}


def test_a_push_whose_answer_is_lost_is_in_doubt(
    ls_client: LabelStudio, project: list[int], tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = "p1-m8"
    real = ls_client._post
    calls = 0

    def lost(project_id: int, batch: list[dict[str, object]]) -> int:
        nonlocal calls
        calls += 1
        made = real(project_id, batch)
        if calls == 1:
            raise LabelStudioUnreachable(url="", detail="the answer was lost")
        return made

    monkeypatch.setattr(ls_client, "_post", lost)
    report = ls_client.push_predictions(project[0], rows(tasks, version))
    assert (report.created, report.rejected, report.in_doubt) == (len(tasks), (), tuple(tasks))
    assert ls_client.model_versions(project[0])[version] == len(tasks)
