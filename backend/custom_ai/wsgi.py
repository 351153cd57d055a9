"""The WSGI factory for gunicorn: ``gunicorn 'custom_ai.wsgi:app()'``."""

from __future__ import annotations

import logging

from flask import Flask

from custom_ai import wiring
from custom_ai.web import create_app


def app() -> Flask:
    """Make the web application with the settings of this process."""
    settings = wiring.settings_of_this_process()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return create_app(wiring.build(settings, retry_s=wiring.WEB_RETRY_S))
