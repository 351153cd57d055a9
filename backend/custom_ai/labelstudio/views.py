"""Views: the tabs of Label Studio's Data Manager, each with filters of its own."""

from __future__ import annotations

from typing import Any

from custom_ai.errors import N_, LabelStudioMissing
from custom_ai.labelstudio.tasks import IDS_PER_PAGE, Item, Tasks


class Views(Tasks):
    """The part of the client that is about views."""

    def views(self, project_id: int) -> dict[int, str]:
        """The names of a project's views by their ids."""
        rows = self.session.get("/api/dm/views/", {"project": project_id})
        return {int(row["id"]): str((row.get("data") or {}).get("title") or row["id"]) for row in rows}

    def check_view(self, project_id: int, view_id: int) -> dict[str, Any]:
        """What Label Studio says about a view. Raises LabelStudioMissing when the project has no such view."""
        missing = (N_("view"), view_id)
        view: dict[str, Any] = self.session.get(f"/api/dm/views/{view_id}/", missing=missing)
        if int(view.get("project") or 0) != project_id:
            raise LabelStudioMissing(what=N_("view"), id=view_id)
        return view

    def tasks_of_view(self, project_id: int, view_id: int) -> set[int]:
        """The ids of the tasks that a view lists; of those only the ticked ones when some are ticked.

        Raises LabelStudioMissing when the project has no such view.
        """
        view = self.check_view(project_id, view_id)
        filters = (view.get("data") or {}).get("filters") or {}
        items: list[Item] = [_condition(one) for one in filters.get("items") or filters.get("filters") or ()]
        # We page by `id > last`, which has to hold together with the view's conditions: "or" is asked one by one.
        together = [[item] for item in items] if filters.get("conjunction") == "or" and items else [items]
        found: set[int] = set()
        for conditions in together:
            rows = self.rows(project_id, conditions, IDS_PER_PAGE, fields="task_only", include="id")
            found.update(int(row["id"]) for row in rows)
        # A tab can be for certain tasks, too; Label Studio keeps them in the same place as the ticks of its list.
        fixed = (view.get("data") or {}).get("selectedItems") or {}
        if fixed.get("all") is False and fixed.get("included"):
            found.intersection_update(int(one) for one in fixed["included"])
        return found


def _condition(stored: dict[str, Any]) -> Item:
    """A stored condition as the task list takes it."""
    item: Item = {
        "filter": stored.get("filter") or stored.get("column"),
        "operator": stored.get("operator"),
        "type": stored.get("type"),
        "value": stored.get("value"),
    }
    child = stored.get("child_filter")
    return {**item, "child_filter": _condition(child)} if child else item
