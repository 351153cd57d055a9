"""All settings, read once into one frozen object.

Values come from the environment (``CUSTOM_AI_<NAME>``, or the customary names of ML backends such
as ``LABEL_STUDIO_URL``) and from a TOML file (``custom-ai --settings FILE``); the environment wins.
An unknown key is an error.
"""

from __future__ import annotations

import base64
import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from custom_ai.assertions import LEAST_SECRET
from custom_ai.cores import usable_cores
from custom_ai.errors import SettingsError

PREFIX = "CUSTOM_AI_"


OF_THE_EXTENSION = ("CUSTOM_AI_URL", "CUSTOM_AI_LANGUAGE", "CUSTOM_AI_PAGE_SCRIPT")
"""Settings of the extension inside Label Studio: one file of variables may serve both programs."""


def _also(name: str, *customary: str) -> AliasChoices:
    """Our own name first, then the names that ML backends customarily use."""
    return AliasChoices(PREFIX + name.upper(), *customary)


class Settings(BaseSettings):
    """The settings of one installation. Seconds end in _s, bytes in _bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, populate_by_name=True, frozen=True, extra="forbid", env_ignore_empty=True
    )

    label_studio_url: str = Field(
        "http://localhost:8080",
        validation_alias=_also("label_studio_url", "LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
    )
    """Where Label Studio answers, as seen from this machine."""
    label_studio_public_url: str = Field("")
    """Where people open Label Studio in their browsers; empty: the same as label_studio_url."""
    label_studio_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_also("label_studio_api_key", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
    )
    """A personal access token (or a legacy token) of a Label Studio user."""
    public_url: str = Field("http://localhost:9090")
    """Where people reach this service."""
    backend_url: str = ""
    """Where Label Studio reaches this service (in containers often another name); empty: the same as public_url."""
    host: str = Field("127.0.0.1")
    """The address to listen on."""
    port: int = Field(9090, ge=1, le=65535, validation_alias=_also("port", "PORT"))
    """The port to listen on."""
    web_workers: int = Field(1, ge=1, validation_alias=_also("web_workers", "WORKERS"))
    """gunicorn worker processes. Each holds its own copy of the models it serves."""
    web_threads: int = Field(8, ge=1, validation_alias=_also("web_threads", "THREADS"))
    """Threads per gunicorn worker."""
    session_idle_s: float = Field(12 * 3600.0, gt=0)
    """Who signed in with a token is signed out after this long without a visit."""
    session_max_s: float = Field(7 * 24 * 3600.0, gt=0)
    """Who signed in with a token has to sign in again after this long, visits or not."""
    extension_secret: SecretStr = Field(SecretStr(""))
    """Shared with our extension inside Label Studio (32 characters or more); empty: nothing that it says counts."""
    trusted_proxies: int = Field(0, ge=0)
    """How many reverse proxies stand in front of this service; their X-Forwarded headers are believed."""
    basic_auth_user: str = Field("", validation_alias=_also("basic_auth_user", "BASIC_AUTH_USER"))
    """User that Label Studio must name on the ML-backend routes; empty: no basic auth."""
    basic_auth_pass: SecretStr = Field(SecretStr(""), validation_alias=_also("basic_auth_pass", "BASIC_AUTH_PASS"))
    """Password to go with it."""
    state_dir: Path = Field(Path(".state"), validation_alias=_also("state_dir", "MODEL_DIR"))
    """Database, models, caches and the embedded queue live here."""
    database_url: str = Field("")
    """SQLAlchemy URL; empty: SQLite in state_dir."""
    redis_url: str = Field("", validation_alias=_also("redis_url", "REDIS_URL"))
    """Redis or Valkey; empty: an embedded Valkey, started by `custom-ai run`."""
    weights_dir: Path | None = Field(None)
    """Folder with base weights by name; empty: `weights` in state_dir."""
    base_weights: Path | None = Field(None)
    """One weights file to start every candidate from; empty: the best that can be found."""
    download_weights: bool = Field(True)
    """Whether base weights may be downloaded."""
    download_timeout_s: float = Field(20.0, gt=0)
    """How long one download of base weights may take before training goes on without."""
    device: str = Field("", validation_alias=_also("device", "DEVICE"))
    """cpu, cuda:0, ...; empty: a GPU when there is one."""
    threads: int = Field(0, ge=0, validation_alias=_also("threads"))
    """CPU threads for training and predicting; 0: as many as there are cores for this process."""
    engine: Literal["", "openvino", "openvino-bf16", "onnxruntime"] = Field("")
    """What predicts; empty: what is the fastest on this machine with the same result (measured once per network)."""
    nice: int = Field(5, ge=0, le=19)
    """How far training and auto-labelling give way to other programs that want the CPU (`nice`); 0: not at all."""
    candidate_passes: int = Field(4000, ge=1)
    """Training budget of one candidate, in picture passes."""
    candidate_seconds: float = Field(170.0, gt=0)
    """Time cap for one candidate, with the trainings that only score it; the schedule is fitted into it."""
    forecast_seconds: float = Field(40.0, ge=0)
    """How long a run may find out, when the vote is open, what more labels would bring; 0: it does not."""
    labels_per_class: int = Field(10, ge=1)
    """How many labels every chosen class needs; a project may override it."""
    vote_days: float = Field(14.0, gt=0, le=365)
    """How many days a vote stays open when nobody closes it or sets another deadline."""
    score_threshold: float | None = Field(
        None, ge=0, le=1, validation_alias=_also("score_threshold", "MODEL_SCORE_THRESHOLD")
    )
    """Pre-labels below this confidence are not shown; empty: each model's own threshold."""
    debounce_s: float = Field(2.0, ge=0)
    """How long bursts of Label Studio events are gathered before we look."""
    tick_s: float = Field(60.0, gt=0)
    """How often lost jobs and lost webhooks are searched for."""
    lost_after_s: float = Field(90.0, gt=0)
    """A job without a sign of life for this long is started again."""
    job_timeout_s: int = Field(6 * 3600, gt=0)
    """No job may take longer."""
    http_timeout_s: float = Field(30.0, gt=0)
    """How long we wait for one answer of Label Studio."""
    http_retry_s: float = Field(60.0, ge=0)
    """How long jobs keep trying while Label Studio does not answer."""
    image_hosts: Annotated[tuple[str, ...], NoDecode] = Field(())
    """Other host names (comma-separated) from which images of tasks may be fetched."""
    image_max_bytes: int = Field(50_000_000, gt=0)
    """Larger image files are refused."""
    image_max_pixels: int = Field(100_000_000, gt=0)
    """Images with more pixels are refused (decompression bombs)."""
    hide_models: Annotated[tuple[Path, ...], NoDecode] = Field(())
    """Models (comma-separated files from `custom-ai export-model`) that find what else than faces is to be hidden."""
    hide_classes: Annotated[tuple[str, ...], NoDecode] = Field(())
    """Which of their classes (comma-separated); empty: all."""
    vault_key: SecretStr = Field(SecretStr(""))
    """Encrypts originals that are kept when faces are hidden (`custom-ai vault-key` makes one); empty: none is kept."""
    label_studio_media_dir: Path | None = Field(None)
    """Label Studio's media folder (with `upload` in it), from which originals are erased when faces are hidden."""
    upload_max_bytes: int = Field(1_073_741_824, gt=0)
    """Larger archives for a new project are refused."""
    upload_keep_s: float = Field(86_400.0, gt=0)
    """Uploads that were not finished, or not used, are removed after this time."""
    import_max_images: int = Field(20_000, ge=1)
    """Further images of an archive are left out."""
    import_max_ratio: float = Field(200.0, gt=1)
    """Files in an archive that unpack to more than this many times their size are left out (ZIP bombs)."""
    import_max_unpacked_bytes: int = Field(5_368_709_120, gt=0)
    """Archives that unpack to more are refused."""
    smtp_host: str = Field("")
    """The mail server by which notifications are sent; empty: no mails."""
    smtp_port: int = Field(587, ge=1, le=65535)
    """Its port."""
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls")
    """How the connection is encrypted; none only for a server on the same machine."""
    smtp_user: str = Field("")
    """User to sign in with; empty: without signing in."""
    smtp_password: SecretStr = Field(SecretStr(""))
    """Password to go with it."""
    mail_from: str = Field("")
    """The sender's address; empty: smtp_user."""
    notify_language: Literal["en", "ko"] = Field("en")
    """Language of notifications, unless a recipient has chosen another."""
    notify_urls: SecretStr = Field(SecretStr(""))
    """Where else notifications go: apprise addresses (Slack, Teams, Discord, Telegram ...), separated by spaces."""
    webhook_urls: SecretStr = Field(SecretStr(""))
    """Addresses (separated by spaces) that are sent every notification as signed JSON; they hold no other secret."""
    webhook_secret: SecretStr = Field(SecretStr(""))
    """The secret (32 characters or more) with which that JSON is signed."""
    notifiers: Annotated[tuple[str, ...], NoDecode] = Field(("mail", "apprise", "webhook"))
    """Which notifiers may send (comma-separated names of entry points); each still needs its own settings."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=_also("log_level", "LOG_LEVEL")
    )
    """How much is logged."""

    @field_validator("label_studio_url", "label_studio_public_url", "public_url", "backend_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("expected a URL that starts with http:// or https://")
        return url.rstrip("/")

    @field_validator("extension_secret", "webhook_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError(f"expected {LEAST_SECRET} characters or more, such as `openssl rand -hex 32` prints")
        return secret

    @field_validator("vault_key")
    @classmethod
    def _a_key(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        try:
            good = not text or len(base64.b64decode(text, altchars=b"-_", validate=True)) == 32
        except ValueError:
            good = False
        if not good:
            raise ValueError("expected a key as `custom-ai vault-key` prints")
        return secret

    @field_validator("image_hosts", mode="before")
    @classmethod
    def _host_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(host.strip().lower() for host in value.split(",") if host.strip())
        return value

    @field_validator("hide_models", "hide_classes", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(one.strip() for one in value.split(",") if one.strip())
        return value

    @field_validator("notifiers", mode="before")
    @classmethod
    def _name_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @property
    def label_studio_link(self) -> str:
        """The address under which people open Label Studio."""
        return self.label_studio_public_url or self.label_studio_url

    @property
    def ml_backend_url(self) -> str:
        """The address that Label Studio is given."""
        return self.backend_url or self.public_url

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir / 'custom_ai.db'}"

    @property
    def cpu_threads(self) -> int:
        """Threads for training and predicting."""
        return self.threads or usable_cores()


def load_settings(file: Path | None = None, **overrides: object) -> Settings:
    """Read the settings; ``overrides`` (by field name) win over environment and file.

    Raises SettingsError naming the key, what was expected, and what was found.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + "SETTINGS", *OF_THE_EXTENSION}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(name=name, why="no such setting; docs/settings.md lists them all")
    values: dict[str, object] = {}
    if file is not None:
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(name=str(file), why=str(error)) from error
        for name in [*values]:
            if name not in Settings.model_fields:
                raise SettingsError(name=f"{name} in {file}", why="no such setting; docs/settings.md lists them all")
            if _in_environment(name):
                del values[name]
    values.update(overrides)
    try:
        # By the first alias: pydantic-settings would take "threads" for THREADS, the customary name of web_threads.
        return Settings(**{_alias(name): value for name, value in values.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SettingsError(name=".".join(str(part) for part in first["loc"]), why=first["msg"]) from error


def _alias(name: str) -> str:
    field = Settings.model_fields.get(name)
    alias = field.validation_alias if field else None
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


def _in_environment(name: str) -> bool:
    alias = Settings.model_fields[name].validation_alias
    customary = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
    return any(os.environ.get(choice) for choice in [PREFIX + name.upper(), *customary])
