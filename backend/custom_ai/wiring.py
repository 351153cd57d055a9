"""The only place where the parts are put together. Nothing here is made at import."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis
from sqlalchemy import select

from custom_ai.errors import N_, ModelError, SettingsError
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.session import Session
from custom_ai.plugins import NotifierSpec
from custom_ai.queue import RqBell, connect
from custom_ai.services import Services
from custom_ai.serving.cache import ModelCache
from custom_ai.serving.choices import Choices
from custom_ai.settings import Settings, load_settings
from custom_ai.state.database import Database
from custom_ai.state.tables import Candidate
from custom_ai.store import FileStore
from custom_ai.training.contract import Trainer

if TYPE_CHECKING:
    from custom_ai.plugins import Hider, Notifier
    from custom_ai.serving.engine import Model

SETTINGS_FILE = "CUSTOM_AI_SETTINGS"
"""Environment variable that names the settings file for all processes of an installation."""
WEB_RETRY_S = 2.0
"""While a person waits for a page we do not keep trying for long."""
_MODELS_KEPT = 4


def settings_of_this_process() -> Settings:
    """The settings, from the environment and the file that CUSTOM_AI_SETTINGS names."""
    file = os.environ.get(SETTINGS_FILE)
    return load_settings(Path(file) if file else None)


@cache
def services_of_this_process() -> Services:
    """For jobs: made once per process, and patient with a Label Studio that is away."""
    return build(settings_of_this_process())


def redis_of(settings: Settings) -> Redis:
    """Raises SettingsError when no queue is set."""
    if not settings.redis_url:
        raise SettingsError(
            name="redis_url",
            why=N_("it is empty; set it, or use `custom-ai run`, which brings its own queue"),
        )
    return connect(settings.redis_url)


def build(settings: Settings, *, retry_s: float | None = None, need_queue: bool = True) -> Services:
    """Connect everything (lazily: neither Label Studio nor Redis is asked here).

    ``retry_s``: how long to keep trying while Label Studio does not answer, by default as set.
    Without ``need_queue`` a missing queue is no error: the tick finds what was not rung for.
    """
    database = Database(settings.sqlalchemy_url)
    store = FileStore(settings.state_dir / "files")
    session = Session(
        settings.label_studio_url,
        settings.label_studio_api_key.get_secret_value(),
        timeout_s=settings.http_timeout_s,
        retry_s=settings.http_retry_s if retry_s is None else retry_s,
    )
    return Services(
        settings=settings,
        database=database,
        store=store,
        bell=_Silence()
        if not need_queue and not settings.redis_url
        else RqBell(redis_of(settings), settings.job_timeout_s),
        label_studio=LabelStudio(session),
        trainer=trainer,
        models=ModelCache(_MODELS_KEPT, model_loader(settings, database, store)),
        hider=cache(partial(hider, settings)),
        notifiers=cache(partial(notifiers, settings)),
    )


class _Silence:
    """The bell of a command that runs beside an installation whose embedded queue it does not know."""

    def ring(self, job: str, *ids: int, delay_s: float = 0.0) -> None:
        return

    def waiting(self, job: str, *ids: int) -> bool:
        return False

    def workers(self, job: str) -> int:
        return 0


def installed() -> dict[str, list[str]]:
    """The names of all plug-ins, ours too, by kind."""
    kinds = ("trainers", "preprocessors", "notifiers")
    return {kind: sorted(one.name for one in entry_points(group=f"custom_ai.{kind}")) for kind in kinds}


def trainer(name: str) -> Trainer:
    """The trainer with this entry point's name. Raises SettingsError naming those that there are."""
    found = {one.name: one for one in entry_points(group="custom_ai.trainers")}
    if name not in found:
        raise SettingsError(name=f"trainer {name!r}", why=f"installed are: {', '.join(sorted(found)) or '-'}")
    made: Trainer = found[name].load()()
    return made


def hider(settings: Settings, name: str) -> Hider:
    """The plug-in with this entry point's name. Raises SettingsError naming those that there are, or ModelError."""
    found = {one.name: one for one in entry_points(group="custom_ai.preprocessors")}
    if name not in found:
        raise SettingsError(name=f"preprocessor {name!r}", why=f"installed are: {', '.join(sorted(found)) or '-'}")
    further = {"models": settings.hide_models, "classes": settings.hide_classes} if settings.hide_models else {}
    made: Hider = found[name].load()(threads=settings.cpu_threads, max_pixels=settings.image_max_pixels, **further)
    return made


def notifiers(settings: Settings) -> dict[str, Notifier]:
    """The notifiers that the settings name and that are set up. Raises SettingsError for one that is not installed, or
    that does not keep its promises."""
    found = {one.name: one for one in entry_points(group="custom_ai.notifiers")}
    made: dict[str, Notifier] = {}
    for name in settings.notifiers:
        if name not in found:
            raise SettingsError(name=f"notifier {name!r}", why=f"installed are: {', '.join(sorted(found)) or '-'}")
        one: Notifier = found[name].load()(settings)
        spec = getattr(one, "spec", None)
        if not isinstance(spec, NotifierSpec) or spec.name != name:
            raise SettingsError(name=f"notifier {name!r}", why=f"its spec is {spec!r}")
        if one.ready:
            made[name] = one
    return made


def model_loader(settings: Settings, database: Database, store: FileStore) -> Callable[[str], Model]:
    """Loads an exported model by its hash, which is checked against the file's content.

    With the engine of the settings, else the one that is the fastest on this machine, which is found out once.
    """

    def load(sha256: str) -> Model:
        from custom_ai.serving.engine import Model
        from custom_ai.serving.selftest import choose

        with database.read() as session:
            row = session.scalars(select(Candidate).where(Candidate.onnx_sha256 == sha256).limit(1)).first()
        if row is None or row.image_size is None:
            raise ModelError(model=sha256[:12], why=N_("no candidate of ours has it"))
        path, threads, gpu = store.path(sha256), settings.cpu_threads, settings.device != "cpu"
        if settings.engine:
            return Model.load(path, row.classes, row.image_size, threads, engine=settings.engine, gpu=gpu)
        best = choose(path, row.image_size, threads, Choices(settings.state_dir), gpu=gpu, sha256=sha256)
        return Model.load(path, row.classes, row.image_size, threads, engine=best.engine, batch=best.batch, gpu=gpu)

    return load
