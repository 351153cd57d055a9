"""One browser, one installation and one project that the browser tests take the whole way, step by step.

Each step is a fixture that does it on the pages; the fixtures lean on one another in the order of the story:
``project``, ``trained``, ``voted``, ``labelled``. Tests that need the state before a step stand before those
that ask for the step.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from person import Person, check
from playwright.sync_api import Browser, expect
from stack import LABELLED, UNTOUCHED, Stack, scenes_in
from story import ARCHIVE, CLASSES, Project, Training, scenes_of

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.demo.scenes import Scene

WATCH = """() => {
  const seen = window.seen = { badges: [], candidates: [] };
  const look = () => {
    seen.badges.push(document.querySelector(".badge").innerText);
    seen.candidates.push(...[...document.querySelectorAll("[data-live=run] .count")].map((one) => one.innerText));
  };
  look();
  new MutationObserver(look).observe(document.getElementById("live"), { childList: true, subtree: true });
}"""
"""Keeps what the dashboard tells of a run, whenever it changes."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def stack(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Custom AI as a program of its own, with its embedded queue and real workers."""
    running = Stack(label_studio, tmp_path_factory.mktemp("browser"))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="session")
def owner(browser: Browser, stack: Stack) -> Iterator[Person]:
    """Signed in by Label Studio's cookie. Nothing may complain in their browser, nor leave this machine."""
    person = Person(browser, stack)
    person.sign_in_to_label_studio()
    yield person
    person.close()
    assert not person.complaints
    assert not person.strangers


@pytest.fixture
def stranger(browser: Browser, stack: Stack) -> Iterator[Person]:
    """Signed in nowhere."""
    person = Person(browser, stack)
    yield person
    person.close()
    assert not person.strangers


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return scenes_in(tmp_path_factory.mktemp("scenes"), LABELLED + UNTOUCHED)


@pytest.fixture(scope="session")
def archive(scenes: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images in a folder, and two files that are none."""
    path = tmp_path_factory.mktemp("archive") / ARCHIVE
    with zipfile.ZipFile(path, "w") as made:
        for scene in scenes:
            made.write(scene.path, f"pictures/{scene.path.name}")
        made.writestr("notes.txt", "bring milk")
        made.writestr("broken.jpg", scenes[0].path.read_bytes()[:900])
    return path


@pytest.fixture(scope="session")
def project(owner: Person, archive: Path, scenes: list[Scene]) -> Project:
    """Made from the archive on the page for new projects."""
    page = owner.open("/projects")
    page.get_by_role("link", name="New project").click()
    create = page.get_by_role("button", name="Create project")
    expect(create).to_be_disabled()
    page.get_by_label("A ZIP archive with your images").set_input_files(archive)
    expect(page.get_by_text(f"Complete: {len(scenes) + 2} files")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value(archive.stem)
    page.get_by_label("Description (optional)").fill("Mugs & <leaves>")
    for number, name in enumerate(CLASSES, start=1):
        if page.get_by_label(f"Name of class {number}").count() == 0:
            page.get_by_role("button", name="Add a class").click()
        page.get_by_label(f"Name of class {number}").fill(name)
    create.click()
    expect(page.get_by_text("finished")).to_be_visible()  # without a reload
    expect(page.get_by_role("row").filter(has_text="notes.txt")).to_contain_text("not an image")
    expect(page.get_by_role("row").filter(has_text="broken.jpg")).to_contain_text("truncated")
    check(page)
    page.get_by_role("link", name="Open the project").click()
    expect(page.get_by_role("heading", name=archive.stem)).to_be_visible()
    project_id = int(page.url.rpartition("/")[2])
    tasks = scenes_of(owner.stack, project_id, scenes)
    first = {scene.path for scene in scenes[:LABELLED]}
    return Project(
        project_id, f"/projects/{project_id}", tasks, [task for task, scene in tasks.items() if scene.path in first]
    )


@pytest.fixture(scope="session")
def trained(owner: Person, project: Project) -> Training:
    """Labels are drawn, the models trained; the dashboard stays open all the while."""
    page = owner.open(project.path)
    make = page.get_by_role("button", name="Make Custom AI")
    expect(make).to_be_disabled()
    for task in project.labelled:
        owner.stack.annotate(project.id, task, project.scenes[task])
    for name in CLASSES:  # counted before our eyes
        expect(page.get_by_role("checkbox", name=name).first).to_be_checked(timeout=30_000)
    make.click()
    expect(page.get_by_text("Training is in line; it begins by itself.")).to_be_visible()
    page.evaluate(WATCH)
    expect(page.get_by_role("link", name="Open the vote").first).to_be_visible(timeout=240_000)
    seen = page.evaluate("window.seen ?? {badges: [], candidates: []}")  # gone if the page was loaded again
    run = owner.stack.project(project.id)["run"]
    return Training(run, seen["badges"], seen["candidates"])


@pytest.fixture(scope="session")
def voted(owner: Person, trained: Training, project: Project) -> Any:
    """The owner's five rounds, each in another manner, until the vote is closed; the API's word on it."""
    selection = owner.stack.project(project.id)["selection"]
    page = owner.open(project.path)
    page.get_by_role("link", name="Open the vote").first.click()
    picked, question = page.get_by_role("checkbox", name="Picture 1"), page.get_by_role("heading", level=1)

    expect(question).to_contain_text("Round 1 of 5")
    page.keyboard.press("Enter")  # nothing picked yet
    expect(page.get_by_role("alert")).to_have_text("Pick at least one picture, or say that none is good.")
    page.keyboard.press("1")
    expect(picked).to_be_checked()
    page.keyboard.press("Enter")

    expect(question).to_contain_text("Round 2 of 5")
    expect(picked).not_to_be_checked()
    page.get_by_role("img", name="Picture 2").click()
    expect(page.get_by_role("checkbox", name="Picture 2")).to_be_checked()
    page.get_by_role("button", name="Next").click()

    expect(question).to_contain_text("Round 3 of 5")
    page.keyboard.press("3")
    page.keyboard.press("n")  # none is good: takes the pick back
    expect(page.get_by_role("checkbox", name="Picture 3")).not_to_be_checked()
    page.keyboard.press("Enter")

    expect(question).to_contain_text("Round 4 of 5")
    page.keyboard.press("b")  # back to an earlier round, and it is as it was left
    expect(question).to_contain_text("Round 3 of 5")
    expect(page.get_by_role("checkbox", name="None is good")).to_be_checked()
    owner.open("/projects")  # away, and in again where it was left
    owner.open(project.path).get_by_role("link", name="Open the vote").first.click()
    expect(question).to_contain_text("Round 4 of 5")
    page.keyboard.press("2")
    page.keyboard.press("4")
    page.keyboard.press("Enter")

    expect(question).to_contain_text("Round 5 of 5")
    page.keyboard.press("1")
    page.keyboard.press("Enter")

    expect(question).to_have_text("Summary of the vote")
    page.get_by_role("link", name="Change round 5").click()
    expect(question).to_contain_text("Round 5 of 5")
    page.keyboard.press("1")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(question).to_have_text("Summary of the vote")
    expect(page.get_by_text("picked: 3")).to_be_visible()
    page.get_by_role("button", name="Confirm my choice").click()
    expect(page.get_by_text("Confirmed").first).to_be_visible()
    ballots = owner.stack.ask("GET", f"/selections/{selection['id']}/ballots")["rounds"]
    assert [one["picks"] for one in ballots] == [[1], [2], [], [2, 4], [3]]
    page.get_by_role("button", name="Close the vote and use the winner").click()
    expect(page.get_by_role("heading", name="Result of the vote")).to_be_visible()
    return owner.stack.ask("GET", f"/selections/{selection['id']}")


@pytest.fixture(scope="session")
def labelled(owner: Person, voted: Any, project: Project) -> Any:
    """All but three untouched images pre-labelled by the form; the finished job."""
    page = owner.open(project.path)
    page.get_by_label("Number of images").fill(str(UNTOUCHED - 3))
    page.get_by_label("Threshold (optional)").fill("0")  # models that trained for seconds are sure of nothing
    page.get_by_role("button", name="Pre-label images").click()
    expect(page.get_by_text(f"{UNTOUCHED - 3} pre-labelled, 0 failed")).to_be_visible(timeout=60_000)
    return owner.stack.project(project.id)["auto_label"]
