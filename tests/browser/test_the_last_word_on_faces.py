"""Somebody has the last word on hidden faces: hides them, draws an area that was missed, approves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from person import Person, check
from playwright.sync_api import expect
from stack import Stack, eventually, scenes_in

from custom_ai.demo.story import CLASSES
from custom_ai.labelstudio.config import template

pytestmark = pytest.mark.flow


def test_areas_are_drawn_and_the_image_is_approved(owner: Person, stack: Stack, tmp_path: Path) -> None:
    project_id = stack.new_project(template(CLASSES), title="Faces")
    first, second = stack.upload(project_id, scenes_in(tmp_path, 2))
    stack.ask("POST", f"/projects/{project_id}/connect")
    eventually(lambda: stack.project(project_id)["tasks"]["total"] == 2, 60, "the tasks are known")
    page = owner.open(f"/projects/{project_id}/hidden")
    page.get_by_role("button", name="Hide faces in all images of this project").click()
    eventually(lambda: jobs(stack, project_id)[0]["status"] == "done", 90, "faces are hidden")
    page = owner.open(f"/projects/{project_id}/hidden")
    expect(page.get_by_text("2 of 2 images")).to_be_visible()
    check(page)
    page.get_by_role("link", name=f"Task {first}").first.click()

    picture = page.locator("#hidden-image")
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator("#drawn li")).to_have_count(1)
    check(page)
    page.get_by_role("button", name="Redo the image with these areas").click()
    expect(page.get_by_text("The image is being redone with your areas.")).to_be_visible()
    eventually(lambda: len(areas(stack, project_id, first)) == 1, 60, "the area is hidden")
    ((x1, y1, x2, y2, _),) = areas(stack, project_id, first)
    assert 1.3 < (y2 - y1) / (x2 - x1) * box["width"] / box["height"] < 1.7
    eventually(lambda: jobs(stack, project_id)[0]["status"] == "done", 60, "the job has ended")

    page = owner.open(f"/projects/{project_id}/hidden/{first}")
    expect(page.get_by_text("drawn by hand")).to_be_visible()
    page.get_by_role("button", name="No face is left: approve").click()
    expect(page).to_have_url(re.compile(f"/hidden/{second}$"))
    page = owner.open(f"/projects/{project_id}/hidden?show=approved")
    expect(page.get_by_role("link", name=f"Task {first}")).to_be_visible()


def jobs(stack: Stack, project_id: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = stack.ask("GET", f"/projects/{project_id}/deidentify")["jobs"]
    return found


def areas(stack: Stack, project_id: int, task: int) -> list[list[float]]:
    """What is hidden in a task's image now, as the newest job tells it."""
    rows = stack.ask("GET", f"/deidentify/{jobs(stack, project_id)[0]['id']}/images")["images"]
    return [one["area"] for row in rows if row["task"] == task and row["status"] == "done" for one in row["areas"]]
