"""The token in what somebody has pasted into the sign-in form."""

from __future__ import annotations

from custom_ai.errors import N_, CustomAIError
from custom_ai.labelstudio.tokens import IS_ACCESS_TOKEN, TokenKind, token_kind

EMPTY = N_("the field is empty")
NOT_A_TOKEN = N_("it has characters that no token has; copy it once more, from its first to its last sign")
NOT_WHOLE = N_(
    "it is only a part of a token; Label Studio shows the whole token once, when it is created. "
    "Revoke it there and create a new one"
)


class TokenRefused(CustomAIError):
    code, status = "token_refused", 401
    template = N_("This token cannot be used: {why}.")


def pasted_token(text: str) -> str:
    """The token in what somebody pasted. Raises TokenRefused saying what is wrong with it."""
    words = text.split()
    if words and words[0].lower() in ("bearer", "token"):
        words = words[1:]
    token = "".join(words).strip("\"'")
    if not token:
        raise TokenRefused(why=EMPTY)
    if not (token.isascii() and token.isprintable()):
        raise TokenRefused(why=NOT_A_TOKEN)
    if token.count(".") == 1:
        raise TokenRefused(why=NOT_WHOLE)
    if token_kind(token) is TokenKind.ACCESS:
        raise TokenRefused(why=IS_ACCESS_TOKEN)
    return token
