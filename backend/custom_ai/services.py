"""What the pipeline works with, handed in from outside. ``wiring`` makes one; nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from custom_ai.errors import N_, SettingsError

if TYPE_CHECKING:
    from custom_ai.labelstudio.client import LabelStudio
    from custom_ai.plugins import Hider, Notifier
    from custom_ai.serving.cache import ModelCache
    from custom_ai.serving.engine import Model
    from custom_ai.settings import Settings
    from custom_ai.state.database import Database
    from custom_ai.store import FileStore
    from custom_ai.training.contract import Trainer


class Bell(Protocol):
    """Wakes a worker. It may be rung twice or get lost: the work itself stands in SQL."""

    def ring(self, job: str, *ids: int, delay_s: float = 0.0) -> None:
        """Ask a worker to call ``custom_ai.jobs.<job>(*ids)`` soon. Never raises when the queue is
        away: the tick rings again."""

    def waiting(self, job: str, *ids: int) -> bool:
        """Whether this call stands in the queue already (or runs)."""

    def workers(self, job: str) -> int:
        """How many workers could do such a job at the same time; 0 when that is not known."""


def no_hider(name: str) -> Hider:
    """There are no plug-ins that change images. Raises SettingsError."""
    raise SettingsError(name=f"preprocessor {name!r}", why=N_("it is not installed"))


def no_notifiers() -> Mapping[str, Notifier]:
    """Nobody is told anything outside of the pages."""
    return {}


@dataclass(frozen=True)
class Services:
    """Everything a pipeline function may need."""

    settings: Settings
    database: Database
    store: FileStore
    bell: Bell
    label_studio: LabelStudio
    """Acts with our own token and keeps trying for ``settings.http_retry_s``."""
    trainer: Callable[[str], Trainer]
    """The trainer of that name, found by entry point."""
    models: ModelCache[Model]
    """Exported models by their sha256, loaded once per process."""
    hider: Callable[[str], Hider] = no_hider
    """What hides something in images, by the name of its entry point; made once per process."""
    notifiers: Callable[[], Mapping[str, Notifier]] = no_notifiers
    """What tells people of notifications, by the names of the entry points; those that are set up."""
