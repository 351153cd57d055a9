"""Tabs of the Data Manager: one of our own, and nobody else's.

In Label Studio Community tabs belong to the project: everybody sees them. A tab can carry a fixed set of
tasks (`selected_items`), which can only be given when it is made; its filters and its order can be changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from custom_ai.errors import N_, LabelStudioMissing
from custom_ai.labelstudio.tasks import Item, Tasks

PATH = "/api/dm/views"
_PLAIN: dict[str, Any] = {"type": "list", "target": "tasks", "hiddenColumns": {"explore": [], "labeling": []}}


def tabs(studio: Tasks, project_id: int) -> list[dict[str, Any]]:
    """All tabs of a project as Label Studio gives them, from the left."""
    found: list[dict[str, Any]] = studio.session.get(PATH, {"project": project_id})
    return found


def make_tab(
    studio: Tasks, project_id: int, title: str, tasks: Sequence[int], items: Sequence[Item], ordering: Sequence[str],
    looks: dict[str, Any] | None = None,
) -> int:  # fmt: skip
    """A new tab at the right end that shows those of ``tasks`` that meet all conditions; returns its id.

    ``looks`` is the `data` of a tab whose columns, widths and title are to be kept.
    """
    if not tabs(studio, project_id):
        # Label Studio makes its own first tab only while there is none: ours must not become the only one.
        studio.session.post(PATH, {"project": project_id, "data": {"title": "Default", **_PLAIN}})
    kept = {name: value for name, value in (looks or {}).items() if name not in ("filters", "selectedItems")}
    body = {
        "project": project_id,
        "data": {
            "title": title,
            **_PLAIN,
            **kept,
            "filters": {"conjunction": "and", "items": list(items)},
            "ordering": list(ordering),
        },
        "selected_items": {"all": False, "included": list(tasks)},
    }
    return int(studio.session.post(PATH, body, missing=(N_("project"), project_id))["id"])


def remove_tab(studio: Tasks, tab_id: int) -> None:
    """Remove a tab; harmless when somebody has removed it already."""
    try:
        studio.session.delete_json(f"{PATH}/{tab_id}", missing=(N_("tab"), tab_id))
    except LabelStudioMissing:
        return
