"""From a ZIP to pre-labelled images by the pages alone, in a real browser, step by step."""

from __future__ import annotations

from typing import Any

import pytest
from person import Person, check
from playwright.sync_api import Browser, Page, expect
from stack import LABELLED, UNTOUCHED, Stack
from story import CLASSES, Project, Training

pytestmark = pytest.mark.flow


def test_only_archives_are_taken(owner: Person) -> None:
    page = owner.open("/projects/new")
    check(page)
    page.get_by_label("A ZIP archive with your images").set_input_files(
        {"name": "photos.rar", "mimeType": "application/vnd.rar", "buffer": b"Rar!"}
    )
    expect(page.get_by_role("alert")).to_contain_text("photos.rar is something else")
    drop(page, "half.zip", b"PK\x03\x04 and no more")
    expect(page.get_by_role("alert")).to_contain_text("ZIP")
    expect(page.get_by_role("button", name="Create project")).to_be_disabled()
    owner.complaints.clear()  # the browser's console tells that the second one was refused


def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file onto the place for archives."""
    data = page.evaluate_handle(
        """([name, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name, { type: "application/zip" }));
          return data;
        }""",
        [name, list(content)],
    )
    page.get_by_text("Drop it here, or choose it.").dispatch_event("drop", {"dataTransfer": data})


def test_a_zip_becomes_a_project(owner: Person, project: Project) -> None:
    made = owner.stack.studio.project(project.id)
    assert made.raw["description"] == "Mugs & <leaves>"
    mine = owner.stack.project(project.id)
    assert mine["connected"] and mine["classes"] == list(CLASSES)
    assert mine["tasks"]["total"] == len(project.scenes) == LABELLED + UNTOUCHED


def test_a_new_project_says_what_is_missing(owner: Person, project: Project) -> None:
    page = owner.open(project.path)
    for name in CLASSES:
        expect(page.get_by_role("listitem").filter(has_text=name).first).to_contain_text("0/10")
    expect(page.get_by_role("button", name="Make Custom AI")).to_be_disabled()
    expect(page.get_by_role("link", name="Label images in Label Studio")).to_have_attribute(
        "href", f"{owner.stack.label_studio.url}{project.path}/data"
    )
    check(page)


def test_progress_is_seen_without_a_reload(trained: Training) -> None:
    assert trained.run["status"] == "done", trained.run["reason"]
    assert trained.badges, "the page was loaded again"
    shares = [int(one.removeprefix("Training: ").rstrip("%")) for one in trained.badges if "Training: " in one]
    assert shares == sorted(shares) and len(set(shares)) > 3, shares
    assert any("training" in one for one in trained.candidates)
    assert any("mAP" in one for one in trained.candidates)


def test_the_dashboards_figures_are_those_of_the_api(owner: Person, trained: Training, project: Project) -> None:
    page = owner.open(project.path)
    mine = owner.stack.project(project.id)
    for name, count in mine["labels_of_all_classes"].items():
        drawn = sum(box.label == name for task in project.labelled for box in project.scenes[task].boxes)
        assert count == drawn
        expect(page.get_by_role("listitem").filter(has_text=name).first).to_contain_text(f"{drawn}/10")
    facts = dict(zip(page.locator("[data-live=labels] dt").all_inner_texts(),
                     page.locator("[data-live=labels] dd").all_inner_texts(), strict=True))  # fmt: skip
    assert facts == {
        "Images": str(LABELLED + UNTOUCHED),
        "Labelled by people": str(LABELLED),
        "Untouched": str(UNTOUCHED),
        "Pre-labelled": "0",
        "To review": "0",
        "Accepted as pre-labelled": "0",
        "Corrected": "0",
    }
    shown = page.locator("[data-live=run] .count").all_inner_texts()
    assert [one.rpartition("mAP ")[2] for one in shown] == [f"{one['map50']:.0%}" for one in trained.run["candidates"]]
    check(page)


def test_the_four_pictures_are_looked_at_together(owner: Person, trained: Training, project: Project) -> None:
    page = owner.open(project.path)
    page.get_by_role("link", name="Open the vote").first.click()
    check(page)
    whole = views(page)
    assert len(whole) == 4
    page.keyboard.press("z")
    zoomed = views(page)
    assert len(set(zoomed)) == 1 and zoomed != whole
    expect(page.get_by_text("× 2.5")).to_be_visible()

    frame = page.get_by_role("img", name="Picture 2").bounding_box()
    assert frame
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 30, steps=4)
    page.mouse.up()
    dragged = views(page)
    assert len(set(dragged)) == 1 and dragged != zoomed
    left = [float(one.split()[0]) for one in (zoomed[0], dragged[0])]
    assert left[1] > left[0]  # what is under the mouse went with it
    expect(page.get_by_role("checkbox", name="Picture 2")).not_to_be_checked()  # a drag is no pick

    page.keyboard.press("ArrowLeft")
    assert views(page) != dragged
    page.mouse.wheel(0, -200)
    page.wait_for_function("Number(document.querySelector('#magnification').textContent.slice(2)) > 2.5")
    page.keyboard.press("z")
    assert views(page) == whole

    page.evaluate(BOX)  # models that trained for seconds may have drawn none
    expect(page.locator(".box .confidence").first).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator(".box .confidence").first).to_be_hidden()
    page.keyboard.press("l")
    expect(page.locator(".box text").first).to_be_hidden()
    page.keyboard.press("l")
    page.keyboard.press("c")
    expect(page.locator(".box .confidence").first).to_be_visible()


BOX = """() => document.querySelector("#round svg").insertAdjacentHTML("beforeend",
  '<g class="box c0"><text x="9" y="9">mug<tspan class="confidence"> 90%</tspan></text></g>')"""


def views(page: Page) -> list[str]:
    """The part of the image that each picture shows."""
    return [str(one.get_attribute("viewBox")) for one in page.get_by_role("img", name="Picture").all()]


def test_nothing_on_the_vote_tells_the_models_apart(owner: Person, trained: Training, project: Project) -> None:
    page = owner.open(project.path)
    page.get_by_role("link", name="Open the vote").first.click()
    html = page.content()
    for one in trained.run["candidates"]:
        assert one["version"] not in html and one["title"] not in html


def test_a_guest_votes_by_a_link(
    owner: Person, browser: Browser, stack: Stack, trained: Training, project: Project
) -> None:
    selection = stack.project(project.id)["selection"]["id"]
    page = owner.open(f"/selections/{selection}?summary=1")
    check(page)
    page.get_by_label("Name or e-mail of the voter").fill("Mina")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("The link for Mina").input_value()
    guest = Person(browser, stack, locale="ko-KR")
    try:
        booth = guest.open(link)
        expect(booth.get_by_text("Mina")).to_be_visible()
        for number in range(1, 6):
            expect(booth.get_by_role("heading", level=1)).to_contain_text(f"5라운드 중 {number}라운드")
            booth.keyboard.press("1")
            booth.keyboard.press("Enter")
        expect(booth.get_by_role("heading", level=1)).to_have_text("투표 요약")
        check(booth)
        expect(guest.open(project.path).get_by_role("button", name="로그인")).to_be_visible()  # and nothing else
    finally:
        guest.close()
    voters = stack.ask("GET", f"/selections/{selection}")["voters"]
    assert list(voters.values()) == [5] and "Mina" in next(iter(voters))


def test_the_result_says_how_certain_it_is(owner: Person, voted: Any, project: Project) -> None:
    page = owner.open(f"/selections/{voted['id']}")
    expect(page.get_by_role("heading", name=f"Model {voted['winner']['version']} has won")).to_be_visible()
    certain = page.locator(".how-sure").inner_text()
    assert voted["winner"]["version"] in certain and ("in 10" in certain or "in 20" in certain), certain
    for one in voted["result"]:
        line = page.get_by_role("listitem").filter(has=page.get_by_text(one["version"], exact=True))
        expect(line).to_contain_text(f"Votes: {one['votes']}")
        expect(line).to_contain_text(f"held-out mAP {one['map50']:.0%}")
    assert (
        sum(one["votes"] for one in voted["result"]) == 5 + 5
    )  # the guest's five, and the owner's: one none, one double
    check(page)
    assert owner.stack.project(project.id)["champion"]["version"] == voted["winner"]["version"]


def test_pre_labels_are_seen_in_label_studio(owner: Person, labelled: Any, project: Project) -> None:
    stack, version = owner.stack, labelled["model"]
    expect(owner.open(project.path).locator("[data-live=labels]")).to_contain_text("Pre-labelled")
    assert sum(stack.predictions(project.id, version).values()) == labelled["tasks"]["done"] == UNTOUCHED - 3
    pre_labelled = [task for task in stack.studio.tasks(project.id) if task["predictions"]]
    drawn = {task["id"]: len(task["predictions"][0]["result"]) for task in pre_labelled}
    task = max(drawn, key=lambda task: drawn[task])
    assert drawn[task] > 0
    page = owner.open(f"{stack.label_studio.url}/projects/{project.id}/data?task={task}")
    expect(page.get_by_text(version).first).to_be_visible()
    boxes = page.locator(".lsf-outliner-item")  # of a long list those that fit
    expect(boxes.nth(min(drawn[task], 5) - 1)).to_be_visible()


def test_the_dashboard_after_it_all(owner: Person, labelled: Any, project: Project) -> None:
    page = owner.open(project.path)
    facts = page.locator("[data-live=labels] dd").all_inner_texts()
    assert facts[3:] == [str(UNTOUCHED - 3), str(UNTOUCHED - 3), "0", "0"]
    expect(page.get_by_role("listitem").filter(has_text=labelled["model"]).first).to_contain_text("in use")
    check(page)
