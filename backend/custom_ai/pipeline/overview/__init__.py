"""What stands where, as plain dictionaries: for the REST API, the pages and the command line."""

from __future__ import annotations

from custom_ai.pipeline.overview.history import at_work, runs
from custom_ai.pipeline.overview.models import at_hand, model, models, promotions
from custom_ai.pipeline.overview.projects import project, projects, titles
from custom_ai.pipeline.overview.votes import selection
from custom_ai.pipeline.overview.words import Translate
from custom_ai.pipeline.overview.work import failed_items, job, run

__all__ = [
    "Translate",
    "at_hand",
    "at_work",
    "failed_items",
    "job",
    "model",
    "models",
    "project",
    "projects",
    "promotions",
    "run",
    "runs",
    "selection",
    "titles",
]
