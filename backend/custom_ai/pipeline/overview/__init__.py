"""What stands where, as plain dictionaries: for the REST API, the pages and the command line."""

from __future__ import annotations

from custom_ai.pipeline.overview.inbox import notifications
from custom_ai.pipeline.overview.models import model, models, promotions
from custom_ai.pipeline.overview.projects import project, projects
from custom_ai.pipeline.overview.votes import selection
from custom_ai.pipeline.overview.words import Translate
from custom_ai.pipeline.overview.work import job, run

__all__ = [
    "Translate",
    "job",
    "model",
    "models",
    "notifications",
    "project",
    "projects",
    "promotions",
    "run",
    "selection",
]
