"""Who we are to Label Studio: the kinds of tokens, and what a refusal means for each of them.

Nothing here logs; tokens never become part of an error text or of a repr.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from enum import StrEnum
from typing import Any, Protocol

import httpx

from custom_ai.errors import N_, LabelStudioAuth, LabelStudioError

REFRESH_PATH = "/api/token/refresh/"
ACCESS_LIFETIME_S = 300.0
"""How long Label Studio 1.23 accepts an access token, used when the token itself does not say."""
MARGIN_S = 30.0

NO_KEY = N_("no token is set; put a personal access token into CUSTOM_AI_LABEL_STUDIO_API_KEY")
NOT_A_TOKEN = N_("the value of CUSTOM_AI_LABEL_STUDIO_API_KEY has characters that no token has")
IS_ACCESS_TOKEN = N_(
    "this is a short-lived access token that expires after five minutes; "
    "use the personal access token from Account & Settings instead"
)
PERSONAL_REFUSED = N_(
    "this personal access token is not valid (any more); "
    "create a new one in Label Studio under Account & Settings > Personal Access Token"
)
PERSONAL_NOT_TAKEN = N_(
    "Label Studio knows this personal access token but does not take it: such tokens are switched off on the "
    "Organization page under API Tokens Settings, or the account is not active (any more)"
)
LEGACY_DISABLED = N_(
    "legacy tokens are disabled in this Label Studio; create a personal access token under "
    "Account & Settings, or enable legacy tokens on the Organization page under API Tokens Settings"
)
LEGACY_UNKNOWN = N_("Label Studio does not know this token; create a personal access token under Account & Settings")
SIGN_IN_REFUSED = N_("the sign-in is missing or has expired")


class Busy(Exception):
    """Label Studio answered 5xx while we asked for an access token: try again later."""


class TokenKind(StrEnum):
    """What a string in the place of an API key is."""

    PERSONAL = "personal"
    """A personal access token: a JWT of type `refresh`, to be exchanged for access tokens."""
    ACCESS = "access"
    """A JWT of type `access`: valid for five minutes only."""
    LEGACY = "legacy"
    """Anything else: 40 hexadecimal digits in Label Studio."""


class Credentials(Protocol):
    """How a session proves who it is."""

    def headers(self, client: httpx.Client) -> dict[str, str]:
        """The headers for the next request. May raise httpx.TransportError, Busy, LabelStudioAuth."""

    def renew(self) -> bool:
        """After a 401: True when the same request may succeed with fresh headers."""

    def refusal(self, detail: str) -> LabelStudioAuth:
        """The error for a 401 with Label Studio's own words ``detail``."""

    def secrets(self) -> tuple[str, ...]:
        """Strings that must never be shown."""


def _claims(token: str) -> dict[str, Any]:
    """The (unverified) contents of a JWT, {} when it is not one."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def token_kind(key: str) -> TokenKind:
    """Tell the kinds of tokens apart without asking Label Studio."""
    kind = _claims(key).get("token_type")
    if kind == "refresh":
        return TokenKind.PERSONAL
    return TokenKind.ACCESS if kind == "access" else TokenKind.LEGACY


def checked(key: str) -> str:
    """``key`` without surrounding blanks; LabelStudioAuth when it cannot be sent in a header."""
    key = key.strip()
    if not key:
        raise LabelStudioAuth(why=NO_KEY)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise LabelStudioAuth(why=NOT_A_TOKEN)
    return key


def credentials_for(api_key: str) -> Credentials:
    """Credentials for the add-on's own key; a key that cannot work is refused at the first request."""
    try:
        key = checked(api_key)
        kind = token_kind(key)
        if kind is TokenKind.ACCESS:
            raise LabelStudioAuth(why=IS_ACCESS_TOKEN)
    except LabelStudioAuth as error:
        return Unusable(error)
    return PersonalToken(key) if kind is TokenKind.PERSONAL else LegacyToken(key)


class Unusable:
    """No credentials: the service shall start all the same, and say what is missing when it matters."""

    def __init__(self, error: LabelStudioAuth) -> None:
        self._error = error

    def headers(self, client: httpx.Client) -> dict[str, str]:
        raise LabelStudioAuth(**self._error.params)

    def renew(self) -> bool:
        return False

    def refusal(self, detail: str) -> LabelStudioAuth:
        return LabelStudioAuth(**self._error.params)

    def secrets(self) -> tuple[str, ...]:
        return ()


class PersonalToken:
    """Exchanges a personal access token for access tokens, ahead of their expiry. Thread-safe."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._access = ""
        self._renew_at = 0.0

    def headers(self, client: httpx.Client) -> dict[str, str]:
        with self._lock:
            if not self._access or time.monotonic() >= self._renew_at:
                self._access = self._exchange(client)
            return {"Authorization": f"Bearer {self._access}"}

    def _exchange(self, client: httpx.Client) -> str:
        response = client.post(REFRESH_PATH, json={"refresh": self._key})
        if response.status_code >= 500:
            raise Busy(f"HTTP {response.status_code}")
        if response.status_code in (400, 401, 403):
            raise LabelStudioAuth(why=PERSONAL_REFUSED)
        try:
            access = response.json()["access"] if response.is_success else ""
        except (ValueError, KeyError, TypeError):
            access = ""
        if not access or not isinstance(access, str):
            raise LabelStudioError(
                what=f"POST {REFRESH_PATH}",
                http_status=response.status_code,
                detail=N_("is this the address of a Label Studio?"),
            )
        claims = _claims(access)
        try:  # by the difference of its own times: our clock may be wrong
            lifetime = float(claims["exp"]) - float(claims["iat"])
        except (KeyError, TypeError, ValueError):
            lifetime = ACCESS_LIFETIME_S
        self._renew_at = time.monotonic() + lifetime - min(MARGIN_S, lifetime / 2)
        return access

    def renew(self) -> bool:
        with self._lock:
            self._access = ""
        return True

    def refusal(self, detail: str) -> LabelStudioAuth:
        return LabelStudioAuth(why=PERSONAL_NOT_TAKEN)  # it was exchanged, and refused all the same

    def secrets(self) -> tuple[str, ...]:
        return (self._key, self._access)


class LegacyToken:
    """A token of the old kind, which new installations of Label Studio refuse by default."""

    def __init__(self, key: str) -> None:
        self._key = key

    def headers(self, client: httpx.Client) -> dict[str, str]:
        return {"Authorization": f"Token {self._key}"}

    def renew(self) -> bool:
        return False

    def refusal(self, detail: str) -> LabelStudioAuth:
        return LabelStudioAuth(why=LEGACY_DISABLED if "disabled" in detail else LEGACY_UNKNOWN)

    def secrets(self) -> tuple[str, ...]:
        return (self._key,)


class Visitor:
    """Somebody who sent us their sign-in: an access token or a Label Studio session cookie."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def headers(self, client: httpx.Client) -> dict[str, str]:
        return dict(self._headers)

    def renew(self) -> bool:
        return False

    def refusal(self, detail: str) -> LabelStudioAuth:
        return LabelStudioAuth(why=SIGN_IN_REFUSED)

    def secrets(self) -> tuple[str, ...]:
        return tuple(value.rpartition(" ")[2] for value in self._headers.values())


def visitor_credentials(authorization: str = "", cookie: str = "") -> Credentials:
    """Credentials of a visitor: an Authorization header (it wins), or the value of `sessionid`.

    Raises LabelStudioAuth when there is neither, or when they are malformed.
    """
    scheme, _, value = authorization.strip().partition(" ")
    try:
        if authorization.strip():
            token = checked(value)
            if scheme.lower() not in ("bearer", "token"):
                raise LabelStudioAuth(why=SIGN_IN_REFUSED)
            if token_kind(token) is TokenKind.PERSONAL:
                return PersonalToken(token)
            if token_kind(token) is TokenKind.ACCESS:
                return Visitor({"Authorization": f"Bearer {token}"})
            return LegacyToken(token)
        session = checked(cookie)
    except LabelStudioAuth as error:
        raise LabelStudioAuth(why=SIGN_IN_REFUSED) from error
    if any(sign in session for sign in ';,"\\'):
        raise LabelStudioAuth(why=SIGN_IN_REFUSED)
    return Visitor({"Cookie": f"sessionid={session}"})
