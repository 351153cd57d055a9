"""Our extension inside Label Studio, asked about somebody whom it has handed over to us (see ``web.hand_over``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from custom_ai import assertions
from custom_ai.errors import N_, LabelStudioAuth, LabelStudioError, LabelStudioMissing, LabelStudioUnreachable
from custom_ai.labelstudio.answers import describe
from custom_ai.labelstudio.client import User

WHO_SEES = "/custom-ai/who-sees"
AUTHORIZE = "/custom-ai/authorize"
"""Where a browser gets a statement about its Label Studio user."""
TIMEOUT_S = 5.0

NOT_THERE = N_("its Custom AI extension does not answer")
NOT_KNOWN = N_("it does not vouch for this account (any more)")


class Extension:
    """What Label Studio's own user sees there. Asks each time; raises what ``LabelStudio`` raises.

    LabelStudioAuth: the account is not active any more, the extension is gone, or the secrets differ.
    """

    def __init__(self, url: str, secret: str, user_id: int) -> None:
        self._url, self._secret, self._user_id = url.rstrip("/"), secret, user_id

    def whoami(self) -> User:
        """The user as Label Studio knows them now."""
        found = self._ask([])
        email = str(found.get("email") or "")
        return User(id=self._user_id, email=email, name=email)

    def project(self, project_id: int) -> int:
        """The id of a project that the user sees. Raises LabelStudioMissing."""
        if project_id not in self.which_projects([project_id]):
            raise LabelStudioMissing(what=N_("project"), id=project_id)
        return project_id

    def which_projects(self, ids: Sequence[int]) -> set[int]:
        """Those of the projects with these ids that the user sees."""
        return set(map(int, self._ask(list(ids)).get("projects") or ()))

    def _ask(self, ids: list[int]) -> dict[str, Any]:
        if not self._secret:  # was taken out of the settings since
            raise LabelStudioAuth(why=NOT_THERE)
        statement = assertions.sign(self._secret, assertions.FOR_LABEL_STUDIO, user=self._user_id, projects=ids)
        try:
            answer = httpx.post(self._url + WHO_SEES, json={"assertion": statement}, timeout=TIMEOUT_S)
        except httpx.TransportError as error:
            raise LabelStudioUnreachable(url=self._url, detail=describe(error)) from error
        if answer.status_code >= 500:
            raise LabelStudioUnreachable(url=self._url, detail=f"HTTP {answer.status_code}")
        if not answer.is_success:
            raise LabelStudioAuth(why=NOT_KNOWN if answer.status_code == 403 else NOT_THERE)
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise LabelStudioError(what=f"POST {WHO_SEES}", http_status=answer.status_code, detail=NOT_THERE) from error
        return found
