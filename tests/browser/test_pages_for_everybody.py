"""Every page in both languages, on a phone, in the dark, and for people who do not see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from person import Person, check
from playwright.sync_api import Browser, expect
from stack import Stack
from story import Project

pytestmark = pytest.mark.flow
HANGUL = re.compile("[가-힣]")


@pytest.fixture(scope="module")
def korean(browser: Browser, stack: Stack) -> Iterator[Person]:
    """Signed in, with a browser that asks for Korean."""
    person = Person(browser, stack, locale="ko-KR")
    person.sign_in_to_label_studio()
    yield person
    person.close()
    assert not person.complaints
    assert not person.strangers


@pytest.fixture(scope="module")
def paths(stack: Stack, labelled: Any, voted: Any, project: Project) -> dict[str, str]:
    """Every page that is left when the story has ended."""
    run, winner = stack.project(project.id)["run"]["id"], stack.project(project.id)["champion"]["id"]
    return {
        "projects": "/projects",
        "new project": "/projects/new",
        "unconnected": "/projects/unconnected",
        "dashboard": project.path,
        "notifications": "/notifications",
        "runs": f"{project.path}/runs",
        "result": f"/selections/{voted['id']}",
        "report": f"/models/{winner}",
        "data": f"/runs/{run}/data",
        "thresholds": f"/models/{winner}/thresholds",
        "preview": f"/models/{winner}/preview",
        "auto-labelling": f"/auto-label/{labelled['id']}",
        "account": "/account",
        "mails": "/mails",
    }


PAGES = ("projects", "new project", "unconnected", "dashboard", "notifications", "runs", "result", "report", "data",
         "thresholds", "preview", "auto-labelling", "account")  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_in_korean_for_everybody(korean: Person, paths: dict[str, str], name: str) -> None:
    page = korean.open(paths[name])
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    heading = page.get_by_role("heading", level=1).inner_text()
    assert HANGUL.search(heading) or heading.startswith(("Table tops", "p")), heading
    assert HANGUL.search(page.locator("main").inner_text())
    check(page)


def test_the_language_can_be_switched_and_stays(korean: Person, paths: dict[str, str]) -> None:
    page = korean.open("/projects")
    expect(page.get_by_role("heading", level=1)).to_have_text("프로젝트")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Projects")
    expect(korean.open(paths["dashboard"]).get_by_role("heading", name="Labels", exact=True)).to_be_visible()
    page.get_by_role("link", name="한국어").click()
    expect(page.get_by_role("heading", name="모델", exact=True)).to_be_visible()


def test_the_colours_can_be_switched_and_stay(korean: Person) -> None:
    page = korean.open("/projects")
    page.get_by_role("contentinfo").get_by_role("link").last.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(korean.open("/notifications").locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("contentinfo").get_by_role("link").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "auto")


def test_what_happened_is_told_and_marked_as_read(owner: Person, labelled: Any, project: Project) -> None:
    page = owner.open(project.path)
    told = owner.stack.ask("GET", f"/projects/{project.id}/notifications")["notifications"]
    tab = page.get_by_role("link", name="Notifications", exact=False).first
    unread = int("".join(filter(str.isdigit, tab.inner_text())))
    assert unread == sum(not one["read"] for one in told) > 3
    tab.click()
    items = page.get_by_role("main").get_by_role("listitem")
    expect(items).to_have_count(len(told))
    expect(items.first).to_contain_text(told[0]["text"])
    page.get_by_role("button", name="Mark as read").first.click()
    expect(tab).to_contain_text(str(unread - 1))
    page.get_by_label("only unread").check()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(items).to_have_count(unread - 1)
    items.filter(has_text="vote").first.get_by_role("button", name="Open").click()
    expect(page.get_by_role("link", name="Table tops")).to_be_visible()  # at the thing that it is about
    owner.open("/notifications").get_by_role("button", name="Mark all as read").click()
    expect(tab).to_have_text("Notifications")
    assert all(one["read"] for one in owner.stack.ask("GET", f"/projects/{project.id}/notifications")["notifications"])


def test_an_error_is_a_page_for_people(korean: Person) -> None:
    page = korean.open("/projects/99999")
    korean.complaints.clear()  # the browser's console tells that it was a 404
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert HANGUL.search(page.get_by_role("main").inner_text())
    check(page)


def test_by_keyboard_alone_to_the_content(owner: Person, labelled: Any) -> None:
    page = owner.open("/projects")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="New project")).to_be_focused()
