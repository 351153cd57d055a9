"""What the extension is told by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from custom_ai_label_studio.assertions import LEAST_SECRET
from custom_ai_label_studio.words import LANGUAGES, translator

NO_URL = "CUSTOM_AI_URL is not set for Label Studio: the address of Custom AI, as Label Studio's server reaches it."
BAD_URL = "{name} = {value} is no address: it has to begin with http:// or https://."
NO_SECRET = (
    "CUSTOM_AI_EXTENSION_SECRET is not set for Label Studio, or shorter than {least} characters. "
    "Custom AI and Label Studio need the same one; `openssl rand -hex 32` makes one."
)
BAD_LANGUAGE = "CUSTOM_AI_LANGUAGE = {value} is not known: en or ko."


@dataclass(frozen=True)
class Config:
    """Where Custom AI is, what is shared with it, and how people are spoken to."""

    url: str = ""
    """Custom AI as Label Studio's server sees it."""
    public_url: str = ""
    """Custom AI as browsers see it."""
    secret: str = field(default="", repr=False)
    language: str = "en"
    page_script: bool = True
    """Whether Label Studio's pages get our script: answers of actions, and a link in the project."""
    problems: tuple[str, ...] = ()
    """What is wrong, for people; with any of them nothing is sent to Custom AI."""


def read(environment: Mapping[str, str]) -> Config:
    """The configuration in ``environment``; never raises: what is wrong stands in ``problems``."""

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    language = value("CUSTOM_AI_LANGUAGE") or "en"
    _ = translator(language)
    problems = []
    url = value("CUSTOM_AI_URL").rstrip("/")
    public_url = value("CUSTOM_AI_PUBLIC_URL").rstrip("/") or url
    if not url:
        problems.append(_(NO_URL))
    for name, one in (("CUSTOM_AI_URL", url), ("CUSTOM_AI_PUBLIC_URL", public_url)):
        if one and not one.startswith(("http://", "https://")):
            problems.append(_(BAD_URL).format(name=name, value=one))
    secret = value("CUSTOM_AI_EXTENSION_SECRET")
    if len(secret) < LEAST_SECRET:
        problems.append(_(NO_SECRET).format(least=LEAST_SECRET))
    if language not in LANGUAGES:
        problems.append(_(BAD_LANGUAGE).format(value=language))
        language = "en"
    return Config(
        url=url,
        public_url=public_url,
        secret=secret,
        language=language,
        page_script=value("CUSTOM_AI_PAGE_SCRIPT").lower() not in ("false", "0", "no", "off"),
        problems=tuple(problems),
    )
