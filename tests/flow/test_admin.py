"""What an admin does and gets wrong: connect, doctor, tokens, configs, sign-in."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from stack import Stack, eventually, scenes_in

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.demo.scenes import Scene
from custom_ai.pipeline.connect import SECRET_HEADER

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return scenes_in(tmp_path_factory.mktemp("scenes"), 3, seed=5)


@pytest.fixture
def project_id(stack: Stack) -> Iterator[int]:
    made = stack.new_project(config="", title="Admin")
    yield made
    stack.studio.delete_project(made)


def test_connect_makes_a_labelling_config(stack: Stack, project_id: int, scenes: list[Scene]) -> None:
    refused = stack.command("connect", str(project_id))
    assert refused.returncode == 1
    assert "--classes" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = stack.command("connect", str(project_id), "--classes", "mug,leaf & <b>,tool")
    assert done.returncode == 0, done.stderr
    assert "mug 0/10" in done.stdout
    assert stack.project(project_id)["classes"] == ["mug", "leaf & <b>", "tool"]
    again = stack.command("connect", str(project_id))  # harmless
    assert again.returncode == 0, again.stderr
    assert len(stack.studio.ml_backends(project_id)) == 1
    (hook,) = stack.studio.webhooks(project_id)
    assert SECRET_HEADER in hook.headers


def test_doctor_finds_everything_in_order(stack: Stack, project_id: int, scenes: list[Scene]) -> None:
    stack.command("connect", str(project_id), "--classes", "mug,leaf,tool")
    stack.upload(project_id, scenes)
    eventually(lambda: stack.project(project_id)["tasks"]["total"] == len(scenes), 20)
    done = stack.command("doctor", str(project_id), environment={"COLUMNS": "200"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 13
    assert stack.studio.model_versions(project_id) == {}  # it cleans up after itself


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("CUSTOM_AI_LABEL_STUDIO_API_KEY", "", "CUSTOM_AI_LABEL_STUDIO_API_KEY"),
        ("CUSTOM_AI_LABEL_STUDIO_API_KEY", "0" * 40, "personal access token"),
        ("CUSTOM_AI_LABEL_STUDIO_URL", "http://127.0.0.1:9", "127.0.0.1:9"),
        ("CUSTOM_AI_PUBLIC_URL", "http://127.0.0.1:9", "custom-ai run"),
    ],
)
def test_doctor_names_the_failing_leg(stack: Stack, variable: str, value: str, hint: str) -> None:
    done = stack.command("doctor", environment={variable: value, "COLUMNS": "300"})
    assert done.returncode == 1
    assert "✗" in done.stdout
    assert hint in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_doctor_speaks_korean(stack: Stack) -> None:
    done = stack.command("doctor", environment={"LANG": "ko_KR.UTF-8", "LC_ALL": "", "LC_MESSAGES": ""})
    assert any("가" <= letter <= "힣" for letter in done.stdout)


def test_an_unknown_setting_is_named(stack: Stack) -> None:
    done = stack.command("status", environment={"CUSTOM_AI_TREADS": "2"})
    assert done.returncode == 1
    assert "CUSTOM_AI_TREADS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        (
            '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>',
            "Image",
        ),
    ],
)
def test_a_foreign_config_is_refused_with_a_way_out(stack: Stack, config: str, hint: str) -> None:
    project_id = stack.new_project(config=config)
    error = stack.ask("POST", f"/projects/{project_id}/connect", expect=422)["error"]
    assert error["code"] == "label_config"
    assert hint in error["message"]


def test_a_config_that_becomes_unusable_is_told_and_heals(stack: Stack, scenes: list[Scene]) -> None:
    project_id = stack.new_project()
    stack.ask("POST", f"/projects/{project_id}/connect")
    good = stack.studio.project(project_id).label_config
    choices = '<Choices name="c" toName="image"><Choice value="a"/></Choices>'
    foreign = f'<View><Image name="image" value="$image"/>{choices}</View>'
    stack.studio.update_project(project_id, label_config=foreign)
    eventually(lambda: stack.project(project_id)["problem"], 20)
    error = stack.ask("POST", f"/projects/{project_id}/runs", expect=409)["error"]
    assert error["code"] == "conflict"
    stack.studio.update_project(project_id, label_config=good)
    eventually(lambda: not stack.project(project_id)["problem"], 20)


def test_unknown_things_are_404(stack: Stack) -> None:
    for method, path in [
        ("GET", "/projects/99999"),
        ("POST", "/projects/99999/connect"),
        ("POST", "/projects/99999/runs"),
        ("GET", "/runs/99999"),
        ("GET", "/selections/99999"),
        ("GET", "/auto-label/99999"),
    ]:
        assert stack.ask(method, path, expect=404)["error"]["code"] in ("not_found", "label_studio_missing")


def test_a_deleted_project_is_noticed(stack: Stack) -> None:
    project_id = stack.new_project()
    stack.ask("POST", f"/projects/{project_id}/connect")
    stack.studio.delete_project(project_id)
    # who may see what is remembered for a minute, so the address may still answer for so long
    eventually(lambda: project_id not in [one["id"] for one in stack.ask("GET", "/projects")["projects"]], 30)


def test_a_backend_connected_in_label_studio_itself_is_adopted(stack: Stack) -> None:
    """Settings > Model > Connect: Label Studio calls /setup, we do the rest."""
    project_id = stack.new_project()
    stack.studio.add_ml_backend(project_id, stack.url, "By hand")
    eventually(lambda: stack.api.get(f"/projects/{project_id}").status_code == 200, 20)
    eventually(lambda: any(SECRET_HEADER in hook.headers for hook in stack.studio.webhooks(project_id)), 20)


def test_setup_for_a_project_that_is_not_ours_connects_nothing(stack: Stack) -> None:
    project_id = stack.new_project()
    httpx.post(f"{stack.url}/setup", json={"project": f"{project_id}.1", "schema": "<View/>"})
    eventually(lambda: f"project {project_id}: /setup was called" in stack.log, 20)
    assert stack.ask("GET", f"/projects/{project_id}", expect=404)["error"]["code"] == "not_found"


def test_signing_in(stack: Stack, project_id: int, label_studio: LabelStudioServer) -> None:
    """With Label Studio's cookie, a personal access token, or not at all."""
    path = f"{stack.url}/api/me"
    assert httpx.get(path).status_code == 401
    assert httpx.get(path, cookies={"sessionid": "nonsense"}).status_code == 401
    assert httpx.get(path, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    with label_studio.signed_in() as browser:
        cookie = browser.cookies["sessionid"]
    with httpx.Client(base_url=stack.url, cookies={"sessionid": cookie}) as person:
        me = person.get("/api/me").json()
        assert me["email"] == label_studio.email
        unprotected = person.post(f"/api/projects/{project_id}/connect", json={"classes": ["a"]})
        assert unprotected.status_code == 400
        assert unprotected.json()["error"]["code"] == "csrf"
        headers = {"X-CSRFToken": me["csrf_token"], "Referer": stack.url}
        assert person.post(f"/api/projects/{project_id}/connect", json={"classes": ["a"]}, headers=headers).is_success


def test_legacy_tokens(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Refused with a way out while they are switched off; good for everything once they are on."""
    folder = tmp_path_factory.mktemp("legacy")
    legacy = Stack(label_studio, folder, label_studio_api_key=label_studio.legacy_token)
    project_id = legacy.new_project()
    off = legacy.command("doctor", environment={"COLUMNS": "300"})
    assert "legacy" in off.stdout.lower()
    label_studio.enable_legacy_tokens()
    legacy.start()
    try:
        done = legacy.command("connect", str(project_id))
        assert done.returncode == 0, done.stderr
        scenes = scenes_in(folder / "scenes", 2, seed=9)
        ids = legacy.upload(project_id, scenes)
        legacy.annotate(project_id, ids[0], scenes[0])
        mugs = sum(box.label == "mug" for box in scenes[0].boxes)
        me = legacy.api.get("/me", headers={"Authorization": f"Token {label_studio.legacy_token}"})
        assert me.json()["email"] == label_studio.email
        eventually(lambda: legacy.project(project_id)["labels"]["mug"] == mugs, 20)
    finally:
        legacy.close()
        label_studio.enable_legacy_tokens(False)
