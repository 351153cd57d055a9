"""In Label Studio's own pages, with our extension: its menu, its dialogs, and the way to our pages."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from person import Person
from playwright.sync_api import Browser, Page, expect
from seeded import Seeded

from extended import Extended

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def seeded(extended: Extended) -> Iterator[Seeded]:
    """Three images, one label, and a model that need not be trained."""
    made = Seeded(extended.label_studio, extended.state, 3)
    made.model(0.9)
    extended.stack.ask("PATCH", f"/projects/{made.project_id}", {"labels_per_class": 1})
    made.draw(made.tasks[0], "cat")
    yield made
    made.studio.delete_project(made.project_id)
    made.close()


@pytest.fixture(scope="module")
def member(browser: Browser, extended: Extended) -> Iterator[Person]:
    """Signed in to Label Studio, on a host name whose cookies Custom AI does not get."""
    person = Person(browser, extended.stack)
    person.sign_in_to_label_studio()
    yield person
    person.close()
    assert person.strangers <= {urlsplit(extended.public_url).netloc}


def choose(page: Page, task: int, action: str) -> None:
    """As people do: select a task, open the menu, click. (Label Studio clears the selection after each action.)"""
    page.get_by_role("checkbox", name=f"Select Task {task}").click(force=True)
    page.get_by_role("button", name="Tasks Actions").click()
    page.get_by_text(action, exact=True).click()


def test_from_the_menu_to_our_pages(member: Person, extended: Extended, seeded: Seeded) -> None:
    page = member.open(f"{extended.label_studio.url}/projects/{seeded.project_id}/data")
    ok = page.get_by_test_id("dialog-ok-button")
    told = page.get_by_role("region", name="Notifications")  # what came of an action, said by our script

    choose(page, seeded.tasks[1], "Custom AI: status")
    expect(page.get_by_text("Labels (upright boxes), 1 of each class are needed: cat 1, dog 0")).to_be_visible()
    ok.click()
    expect(told).to_contain_text("· Model in use:")

    choose(page, seeded.tasks[1], "Custom AI: make")
    expect(page.get_by_text("cat: 1 labels")).to_be_visible()
    expect(page.get_by_text("dog: 0 of 1 labels; not enough yet")).to_be_visible()
    ok.click()
    expect(told).to_contain_text("Training is in line; it begins by itself.")
    run = extended.stack.project(seeded.project_id)["run"]
    extended.stack.ask("POST", f"/runs/{run['id']}/cancel")
    assert (run["classes"], run["requested_by"]) == (["cat"], extended.label_studio.email)

    choose(page, seeded.tasks[1], "Custom AI: auto-label selected")
    expect(page.get_by_text("Hide the faces in their images first")).to_be_visible()
    ok.click()
    expect(told).to_contain_text("Auto-labelling of 1 tasks is in line")
    job = extended.stack.project(seeded.project_id)["auto_label"]
    assert extended.stack.wait_for_job(job["id"])["tasks"]["done"] == 1

    choose(page, seeded.tasks[2], "Custom AI: choose the best model")
    expect(page.get_by_text("There is no vote on the models")).to_be_visible()
    ok.click()
    expect(told).to_contain_text("Runtime error: There is no vote")  # Label Studio's words, and ours

    assert extended.public_url not in {f"http://{one['domain']}" for one in member.context.cookies()}
    with member.context.expect_page() as opened:
        page.get_by_role("link", name="Custom AI").click()
    ours = opened.value
    expect(ours.get_by_role("heading", name="Review").first).to_be_visible()
    assert ours.url == f"{extended.public_url}/projects/{seeded.project_id}"
    expect(ours.get_by_role("link", name=extended.label_studio.email)).to_be_visible()
    expect(ours.get_by_role("button", name="Sign out")).to_be_visible()
    ours.close()
