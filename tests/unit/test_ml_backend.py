"""The protocol against what Label Studio 1.23.2 was recorded to send."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from custom_ai.pipeline.connect import SECRET_HEADER, webhook_secret
from custom_ai.services import Services
from custom_ai.state.tables import Project, now
from custom_ai.web import create_app
from support import WritingBell, services_in

CAPTURES = Path(__file__).parents[1] / "fixtures" / "label_studio"
WEBHOOKS = sorted(file.stem for file in CAPTURES.glob("*_webhook_*.json"))


def recorded(name: str) -> list[dict[str, Any]]:
    captured: list[dict[str, Any]] = json.loads((CAPTURES / f"{name}.json").read_text())
    return captured


@pytest.fixture
def services(tmp_path: Path) -> Services:
    made = services_in(tmp_path)
    with made.database.write() as session:
        session.add(Project(id=1, title="Fixtures", available_classes=["Car", "Person"], connected_at=now()))
    return made


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services).test_client()


def rung(services: Services) -> list[tuple[str, tuple[int, ...]]]:
    assert isinstance(services.bell, WritingBell)
    return services.bell.rung


@pytest.mark.parametrize("name", ["01_connect_ml_backend", "04_open_task", "06_retrieve_predictions_action"])
def test_every_recorded_call_is_answered_in_the_right_shape(client: FlaskClient, name: str) -> None:
    for call in recorded(name):
        answer = client.open(call["path"], method=call["m"], json=call["body"])
        if call["path"] == "/webhook":
            continue  # those that Label Studio sends by itself carry no secret
        assert answer.status_code == 200, (call["path"], answer.text)
        if call["path"] == "/health":
            assert answer.json["status"] == "UP"
        if call["path"] == "/setup":
            assert answer.json["model_version"] == "p1-untrained"
        if call["path"] == "/predict":
            assert answer.json == {"results": [[] for _ in call["body"]["tasks"]]}


@pytest.mark.parametrize("extra", [None, "", '{"k": 1}', {"k": 1}, "not json", ["a"]])
def test_extra_params_may_be_anything(client: FlaskClient, extra: object) -> None:
    answer = client.post("/setup", json={"project": "1.1795361061", "schema": "<View/>", "extra_params": extra})
    assert answer.json == {"model_version": "p1-untrained"}


def test_setup_of_an_unknown_project_asks_for_its_adoption_once(client: FlaskClient, services: Services) -> None:
    for _ in range(3):
        client.post("/setup", json={"project": "77.1795361061"})
    assert rung(services) == [("adopt", (77,))]


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_signed_webhook_is_noted(client: FlaskClient, services: Services, name: str) -> None:
    (call,) = recorded(name)[:1]
    answer = client.post("/webhook", json=call["body"], headers={SECRET_HEADER: webhook_secret(services, 1)})
    assert answer.json == {"status": "noted"}
    assert rung(services) == [("look", (1,))]


@pytest.mark.parametrize("name", WEBHOOKS)
def test_an_unsigned_webhook_does_nothing(client: FlaskClient, services: Services, name: str) -> None:
    assert client.post("/webhook", json=recorded(name)[0]["body"]).status_code == 401
    assert rung(services) == []


def test_the_secret_of_one_project_is_no_use_for_another(client: FlaskClient, services: Services) -> None:
    body = {"action": "ANNOTATION_CREATED", "project": {"id": 1}}
    answer = client.post("/webhook", json=body, headers={SECRET_HEADER: webhook_secret(services, 2)})
    assert answer.status_code == 401


def test_a_burst_of_webhooks_rings_once(client: FlaskClient, services: Services) -> None:
    body = recorded("11_webhook_ANNOTATION_CREATED")[0]["body"]
    for _ in range(20):
        client.post("/webhook", json=body, headers={SECRET_HEADER: webhook_secret(services, 1)})
    assert rung(services) == [("look", (1,))]


def test_start_training_says_what_is_missing(client: FlaskClient, services: Services) -> None:
    answer = client.post("/webhook", json=recorded("08_start_training")[0]["body"])
    assert answer.json["status"] == "checking"
    assert answer.json["labels"] == {"Car": "0/10", "Person": "0/10"}
    assert rung(services) == [("start_training", (1,))]


def test_start_training_by_every_submission_is_a_hint_only(client: FlaskClient, services: Services) -> None:
    body = recorded("08_start_training")[0]["body"]
    body["project"]["start_training_on_annotation_update"] = True
    assert client.post("/webhook", json=body).json["status"] == "noted"
    assert rung(services) == [("look", (1,))]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/setup", b"not json"),
        ("/setup", b"[]"),
        ("/setup", b'{"project": "../../1"}'),
        ("/setup", b'{"project": null}'),
        ("/webhook", b""),
        ("/webhook", b'{"action": "ANNOTATION_CREATED"}'),
        ("/webhook", b'{"project": {"id": "\xc2\xb2"}}'),
        ("/predict", b'{"project": "1", "tasks": 5}'),
        ("/predict", b'{"project": "1", "tasks": [1]}'),
    ],
)
def test_garbage_is_refused_with_a_reason(client: FlaskClient, path: str, body: bytes) -> None:
    answer = client.post(path, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "bad_input"


def test_basic_auth_guards_the_ml_routes(tmp_path: Path) -> None:
    services = services_in(tmp_path, basic_auth_user="ls", basic_auth_pass="geheim")
    client = create_app(services).test_client()
    assert client.get("/health").status_code == 200
    body = {"project": "1", "tasks": []}
    for auth in (None, ("ls", "wrong"), ("other", "geheim"), ("ls", "")):
        for path in ("/setup", "/predict", "/versions"):
            answer = client.post(path, json=body, auth=auth)
            assert answer.status_code == 401
            assert "BASIC_AUTH_USER" in answer.json["error"]["message"]
    assert client.post("/setup", json=body, auth=("ls", "geheim")).status_code == 200
    training = {"action": "START_TRAINING", "project": {"id": 1}}
    assert client.post("/webhook", json=training).status_code == 401


def test_errors_come_in_korean_too(client: FlaskClient) -> None:
    answer = client.post("/setup", json=[], headers={"Accept-Language": "ko-KR,ko;q=0.9"})
    assert any("가" <= letter <= "힣" for letter in answer.json["error"]["message"])


def test_an_internal_error_shows_an_id_and_nothing_else(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(services)

    def broken() -> str:
        raise RuntimeError("the password is geheim")

    app.view_functions["ml_backend.health"] = broken  # a route that needs no sign-in
    with caplog.at_level(logging.ERROR):
        answer = app.test_client().get("/health")
    assert answer.status_code == 500
    assert "geheim" not in answer.text
    assert answer.json["error"]["message"].rpartition(" ")[2].rstrip(".") in caplog.text


def test_webhook_payloads_are_not_logged(
    client: FlaskClient, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    body = recorded("11_webhook_ANNOTATION_CREATED")[0]["body"]
    body["project"]["task_data_password"] = "geheim"
    with caplog.at_level(logging.DEBUG):
        client.post("/webhook", json=body, headers={SECRET_HEADER: webhook_secret(services, 1)})
        client.post("/webhook", json=body)
    assert "geheim" not in caplog.text
    assert webhook_secret(services, 1) not in caplog.text
