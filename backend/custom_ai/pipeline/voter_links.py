"""Links by which somebody without a Label Studio account votes: signed, expiring, for one vote and one name.

Nothing is stored: whoever has the link is this voter, until it expires or the vote is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from itsdangerous import BadSignature, URLSafeTimedSerializer

from custom_ai.errors import N_, BadInput, LinkInvalid, NotFound, VoteOver
from custom_ai.pipeline.ballots import open_selection_of, selection_of
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import now

GUEST = "guest:"
"""Stands before the name in ``Ballot.voter``; no e-mail address begins so."""
DEFAULT_DAYS = 7
LONGEST_DAYS = 90
LONGEST_NAME = 80
_SALT = "custom-ai.vote-link"


@dataclass(frozen=True, slots=True)
class VoterLink:
    """Who may vote where, and until when."""

    selection_id: int
    voter: str
    """As in ``Ballot.voter``."""
    expires_at: datetime


def make_link(services: Services, selection_id: int, name: str, *, by: str, days: int = DEFAULT_DAYS) -> str:
    """The address to send to one voter. Raises NotFound, BadInput, or Conflict when the vote is closed."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadInput(what=N_("the name of the voter"), why=N_("expected 1 to 80 characters on one line"))
    if not 1 <= days <= LONGEST_DAYS:
        raise BadInput(what=f"{days}", why=N_("a link is valid for 1 to 90 days"))
    with services.database.write() as session:
        selection = open_selection_of(session, selection_id)
        # The token stays out of the log: whoever reads it there could vote.
        subject = f"selection {selection_id}"
        record(session, by, "vote.link", selection.project_id, subject, voter=GUEST + name, days=days)
    token = _signer(services).dumps([selection_id, name, days])
    return f"{services.settings.public_url.rstrip('/')}/vote-links/{token}"


def read_link(services: Services, token: str) -> VoterLink:
    """Raises LinkInvalid for one that is forged or expired, VoteOver when its vote is closed."""
    try:
        (selection_id, name, days), made = _signer(services).loads(token, return_timestamp=True)
    except (BadSignature, ValueError) as error:
        raise LinkInvalid(why=N_("it was not made here, or a part of it is missing")) from error
    expires = made + timedelta(days=days)
    if expires < now():
        raise LinkInvalid(why=N_("it has expired"))
    check_open(services, selection_id)
    return VoterLink(selection_id, GUEST + name, expires)


def check_open(services: Services, selection_id: int) -> None:
    """Raises VoteOver, or LinkInvalid when there is no such vote any more."""
    try:
        with services.database.read() as session:
            status = selection_of(session, selection_id).status
    except NotFound as error:
        raise LinkInvalid(why=N_("its vote does not exist any more")) from error
    if status != "open":
        raise VoteOver


def _signer(services: Services) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(services.database.secret_key(), salt=_SALT)
