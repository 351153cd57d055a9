"""The plain part of our extension in Label Studio: its settings, dialogs, actions and requests."""

from __future__ import annotations

import ast
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_label_studio import Call, Reply, as_json, serving

from custom_ai.assertions import FOR_API, digest, verify
from custom_ai_label_studio import forms, server, words, work
from custom_ai_label_studio.config import Config, read
from custom_ai_label_studio.into_settings import add
from custom_ai_label_studio.script import with_script
from custom_ai_label_studio.server import Person, Problem, Server, hand_over_path, is_own_page

SECRET = "s" * 40
PACKAGE = Path(str(server.__file__)).parent
PERSON = Person(5, "kim@example.com", 1)
CHAMPION = {"id": 12, "version": "p7-m12", "title": "Small", "map50": 0.81}
PROJECT: dict[str, Any] = {
    "connected": True,
    "problem": None,
    "kind": "box",
    "kinds": ["box", "rotated_box"],
    "labels_of_all_classes": {"cat": 12, "dog": 10, "cow": 3},
    "chosen_classes": ["cat"],
    "needed": 10,
    "champion": CHAMPION,
    "champion_is_provisional": True,
    "tasks": {"to_review": 4},
    "run": {"status": "running", "reason": None, "candidates": [{"status": "done"}, {"status": "running"}]},
    "selection": {"id": 3, "status": "open", "voters": {"a@example.com": 5}},
    "auto_label": {"status": "done", "tasks": {"done": 8, "total": 9, "failed": 1}},
}


class Custom:
    """A Custom AI that answers with what stands in ``answers``, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Reply] = {"GET /api/projects/7": as_json(PROJECT)}
        self.url = ""
        self.calls: list[Call] = []

    def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        return self.answers.get(f"{call.method} {call.path}", error("http", 404, "There is nothing at this address."))

    def server(self, **values: Any) -> Server:
        return Server(Config(self.url, self.url, SECRET, **values), PERSON, 7)

    def body(self) -> Any:
        return json.loads(self.calls[-1].body)


def error(code: str, status: int, message: str) -> Reply:
    return as_json({"error": {"code": code, "message": message}}, status)


@pytest.fixture
def custom() -> Iterator[Custom]:
    made = Custom()
    with serving(made.answer) as running:
        made.url = running.url
        yield made


def fields(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [field for row in rows for field in row["fields"]]


def labels(rows: list[dict[str, Any]]) -> str:
    return "\n".join(field["label"] for field in fields(rows))


# Settings


def test_settings_say_what_is_missing_and_never_raise() -> None:
    problems = read({}).problems
    assert len(problems) == 2
    assert "CUSTOM_AI_URL" in problems[0]
    assert "openssl rand -hex 32" in problems[1]
    found = read({"CUSTOM_AI_URL": "ftp://x", "CUSTOM_AI_EXTENSION_SECRET": "short", "CUSTOM_AI_LANGUAGE": "fr"})
    assert [one.split()[0] for one in found.problems][0::3] == ["CUSTOM_AI_URL", "CUSTOM_AI_LANGUAGE"]
    assert found.language == "en"


def test_settings_in_korean_and_without_the_script() -> None:
    variables = {"CUSTOM_AI_URL": " http://in:9090/ ", "CUSTOM_AI_EXTENSION_SECRET": SECRET}
    plain = read(variables)
    assert (plain.url, plain.public_url, plain.problems, plain.page_script) == ("http://in:9090",) * 2 + ((), True)
    other = {
        "CUSTOM_AI_PUBLIC_URL": "https://ai.example/",
        "CUSTOM_AI_LANGUAGE": "ko",
        "CUSTOM_AI_PAGE_SCRIPT": "False",
    }
    found = read(variables | other)
    assert (found.public_url, found.language, found.page_script) == ("https://ai.example", "ko", False)
    assert SECRET not in repr(found)


def test_it_is_added_to_django_settings_once() -> None:
    settings: dict[str, Any] = {"INSTALLED_APPS": ("a",), "MIDDLEWARE": ["m"], "ROOT_URLCONF": "core.urls"}
    for _ in range(2):
        add(settings)
    assert settings["INSTALLED_APPS"] == ["a", "custom_ai_label_studio"]
    assert len(settings["MIDDLEWARE"]) == 2
    assert (settings["ROOT_URLCONF"], settings["CUSTOM_AI_ROOT_URLCONF"]) == (
        "custom_ai_label_studio.urls",
        "core.urls",
    )


# Requests


def test_every_request_is_signed_for_itself(custom: Custom) -> None:
    custom.answers["POST /api/projects/7/runs"] = as_json({}, 201)
    custom.server(language="ko").post("/runs", {"classes": ["고양이"]})
    (call,) = custom.calls
    scheme, _, statement = call.headers["Authorization"].partition(" ")
    claims = verify(SECRET, FOR_API, statement)
    assert (scheme, call.headers["Accept-Language"]) == ("CustomAI", "ko")
    assert (claims["user"], claims["email"], claims["organization"], claims["project"]) == (5, "kim@example.com", 1, 7)
    assert (claims["method"], claims["path"], claims["body"]) == ("POST", "/api/projects/7/runs", digest(call.body))
    custom.server().look("")
    again = verify(SECRET, FOR_API, custom.calls[-1].headers["Authorization"].partition(" ")[2])
    assert (again["method"], again["body"], again["nonce"] != claims["nonce"]) == ("GET", digest(b""), True)


def test_credentials_in_netrc_are_not_sent(custom: Custom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    custom.server().look("")
    assert custom.calls[0].headers["Authorization"].startswith("CustomAI ")


def test_what_custom_ai_says_is_passed_on(custom: Custom) -> None:
    custom.answers["POST /api/projects/7/runs"] = error("not_ready", 409, "cow 3/10")
    with pytest.raises(Problem, match="cow 3/10") as found:
        custom.server().post("/runs", {})
    assert (found.value.code, found.value.status) == ("not_ready", 409)


@pytest.mark.parametrize(
    "reply", [Reply(200, b"<html>"), Reply(502, b"bad gateway"), as_json([], 500), Reply(302, b"", {"Location": "/x"})]
)
def test_another_answer_is_not_understood(custom: Custom, reply: Reply) -> None:
    custom.answers["GET /api/projects/7"] = reply
    with pytest.raises(Problem, match="does not understand"):
        custom.server().look("")


def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOOK_TIMEOUT", (0.2, 0.2))
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        asked = Server(Config(f"http://127.0.0.1:{deaf.getsockname()[1]}", "", SECRET), PERSON, 7)
        started = time.monotonic()
        for _ in range(20):
            assert "does not answer. Is it running?" in labels(forms.make(asked))
        assert time.monotonic() - started < 2


def test_nothing_is_sent_while_something_is_missing(custom: Custom) -> None:
    asked = custom.server(problems=("CUSTOM_AI_URL is not set.",))
    assert labels(forms.status(asked, "1.23.2", known=True)) == "CUSTOM_AI_URL is not set."
    with pytest.raises(Problem, match="not set"):
        work.make(asked, {})
    assert custom.calls == []


# Dialogs


def test_make_offers_what_is_ready(custom: Custom) -> None:
    rows = fields(forms.make(custom.server()))
    assert [(one["type"], one["name"], one["value"]) for one in rows] == [
        ("select", "kind", "box"),
        ("toggle", "class:cat", True),
        ("toggle", "class:dog", False),
        ("hidden", "note0", ""),
    ]
    assert rows[-1]["label"] == "cow: 3 of 10 labels; not enough yet"


def test_make_with_many_classes_has_one_switch(custom: Custom) -> None:
    counts = {f"class {number}": 10 for number in range(80)} | {"rare": 1}
    custom.answers["GET /api/projects/7"] = as_json(PROJECT | {"kinds": ["box"], "labels_of_all_classes": counts})
    rows = fields(forms.make(custom.server()))
    assert [one["name"] for one in rows] == ["all_ready", "note0"]
    assert rows[0]["label"] == "All 80 classes that are ready"
    custom.answers["POST /api/projects/7/runs"] = as_json({}, 201)
    work.make(custom.server(), {"all_ready": True, "note0": ""})
    assert len(custom.body()["classes"]) == 80


@pytest.mark.parametrize(
    "reply", [as_json(PROJECT | {"connected": False}), error("not_found", 404, "project 7 does not exist here.")]
)
def test_a_project_that_is_not_connected_can_be(custom: Custom, reply: Reply) -> None:
    custom.answers["GET /api/projects/7"] = reply
    assert [one["name"] for one in fields(forms.make(custom.server()))] == ["note", "connect"]
    for form in (forms.auto_label, forms.choose):
        assert "Connect it with" in labels(form(custom.server()))
    custom.answers["POST /api/projects/7/connect"] = as_json({})
    assert "is connected" in work.make(custom.server(), {"connect": True}).detail
    assert custom.calls[-1].path == "/api/projects/7/connect"


def test_auto_label_offers_the_models(custom: Custom) -> None:
    custom.answers["GET /api/projects/7/models"] = as_json({"models": [CHAMPION, CHAMPION | {"id": 13, "map50": None}]})
    model, hide = fields(forms.auto_label(custom.server()))
    assert model["options"] == [
        {"value": "", "label": "The model in use (p7-m12)"},
        {"value": "12", "label": "p7-m12: Small, score 81%"},
        {"value": "13", "label": "p7-m12: Small, score –"},
    ]
    assert (hide["type"], hide["value"]) == ("toggle", False)
    custom.answers["GET /api/projects/7"] = as_json(PROJECT | {"champion": None})
    assert "There is no model yet" in labels(forms.auto_label(custom.server()))


def test_status_tells_everything_in_both_languages(custom: Custom) -> None:
    text = labels(forms.status(custom.server(), "1.23.2", known=True))
    assert text.splitlines() == [
        "Labels (upright boxes), 10 of each class are needed: cat 12, dog 10, cow 3",
        "Model in use: p7-m12, Small, until somebody chooses; score 81%",
        "Training: 1 of 2 models are trained",
        "The vote is open; 1 have voted.",
        "Auto-labelling: finished; 8 of 9 tasks, 1 failed",
        "4 pre-labelled tasks wait for somebody to look at them.",
    ]
    korean = labels(forms.status(custom.server(language="ko"), "1.24.0", known=False))
    assert "1.24.0" in korean.splitlines()[0]
    assert "학습: 모델 2개 중 1개 완료" in korean


def test_status_of_a_new_project(custom: Custom) -> None:
    empty = {"champion": None, "run": None, "selection": None, "auto_label": None, "tasks": {"to_review": 0}}
    custom.answers["GET /api/projects/7"] = as_json(PROJECT | empty | {"problem": "the config is broken"})
    assert work.status(custom.server()).detail.endswith("Problem: the config is broken · No model yet.")
    failed = {"status": "failed", "reason": "Training failed: no room.", "candidates": []}
    custom.answers["GET /api/projects/7"] = as_json(PROJECT | {"run": failed})
    assert "Training: failed. Training failed: no room." in work.status(custom.server()).detail


def test_every_field_has_a_name_of_its_own(custom: Custom) -> None:
    custom.answers["GET /api/projects/7/models"] = as_json({"models": [CHAMPION]})
    asked = custom.server()
    shown = [forms.make(asked), forms.auto_label(asked), forms.choose(asked), forms.status(asked, "2.0", known=False)]
    for rows in shown:
        names = [one["name"] for one in fields(rows)]
        assert len(names) == len(set(names))


# Actions


def test_make_asks_for_the_chosen_classes(custom: Custom) -> None:
    custom.answers["POST /api/projects/7/runs"] = as_json({}, 201)
    form = {"kind": "rotated_box", "class:cat": True, "class:dog": False, "note0": "", "selectedItems": {}}
    assert work.make(custom.server(), form).detail.startswith("Training is in line")
    assert custom.body() == {"classes": ["cat"], "kind": "rotated_box"}
    with pytest.raises(Problem, match="at least one class"):
        work.make(custom.server(), form | {"class:cat": False})


def test_auto_label_sends_the_selected_tasks(custom: Custom) -> None:
    custom.answers["POST /api/projects/7/auto-label"] = as_json({"tasks": {"total": 2}}, 201)
    done = work.auto_label(custom.server(), {"model": "12", "hide_faces": False}, [3, 4, 5])
    assert custom.body() == {"tasks": [3, 4, 5], "model": 12}
    assert (done.tasks, done.detail) == (2, "Auto-labelling of 2 tasks is in line; it begins by itself.")
    work.auto_label(custom.server(), {"model": "", "hide_faces": False}, [3])
    assert custom.body() == {"tasks": [3]}
    with pytest.raises(Problem, match="No task is selected"):
        work.auto_label(custom.server(), {}, [])


def test_auto_label_waits_until_faces_are_hidden(custom: Custom) -> None:
    custom.answers["POST /api/projects/7/auto-label"] = as_json({"tasks": {"total": 2}}, 201)
    done = work.auto_label(custom.server(), {"hide_faces": True}, [3, 4])
    assert custom.body() == {"tasks": [3, 4], "prepare": ["faces"]}
    assert done.detail.startswith("Hiding faces in 2 tasks, then auto-labelling them")


def test_deidentify_says_when_custom_ai_cannot(custom: Custom) -> None:
    with pytest.raises(Problem, match="a newer one can"):
        work.deidentify(custom.server(), [3])
    assert custom.body() == {"tasks": [3]}
    custom.answers["POST /api/projects/7/deidentify"] = error("conflict", 409, "A job is under way.")
    with pytest.raises(Problem, match="under way"):
        work.deidentify(custom.server(), [3])
    custom.answers["POST /api/projects/7/deidentify"] = as_json({}, 201)
    assert work.deidentify(custom.server(), [3, 4]).tasks == 2


def test_choose_leads_to_the_open_vote(custom: Custom) -> None:
    assert work.choose(custom.server()).open == "/custom-ai/projects/7/?page=/selections/3"
    custom.answers["GET /api/projects/7"] = as_json(PROJECT | {"selection": {"id": 3, "status": "closed"}})
    with pytest.raises(Problem, match="no vote"):
        work.choose(custom.server())


# Pages


def test_the_script_goes_into_label_studios_app_only() -> None:
    page = b'<html><body><div class="app-wrapper"></div>\n</body>\n</html>'
    found = with_script(page, "https://ls.example/sub")
    assert found.count(b'<script src="https://ls.example/sub/custom-ai/page.js" defer></script>\n</body>') == 1
    for other in (b"<html><body>API</body></html>", b'class="app-wrapper"', b""):
        assert with_script(other, "") == other


@pytest.mark.parametrize("page", ["/selections/3", "/projects/7?x=1"])
def test_own_pages(page: str) -> None:
    assert is_own_page(page)
    assert hand_over_path(7, page).startswith("/custom-ai/projects/7/?page=/")


@pytest.mark.parametrize("page", ["", "//evil.example", "https://evil.example", "/\\evil.example", "x"])
def test_other_peoples_pages(page: str) -> None:
    assert not is_own_page(page)


# Words


def test_every_text_is_in_korean() -> None:
    """Texts for people are constants of modules, or stand in the table of actions."""
    wanted = {"Open Custom AI", "Custom AI is not set up in Label Studio"}
    for file in PACKAGE.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assigned = [node.value for node in tree.body if isinstance(node, ast.Assign)]
        table = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "register"]
        texts = [one for node in table for child in node.body[1:] for one in ast.walk(child)]
        for one in [*assigned, *texts, *_values(tree, "KINDS"), *_values(tree, "STATES")]:
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value:
                wanted.add(one.value)
    assert len(wanted) > 45
    assert [one for one in wanted if one not in words.KOREAN] == []
    for english, korean in words.KOREAN.items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", korean))
        assert re.search("[가-힣]", korean), english


def _values(tree: ast.Module, name: str) -> list[ast.expr]:
    """The values of a table of texts."""
    found = [node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name]
    return [value for table in found if isinstance(table, ast.Dict) for value in table.values]
