"""Our extension in a real Label Studio, by its API: what is in the menu, and what the actions do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from seeded import Seeded
from stack import eventually

from custom_ai.assertions import FOR_LABEL_STUDIO, sign
from extended import Extended

pytestmark = pytest.mark.flow
OURS = ["custom_ai_make", "custom_ai_auto_label", "custom_ai_deidentify", "custom_ai_choose", "custom_ai_status"]


@pytest.fixture(scope="module")
def seeded(extended: Extended) -> Iterator[Seeded]:
    """A connected project with three images, whose model need not be trained."""
    made = Seeded(extended.label_studio, extended.state, 3)
    yield made
    made.studio.delete_project(made.project_id)
    made.close()


def texts(fields: list[dict[str, Any]]) -> str:
    return "\n".join(str(one["label"]) for one in fields)


def test_the_actions_stand_above_label_studios_own(extended: Extended, seeded: Seeded) -> None:
    with extended.label_studio.signed_in() as browser:
        found = browser.get("/api/dm/actions", params={"project": seeded.project_id}).json()
    ids = [one["id"] for one in found]
    assert ids[: len(OURS)] == OURS
    assert "delete_tasks" in ids
    assert "tried with Label Studio" not in texts(extended.form("custom_ai_status", seeded.project_id))


def test_a_project_is_connected_from_its_menu(extended: Extended) -> None:
    project_id = extended.stack.new_project(title="Not yet")
    fields = extended.form("custom_ai_make", project_id)
    assert [(one["name"], one["value"]) for one in fields if one["type"] == "toggle"] == [("connect", True)]
    status, answer = extended.act("custom_ai_status", project_id, [])
    assert (status, answer["code"]) == (422, "not_found")
    status, answer = extended.act("custom_ai_make", project_id, [], {"connect": True})
    assert status == 200, answer
    assert extended.stack.project(project_id)["connected"]
    assert "No class has the 10 labels" in texts(extended.form("custom_ai_make", project_id))
    status, answer = extended.act("custom_ai_make", project_id, [])
    assert (status, answer["code"]) == (422, "not_ready")
    assert "Every chosen class needs 10" in answer["detail"]
    extended.stack.studio.delete_project(project_id)


def test_training_is_asked_for_in_the_users_name(extended: Extended, seeded: Seeded) -> None:
    extended.stack.ask("PATCH", f"/projects/{seeded.project_id}", {"labels_per_class": 1})
    seeded.draw(seeded.tasks[0], "cat")
    fields = extended.form("custom_ai_make", seeded.project_id)
    assert [one["name"] for one in fields if one["type"] == "toggle"] == ["class:cat"]
    assert "dog: 0 of 1 labels" in texts(fields)
    status, answer = extended.act("custom_ai_make", seeded.project_id, seeded.tasks[:1], {"class:cat": False})
    assert (status, answer["code"]) == (422, "bad_input")
    status, answer = extended.act("custom_ai_make", seeded.project_id, seeded.tasks[:1], {"class:cat": True})
    assert (status, answer["detail"]) == (200, "Training is in line; it begins by itself.")
    run = extended.stack.project(seeded.project_id)["run"]
    extended.stack.ask("POST", f"/runs/{run['id']}/cancel")
    assert (run["requested_by"], run["classes"]) == (extended.label_studio.email, ["cat"])


def test_selected_tasks_are_pre_labelled(extended: Extended, seeded: Seeded) -> None:
    assert "There is no model yet" in texts(extended.form("custom_ai_auto_label", seeded.project_id))
    model = seeded.model(0.9)
    fields = {one["name"]: one for one in extended.form("custom_ai_auto_label", seeded.project_id)}
    assert [one["value"] for one in fields["model"]["options"]] == ["", str(model.id)]
    status, answer = extended.act(
        "custom_ai_auto_label", seeded.project_id, seeded.tasks[:2], {"model": "", "hide_faces": False}
    )
    assert (status, answer["processed_items"]) == (200, 1), "the first one has an annotation"
    job = extended.stack.project(seeded.project_id)["auto_label"]
    assert job["requested_by"] == extended.label_studio.email
    assert extended.stack.wait_for_job(job["id"])["tasks"]["done"] == 1
    counts = extended.stack.predictions(seeded.project_id, job["version"])
    assert counts == {seeded.tasks[0]: 0, seeded.tasks[1]: 1, seeded.tasks[2]: 0}
    status, answer = extended.act("custom_ai_status", seeded.project_id, [])
    assert status == 200
    assert f"Model in use: {model.version}" in answer["detail"]
    assert "1 pre-labelled tasks wait" in answer["detail"]


def test_without_a_vote_there_is_nothing_to_choose(extended: Extended, seeded: Seeded) -> None:
    status, answer = extended.act("custom_ai_choose", seeded.project_id, [])
    assert (status, answer["code"]) == (422, "no_vote")


def test_the_way_to_our_pages_needs_label_studios_sign_in(extended: Extended, seeded: Seeded) -> None:
    url = extended.label_studio.url
    path = f"/custom-ai/projects/{seeded.project_id}/"
    stranger = httpx.get(url + path, timeout=30)
    assert stranger.headers["location"] == f"/user/login/?next={path}"
    with extended.label_studio.signed_in() as browser:
        assert browser.get("/custom-ai/projects/999999/").status_code == 404
        there = browser.get(path, params={"page": "//evil.example"}).headers["location"]
        assert there.startswith(f"{extended.public_url}/sign-in/label-studio?")
        assert "evil" not in there
        assert browser.get("/custom-ai/authorize").status_code == 404, "nothing is signed without a state"


def test_only_custom_ai_may_ask_who_sees_what(extended: Extended, seeded: Seeded) -> None:
    def ask(secret: str, user: int) -> httpx.Response:
        statement = sign(secret, FOR_LABEL_STUDIO, user=user, projects=[seeded.project_id, 999_999])
        url = f"{extended.label_studio.url}/custom-ai/who-sees"
        return httpx.post(url, json={"assertion": statement}, timeout=30)

    me = extended.stack.studio.whoami()
    found = ask(extended.secret, me.id).json()
    assert found == {"id": me.id, "email": me.email, "projects": [seeded.project_id]}
    assert ask("x" * 40, me.id).status_code == 403
    assert ask(extended.secret, 999_999).status_code == 403


def test_a_signed_in_browser_is_handed_over(extended: Extended, seeded: Seeded) -> None:
    with extended.label_studio.signed_in() as there, httpx.Client(timeout=60) as here:
        begun = here.get(there.get(f"/custom-ai/projects/{seeded.project_id}/").headers["location"])
        statement = there.get(begun.headers["location"]).headers["location"]
        arrived = here.get(statement)
        assert arrived.headers["location"] == f"/projects/{seeded.project_id}"
        page = here.get(f"{extended.public_url}/projects/{seeded.project_id}")
        assert page.status_code == 200
        assert extended.label_studio.email in page.text
        assert here.get(f"{extended.public_url}/projects/999999").status_code == 404
    assert httpx.get(statement, timeout=30).status_code == 401, "it counts once"


def test_what_is_missing_is_said_at_once(extended: Extended, seeded: Seeded) -> None:
    """Custom AI stops for a moment: the menu is there, and the dialog says why it is empty."""
    extended.stack.stop()
    try:
        assert "does not answer. Is it running?" in texts(extended.form("custom_ai_make", seeded.project_id))
        with extended.label_studio.signed_in() as browser:
            found = browser.get("/api/dm/actions", params={"project": seeded.project_id}).json()
        assert [one["id"] for one in found][: len(OURS)] == OURS
    finally:
        extended.stack.start()
    eventually(lambda: "Labels" in texts(extended.form("custom_ai_status", seeded.project_id)), 20, "it answers again")
