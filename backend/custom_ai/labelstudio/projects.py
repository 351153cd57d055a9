"""Projects of Label Studio, and what connects us to them: ML backends and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custom_ai.errors import N_, LabelStudioError, LabelStudioMissing
from custom_ai.labelstudio.session import Session

PRIVATE_BLOCKED = N_(
    "Label Studio does not connect to private network addresses unless it is started with "
    "USE_DEFAULT_BANNED_SUBNETS=false; see label_studio_config/README.md"
)
_PER_PAGE = 100
"""Label Studio gives no more projects at once."""


@dataclass(frozen=True, slots=True)
class Project:
    """What we use of a project; ``raw`` is Label Studio's whole answer."""

    id: int
    title: str
    label_config: str
    model_version: str
    """The version that pre-labels tasks, or a live backend's title; empty: none."""
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class MLBackend:
    """A connected ML backend."""

    id: int
    project: int
    url: str
    title: str
    state: str
    """CO connected, DI disconnected, ER error, TR training, PR predicting."""
    model_version: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook; its headers hold our secret and stay out of the repr."""

    id: int
    project: int | None
    url: str
    actions: tuple[str, ...]
    all_actions: bool
    is_active: bool
    send_payload: bool
    headers: Mapping[str, str] = field(repr=False)


def _project(raw: dict[str, Any]) -> Project:
    return Project(
        id=int(raw["id"]),
        title=str(raw.get("title") or ""),
        label_config=str(raw.get("label_config") or ""),
        model_version=str(raw.get("model_version") or ""),
        raw=raw,
    )


def _backend(raw: dict[str, Any]) -> MLBackend:
    return MLBackend(
        id=int(raw["id"]),
        project=int(raw["project"]),
        url=str(raw.get("url") or ""),
        title=str(raw.get("title") or ""),
        state=str(raw.get("state") or ""),
        model_version=str(raw.get("model_version") or ""),
    )


def _webhook(raw: dict[str, Any]) -> Webhook:
    return Webhook(
        id=int(raw["id"]),
        project=raw.get("project"),
        url=str(raw.get("url") or ""),
        actions=tuple(str(action) for action in raw.get("actions") or ()),
        all_actions=bool(raw.get("send_for_all_actions")),
        is_active=bool(raw.get("is_active")),
        send_payload=bool(raw.get("send_payload")),
        headers={str(name): str(value) for name, value in (raw.get("headers") or {}).items()},
    )


class Projects:
    """The part of the client that is about projects."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def project(self, project_id: int) -> Project:
        """Raises LabelStudioMissing."""
        return _project(self.session.get(f"/api/projects/{project_id}/", missing=(N_("project"), project_id)))

    def projects(self) -> list[Project]:
        """All projects that our user sees, newest first."""
        found: list[Project] = []
        page = 1
        while True:
            answer = self.session.get("/api/projects/", {"page": page, "page_size": 100})
            found.extend(_project(raw) for raw in answer["results"])
            if not answer.get("next"):
                return found
            page += 1

    def which_projects(self, ids: Sequence[int]) -> set[int]:
        """Those of the projects with these ids that our user sees."""
        found: set[int] = set()
        for start in range(0, len(ids), _PER_PAGE):
            some = ",".join(str(one) for one in ids[start : start + _PER_PAGE])
            # Without `include` Label Studio counts the tasks and annotations of each project.
            answer = self.session.get("/api/projects/", {"ids": some, "include": "id", "page_size": _PER_PAGE})
            found |= {int(raw["id"]) for raw in answer["results"]}
        return found

    def project_page(self, page: int, size: int) -> tuple[list[Project], bool]:
        """One page (from 1) of our user's projects, newest first, and whether there are more; at most 100."""
        fields = "id,title,label_config,task_number"
        try:
            answer = self.session.get("/api/projects/", {"page": page, "page_size": size, "include": fields})
        except LabelStudioMissing:  # what Label Studio answers to a page after the last one
            return [], False
        return [_project(raw) for raw in answer["results"]], bool(answer.get("next"))

    def create_project(self, title: str, description: str = "", label_config: str = "", **fields: object) -> Project:
        """A new project (its title needs 3 to 50 characters); LabelStudioError for a bad config."""
        body: dict[str, object] = {"title": title, "description": description, **fields}
        if label_config:
            body["label_config"] = label_config
        return _project(self.session.post("/api/projects/", body))

    def update_project(self, project_id: int, **fields: object) -> Project:
        """Set fields, e.g. label_config.

        ``model_version`` must be a version of which a prediction is stored, or a live backend's title.
        """
        path = f"/api/projects/{project_id}/"
        return _project(self.session.patch(path, fields, missing=(N_("project"), project_id)))

    def delete_project(self, project_id: int) -> None:
        """Delete a project with all its tasks. Label Studio leaves uploaded files on its disk."""
        self.session.delete_json(f"/api/projects/{project_id}/", missing=(N_("project"), project_id))

    # ML backends

    def ml_backends(self, project_id: int) -> list[MLBackend]:
        """The connected backends. Unlike GET /api/ml this makes Label Studio call none of them."""
        answer = self.session.get(
            f"/api/projects/{project_id}/model-versions/",
            {"extended": "true", "include_live_models": "true"},
            missing=(N_("project"), project_id),
        )
        return [_backend(raw) for raw in answer.get("live") or ()]

    def add_ml_backend(self, project_id: int, url: str, title: str, user: str = "", password: str = "") -> MLBackend:
        """Connect a backend, which must answer /health and /setup at once.

        Label Studio adds a webhook `<url>/webhook` for all actions on its own.
        """
        body: dict[str, object] = {"project": project_id, "url": url, "title": title, "is_interactive": False}
        return _backend(self._connecting("/api/ml/", {**body, **_basic_auth(user, password)}))

    def update_ml_backend(
        self, backend: MLBackend, url: str, title: str, user: str = "", password: str = ""
    ) -> MLBackend:
        """Change a backend. Its automatic webhook keeps the old address."""
        # Label Studio 1.23 answers 500 to a PATCH that does not repeat url and project.
        body: dict[str, object] = {"project": backend.project, "url": url, "title": title}
        path = f"/api/ml/{backend.id}"
        return _backend(
            self.session.patch(path, {**body, **_basic_auth(user, password)}, missing=(N_("ML backend"), backend.id))
        )

    def delete_ml_backend(self, backend_id: int) -> None:
        """Disconnect a backend. Its automatic webhook stays behind."""
        self.session.delete_json(f"/api/ml/{backend_id}", missing=(N_("ML backend"), backend_id))

    # Webhooks

    def webhooks(self, project_id: int) -> list[Webhook]:
        """The webhooks of one project."""
        return [_webhook(raw) for raw in self.session.get("/api/webhooks/", {"project": project_id})]

    def add_webhook(self, project_id: int, url: str, headers: Mapping[str, str], actions: Sequence[str]) -> Webhook:
        """A webhook for ``actions``; Label Studio sends ``headers`` along. An equal one may exist twice."""
        body = {"project": project_id, **_webhook_body(url, headers, actions)}
        return _webhook(self._connecting("/api/webhooks/", body))

    def repair_webhook(self, webhook_id: int, url: str, headers: Mapping[str, str], actions: Sequence[str]) -> Webhook:
        """Set everything again, switched on: a PATCH that does not repeat the actions deletes them."""
        path = f"/api/webhooks/{webhook_id}/"
        body = _webhook_body(url, headers, actions)
        return _webhook(self.session.patch(path, body, missing=(N_("webhook"), webhook_id)))

    def delete_webhook(self, webhook_id: int) -> None:
        """Raises LabelStudioMissing when it is gone already."""
        self.session.delete_json(f"/api/webhooks/{webhook_id}/", missing=(N_("webhook"), webhook_id))

    def _connecting(self, path: str, body: Mapping[str, object]) -> Any:
        """POST an address of ours, and say what to do when Label Studio may not connect to it."""
        try:
            return self.session.post(path, body)
        except LabelStudioError as error:
            if error.params.get("http_status") == 403 and "reserved network" in str(error):
                raise LabelStudioError(**{**error.params, "detail": PRIVATE_BLOCKED}) from error
            raise


def _basic_auth(user: str, password: str) -> dict[str, str]:
    if not user:
        return {"auth_method": "NONE"}
    return {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}


def _webhook_body(url: str, headers: Mapping[str, str], actions: Sequence[str]) -> dict[str, object]:
    return {
        "url": url,
        "headers": dict(headers),
        "actions": list(actions),
        "send_for_all_actions": False,
        "send_payload": True,
        "is_active": True,
    }
