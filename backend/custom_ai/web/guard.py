"""Deny by default: what every request must show before its route is even asked.

A new route is safe without doing anything: it refuses strangers, its changes need a CSRF token, and what belongs to a
project that the visitor cannot see looks exactly like something that does not exist. Routes for strangers stand in
``OPEN``; tests/unit/test_sign_in_routes.py walks through all routes.
"""

from __future__ import annotations

from flask import Flask, request
from flask_wtf.csrf import CSRFProtect
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from custom_ai.errors import N_, NotFound
from custom_ai.services import Services
from custom_ai.state.deid_tables import DeidentifyJob
from custom_ai.state.tables import AutoLabelJob, Candidate, Run, Selection
from custom_ai.web.sign_in import SignIn

OPEN = frozenset(
    {
        "pages.sign_in",
        "pages.sign_in_with_token",
        "pages.through_label_studio",
        "pages.arrive",
        "pages.sign_out",
        "pages.static",
        "static",
    }
)
"""Endpoints for people who are not signed in (yet)."""
GUESTS = frozenset(
    f"pages.{name}" for name in ("open_link", "guest_selection", "guest_cast", "guest_confirm", "guest_vote_image")
)
"""Endpoints for voters with a signed link, who need no account; ``custom_ai_ui.guests`` asks for the link itself."""
UNSUBSCRIBING = frozenset({"pages.unsubscribe", "pages.unsubscribe_now"})
"""Endpoints for links in mails: signed, without sign-in; mail programs (RFC 8058) send no CSRF token."""
MACHINES = "ml_backend"
"""The blueprint that Label Studio calls; it has secrets of its own and neither visitors nor CSRF tokens."""
BELONGS: dict[str, tuple[str, InstrumentedAttribute[int], InstrumentedAttribute[int]]] = {
    "run_id": (N_("run"), Run.id, Run.project_id),
    "selection_id": (N_("vote"), Selection.id, Selection.project_id),
    "model_id": (N_("model"), Candidate.id, Candidate.project_id),
    "job_id": (N_("auto-labelling job"), AutoLabelJob.id, AutoLabelJob.project_id),
    "hiding_id": (N_("de-identification"), DeidentifyJob.id, DeidentifyJob.project_id),
}
"""Names of values in routes: what they are, and where it is written to which project they belong."""


def add(app: Flask, services: Services, sign_in: SignIn, csrf: CSRFProtect) -> None:
    """Ask every request of ``app`` for what it needs, before anything else."""

    @app.before_request
    def guard() -> None:
        endpoint = request.endpoint
        if endpoint is None or request.blueprint == MACHINES or endpoint in UNSUBSCRIBING:
            return  # an unknown address, Label Studio, or a signed link
        if endpoint not in OPEN | GUESTS:
            sign_in.user()  # first, so that a stranger learns nothing about what there is
        sign_in.protect(csrf)
        for name, value in (request.view_args or {}).items():
            if name == "project_id":
                sign_in.sees(value)
            elif name in BELONGS:
                _sees_owner(services, sign_in, name, value)


def _sees_owner(services: Services, sign_in: SignIn, name: str, id: int) -> None:
    what, key, owner = BELONGS[name]
    with services.database.read() as session:
        project_id = session.scalar(select(owner).where(key == id))
    try:
        if project_id is None:
            raise NotFound(what=what, id=id)
        sign_in.sees(project_id)
    except NotFound as error:
        raise NotFound(what=what, id=id) from error
