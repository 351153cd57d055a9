"""What several kinds of tests share: services on a database of their own, and a bell that writes down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.session import Session
from custom_ai.services import Services
from custom_ai.serving.cache import ModelCache
from custom_ai.settings import load_settings
from custom_ai.state.database import Database
from custom_ai.store import FileStore
from custom_ai.wiring import model_loader, trainer


class WritingBell:
    """Remembers who rang for what, so that a test can see it."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, tuple[int, ...]]] = []

    def ring(self, job: str, *ids: int, delay_s: float = 0.0) -> None:
        self.rung.append((job, ids))

    def waiting(self, job: str, *ids: int) -> bool:
        return (job, ids) in self.rung

    def workers(self, job: str) -> int:
        return 1


def services_in(folder: Path, label_studio_url: str = "http://127.0.0.1:9", **values: Any) -> Services:
    """Services with a fresh SQLite database; nothing listens at the default Label Studio address.

    No forecast, which trains some more, no downloads, and no measuring of engines, unless they are asked for.
    """
    values = {"forecast_seconds": 0, "download_weights": False, "engine": "openvino", **values}
    settings = load_settings(
        state_dir=folder / "state", label_studio_url=label_studio_url, label_studio_api_key="0" * 40, **values
    )
    database = Database(settings.sqlalchemy_url)
    database.migrate()
    store = FileStore(settings.state_dir / "files")
    session = Session(settings.label_studio_url, settings.label_studio_api_key.get_secret_value(), retry_s=0.0)
    return Services(
        settings=settings,
        database=database,
        store=store,
        bell=WritingBell(),
        label_studio=LabelStudio(session),
        trainer=trainer,
        models=ModelCache(2, model_loader(settings, database, store)),
    )
