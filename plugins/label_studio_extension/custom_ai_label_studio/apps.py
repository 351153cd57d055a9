"""Django's door: everything is added here, part by part, and no part may keep Label Studio from starting."""

from __future__ import annotations

import logging
import os

from django.apps import AppConfig

from custom_ai_label_studio import KNOWN_VERSIONS
from custom_ai_label_studio.config import Config, read

log = logging.getLogger(__name__)


class CustomAI(AppConfig):
    """The app; ``configuration`` is what the environment said at the start."""

    name = "custom_ai_label_studio"
    label = "custom_ai_label_studio"
    verbose_name = "Custom AI"
    configuration = Config(problems=("not started",))

    def ready(self) -> None:
        self.configuration = read(os.environ)
        for problem in self.configuration.problems:
            log.warning("Custom AI: %s", problem)
        version = label_studio_version()
        if not is_known(version):
            log.warning(
                "Custom AI was tried with Label Studio %s*, this is %s: some of it may not work",
                "*, ".join(KNOWN_VERSIONS),
                version,
            )
        try:
            from custom_ai_label_studio.actions import register

            register(self.configuration.language)
        except Exception:  # Label Studio starts, whatever another version of it has changed
            log.exception("Custom AI: its actions are not in the Data Manager")


def label_studio_version() -> str:
    """Such as 1.23.2; "unknown" when Label Studio does not say."""
    try:
        from label_studio import __version__

        return str(__version__ or "unknown")
    except ImportError:
        return "unknown"


def is_known(version: str) -> bool:
    """Whether we have tried this version."""
    return version.startswith(KNOWN_VERSIONS)
