"""Take the pictures of the documentation from the real pages: ``make screenshots``.

A real Label Studio, real workers and models that are really trained (on generated images) stand behind them. Models
that start from nothing would find little in so short a time: base weights are fetched, or CUSTOM_AI_BASE_WEIGHTS names
a file.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

from chromium import chromium
from person import DESK, PHONE, Person
from PIL import Image
from playwright.sync_api import expect
from stack import Stack, eventually, scenes_in
from story import scenes_of

from custom_ai.demo.label_studio_server import LabelStudioServer, _free_port
from custom_ai.demo.scenes import CLASSES, Scene
from custom_ai.overlap import agreement
from custom_ai.shapes import from_row

ROOT = Path(__file__).parents[2]
LABELLED, UNTOUCHED, AUTO_LABELLED = 24, 60, 40
TALLEST = 1500
"""Longer pages are cut here."""


class Camera:
    """Writes small PNG files; every picture exists in the language of the person who looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(
        self, person: Person, name: str, *, scheme: str = "light", phone: bool = False, whole: bool = True
    ) -> None:
        """``whole``: the page down to its end, else only what is seen without scrolling."""
        page = person.page
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size(PHONE if phone else DESK)  # type: ignore[arg-type]
        page.evaluate("document.fonts.ready")
        page.wait_for_timeout(700)  # images, and Label Studio's canvas
        page.mouse.move(0, 0)
        with Image.open(BytesIO(page.screenshot(full_page=whole))) as shot:
            picture = shot.convert("RGB").crop((0, 0, shot.width, min(shot.height, TALLEST)))
        palette = picture.quantize(256)
        small = picture.quantize(256, palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        small.save(self.folder / f"{name}.png", optimize=True)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        print(f"{name}.png")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--label-studio", type=Path, default=ROOT / ".venv-label-studio" / "bin" / "label-studio")
    parser.add_argument("--seconds", type=float, default=170.0, help="training time of one model, at most")
    arguments = parser.parse_args()
    port, secret = _free_port(), secrets.token_hex(32)
    extension = {
        "DJANGO_SETTINGS_MODULE": "custom_ai_label_studio.settings",
        "CUSTOM_AI_URL": f"http://127.0.0.1:{port}",
        "CUSTOM_AI_EXTENSION_SECRET": secret,
    }
    with (
        tempfile.TemporaryDirectory() as scratch,
        LabelStudioServer(arguments.label_studio, Path(scratch, "ls"), environment=extension) as there,
    ):
        stack = Stack(
            there, Path(scratch, "custom-ai"), candidate_passes=4000, candidate_seconds=arguments.seconds,
            forecast_seconds=40, download_weights=True, port=port, extension_secret=secret,
        )  # fmt: skip
        stack.start()
        try:
            with chromium() as browser:
                english, korean = Person(browser, stack), Person(browser, stack, locale="ko-KR")
                tell(Camera(arguments.folder), english, korean, stack, Path(scratch))
        finally:
            stack.close()


def tell(camera: Camera, english: Person, korean: Person, stack: Stack, scratch: Path) -> None:
    """The whole story, with a picture of every page on the way."""
    english.open("/projects")
    camera.take(english, "sign-in")
    english.sign_in_to_label_studio()
    korean.sign_in_to_label_studio()
    scenes = scenes_in(scratch / "scenes", LABELLED + UNTOUCHED, seed=7)
    stack.ask("POST", f"/projects/{stack.new_project(title='Autumn leaves')}/connect")
    stack.new_project(title="Street signs")

    project_id = create(camera, english, stack, scenes, scratch / "Table tops.zip")
    path = f"/projects/{project_id}"
    tasks = scenes_of(stack, project_id, scenes)
    first = {scene.path for scene in scenes[:LABELLED]}
    labelled = [task for task, scene in tasks.items() if scene.path in first]
    for task in labelled[:9]:
        stack.annotate(project_id, task, tasks[task])
    eventually(lambda: stack.project(project_id)["tasks"]["touched"] == 9, 30)
    english.open(path)
    camera.take(english, "dashboard-labelling")
    for task in labelled[9:]:
        stack.annotate(project_id, task, tasks[task])
    eventually(lambda: stack.project(project_id)["ready"], 30)

    english.open(path).get_by_role("button", name="Make Custom AI").click()
    run_id = eventually(lambda: (stack.project(project_id)["run"] or {}).get("id"), 30)
    halfway = time.monotonic() + 2.2 * float(stack.environment["CUSTOM_AI_CANDIDATE_SECONDS"])
    eventually(lambda: time.monotonic() > halfway, 10_000)
    camera.take(english, "dashboard-training")
    run = stack.wait_for_run(run_id, 3600)
    assert run["status"] == "done", run["reason"]

    selection = vote(camera, english, korean, stack, project_id, tasks)
    label(camera, english, korean, stack, project_id)
    inside(camera, english, project_id)

    english.open("/projects")
    expect(english.page.get_by_role("heading", name="not connected")).to_be_visible()
    camera.take(english, "projects")
    english.open("/notifications")
    camera.take(english, "notifications")
    winner = stack.project(project_id)["champion"]["id"]
    english.open(f"/models/{winner}")
    camera.take(english, "report")
    eventually(lambda: "This is being worked out" not in english.open(f"/runs/{run_id}/data").content(), 600)
    camera.take(english, "data")
    english.open(f"{path}/runs")
    camera.take(english, "runs")
    korean.open(f"/selections/{selection}")
    camera.take(korean, "result-ko")


def create(camera: Camera, english: Person, stack: Stack, scenes: list[Scene], archive: Path) -> int:
    """Make the project from a ZIP on the page for it; its number."""
    with zipfile.ZipFile(archive, "w") as made:
        for scene in scenes:
            made.write(scene.path, f"pictures/{scene.path.name}")
        made.writestr("notes.txt", "bring milk")
        made.writestr("pictures/broken.jpg", scenes[0].path.read_bytes()[:900])
    page = english.open("/projects/new")
    page.get_by_label("A ZIP archive with your images").set_input_files(archive)
    expect(page.get_by_text("Complete:")).to_be_visible(timeout=60_000)
    for number, name in enumerate(CLASSES, start=1):
        if page.get_by_label(f"Name of class {number}").count() == 0:
            page.get_by_role("button", name="Add a class").click()
        page.get_by_label(f"Name of class {number}").fill(name)
    page.get_by_label("Description (optional)").fill("What lies on the tables of the workshop")
    camera.take(english, "new-project")
    page.get_by_role("button", name="Create project").click()
    link = page.get_by_role("link", name="Open the project")
    expect(link).to_be_visible(timeout=60_000)
    camera.take(english, "import")
    link.click()
    page.wait_for_url("**/projects/*")
    return int(page.url.rpartition("/")[2])


def vote(
    camera: Camera, english: Person, korean: Person, stack: Stack, project_id: int, tasks: dict[int, Scene]
) -> int:
    """Vote for the pictures that agree best with the truth, with photographs of the most telling round."""
    selection = stack.project(project_id)["selection"]["id"]
    rounds = stack.ask("GET", f"/selections/{selection}/ballots")["rounds"]
    shapes = {one["round"]: [len(place) for place in one["places"]] for one in rounds}
    telling = max(shapes, key=lambda number: (min(shapes[number]) > 0, max(shapes[number]) - min(shapes[number])))
    best: dict[int, list[int]] = {}
    for one in rounds:
        truth = tasks[one["task"]].boxes
        rated = [agreement(truth, [from_row(row) for row in rows]) for rows in one["places"]]
        best[one["round"]] = [place for place, value in enumerate(rated, start=1) if value == max(rated)]
        if one["round"] != telling:
            stack.ask("PUT", f"/selections/{selection}/ballots/{one['round']}", {"picks": best[one["round"]]})
    for person, name in ((english, "vote"), (korean, "vote-ko")):
        page = person.open(f"/selections/{selection}?round={telling}")
        for place in best[telling]:
            page.keyboard.press(str(place))
        camera.take(person, name, whole=False)
    camera.take(english, "vote-phone", phone=True, whole=False)
    camera.take(english, "vote-dark", scheme="dark", whole=False)
    english.page.locator("#round svg").first.hover()
    english.page.keyboard.press("z")
    camera.take(english, "vote-zoomed", whole=False)
    stack.ask("PUT", f"/selections/{selection}/ballots/{telling}", {"picks": best[telling]})
    page = english.open(f"/selections/{selection}?summary=1")
    page.get_by_role("button", name="Confirm my choice").click()
    camera.take(english, "summary")
    page.get_by_role("button", name="Close the vote and use the winner").click()
    expect(page.get_by_role("heading", name="Result of the vote")).to_be_visible()
    for details in page.locator("main details").all():
        details.evaluate("one => { one.open = true; }")
    camera.take(english, "result")
    return int(selection)


def label(camera: Camera, english: Person, korean: Person, stack: Stack, project_id: int) -> None:
    """Pre-label by the form, and look at it in Label Studio."""
    path = f"/projects/{project_id}"
    page = english.open(path)
    page.get_by_label("Number of images").fill(str(AUTO_LABELLED))
    page.get_by_role("button", name="Pre-label images").click()
    expect(page.get_by_text(f"{AUTO_LABELLED} pre-labelled, 0 failed")).to_be_visible(timeout=120_000)
    english.open(path)
    camera.take(english, "dashboard")
    camera.take(english, "dashboard-dark", scheme="dark")
    camera.take(english, "dashboard-phone", phone=True)
    korean.open(path)
    camera.take(korean, "dashboard-ko")
    tasks = [task for task in stack.studio.tasks(project_id) if task["predictions"]]
    most = max(tasks, key=lambda task: len(task["predictions"][0]["result"]))
    page = english.open(f"{stack.label_studio.url}/projects/{project_id}/data?task={most['id']}")
    expect(page.get_by_text(str(most["predictions"][0]["model_version"])).first).to_be_visible()
    camera.take(english, "label-studio", whole=False)


def inside(camera: Camera, english: Person, project_id: int) -> None:
    """Our extension in Label Studio's Data Manager: the menu, and two dialogs."""
    page = english.open(f"{english.stack.label_studio.url}/projects/{project_id}/data")
    page.get_by_role("checkbox", name="Select Task").nth(1).click(force=True)
    menu = page.get_by_role("button", name="Tasks Actions")
    menu.click()
    expect(page.get_by_text("Custom AI: status", exact=True)).to_be_visible()
    camera.take(english, "extension-menu", whole=False)
    for action, name in (("Custom AI: status", "extension-status"), ("Custom AI: make", "extension-make")):
        if not page.get_by_text(action, exact=True).is_visible():
            menu.click()
        page.get_by_text(action, exact=True).click()
        expect(page.locator("form label").first).to_be_visible()  # asked for when the dialog opens
        camera.take(english, name, whole=False)
        page.get_by_test_id("dialog-cancel-button").click()


if __name__ == "__main__":
    main()
