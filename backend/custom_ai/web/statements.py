"""What our extension inside Label Studio states about its user: checked for one request, or for one sign-in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request

from custom_ai import assertions
from custom_ai.errors import N_, CustomAIError
from custom_ai.services import Services
from custom_ai.state.sign_ins import use_once

_SAFE_METHODS = ("GET", "HEAD")

NO_SECRET = N_("CUSTOM_AI_EXTENSION_SECRET is not set for Custom AI")
OTHER_SECRET = N_("CUSTOM_AI_EXTENSION_SECRET is not the same for Custom AI and for Label Studio")
NO_STATEMENT = N_("it is damaged")
OTHER_USE = N_("it was made for something else")
OLD = N_("it is too old, or the clocks of the two machines differ by more than a minute")
USED = N_("it was used already")
OTHER_BROWSER = N_("this sign-in was not begun in this browser, or too long ago; begin again")

_WHY = {"malformed": NO_STATEMENT, "signature": OTHER_SECRET, "audience": OTHER_USE, "expired": OLD}


class StatementRefused(CustomAIError):
    code, status = "statement_refused", 401
    template = N_("What Label Studio's Custom AI extension has signed does not count: {why}.")


@dataclass(frozen=True, slots=True)
class Stated:
    """A Label Studio user; ``project_id`` is the one that they may see by this statement, 0 when it names none."""

    user_id: int
    email: str
    project_id: int = 0


class Statements:
    """Checks statements. All methods raise StatementRefused."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self.secret = services.settings.extension_secret.get_secret_value()

    def about_request(self, statement: str) -> Stated:
        """The user for whom this very request is made: its method, address and body are part of the statement."""
        claims = self._verified(assertions.FOR_API, statement)
        query = request.query_string.decode("ascii", "replace")
        made_for = (claims.get("method"), claims.get("path"), claims.get("body"))
        asked = (request.method, f"{request.path}{'?' if query else ''}{query}", assertions.digest(request.get_data()))
        if made_for != asked:
            raise StatementRefused(why=OTHER_USE)
        if request.method not in _SAFE_METHODS:
            self._use(claims)
        return _stated(claims)

    def about_sign_in(self, statement: str) -> tuple[Stated, str]:
        """The user who is handed over, and the ``state`` with which that was begun; counts once."""
        claims = self._verified(assertions.FOR_SIGN_IN, statement)
        self._use(claims)
        return _stated(claims), str(claims.get("state") or "")

    def _verified(self, audience: str, statement: str) -> dict[str, Any]:
        if not self.secret:
            raise StatementRefused(why=NO_SECRET)
        try:
            return assertions.verify(self.secret, audience, statement)
        except assertions.Refused as error:
            raise StatementRefused(why=_WHY[error.code]) from error

    def _use(self, claims: dict[str, Any]) -> None:
        if not use_once(self._database, str(claims["nonce"])[:100], 2 * assertions.LIFETIME_S):
            raise StatementRefused(why=USED)


def _stated(claims: dict[str, Any]) -> Stated:
    user, email, project = claims.get("user"), claims.get("email"), claims.get("project", 0)
    if type(user) is not int or user <= 0 or not isinstance(email, str) or not email or type(project) is not int:
        raise StatementRefused(why=NO_STATEMENT)
    return Stated(user, email, project)
