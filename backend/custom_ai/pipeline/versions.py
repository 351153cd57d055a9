"""Names of what Label Studio shows. A version never changes its meaning: of one task it has one prediction, for ever.

``p7-m12`` are the pre-labels of model 12 of project 7, with the threshold of the job that made them (the
model's own thresholds unless somebody asked for another one). ``p7-m12@0.40`` are those of the same model
after somebody had *all* its pre-labels shown with the threshold 0.40: another name, because the same task
has another prediction then. What is in force also holds for later jobs and for tasks that are opened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput
from custom_ai.state.tables import Candidate, Revision

_DIGITS = 2


@dataclass(frozen=True, slots=True)
class InForce:
    """Under which name, and with which threshold (None: the model's own), a model labels now."""

    version: str
    threshold: float | None = None


def in_force(session: Session, candidate: Candidate) -> InForce:
    """What the newest change of this model's threshold says; without any, its own name and thresholds."""
    row = session.execute(
        select(Revision.version, Revision.threshold)
        .where(Revision.candidate_id == candidate.id, Revision.what == "threshold", Revision.status == "done")
        .order_by(Revision.id.desc())
        .limit(1)
    ).first()
    return InForce(candidate.version) if row is None else InForce(row.version, row.threshold)


def named(candidate: Candidate, threshold: float | None) -> str:
    """The version of this model's pre-labels with a threshold. Raises BadInput when it has no exact name."""
    if threshold is None:
        return candidate.version
    if not 0.0 <= threshold <= 1.0:
        raise BadInput(what=f"{threshold}", why=N_("a threshold lies between 0 and 1"))
    if round(threshold, _DIGITS) != threshold:
        raise BadInput(what=f"{threshold}", why=N_("give a threshold with two decimals: it becomes part of a name"))
    return f"{candidate.version}@{threshold:.{_DIGITS}f}"


def model_of(version: object, project_id: int) -> int | None:
    """The number of the model whose version this is; None when it is not one of ours for this project."""
    found = re.fullmatch(rf"p{project_id}-m([0-9]{{1,9}})(@[01]\.[0-9]{{{_DIGITS}}})?", str(version), re.ASCII)
    return None if found is None else int(found[1])


def newest(project_id: int, versions: Sequence[str]) -> str | None:
    """The newest of our versions, which come in the order in which they were stored.

    That of the newest model; of several of one model the one stored last.
    """
    best: tuple[int, str] | None = None
    for version in versions:
        number = model_of(version, project_id)
        if number is not None and (best is None or number >= best[0]):
            best = (number, version)
    return None if best is None else best[1]
