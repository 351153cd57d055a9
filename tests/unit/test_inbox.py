"""Notifications: whose they are, what was seen of them, and what they lead to."""

from __future__ import annotations

import pytest
from page_world import World
from sqlalchemy import func, select

from custom_ai.errors import N_, BadInput, LabelStudioUnreachable
from custom_ai.i18n import translator
from custom_ai.pipeline import inbox
from custom_ai.pipeline.inbox import Reader, Wanted
from custom_ai.state.journal import notify, notify_error, reason, render
from custom_ai.state.tables import NotificationRead

ANN, BOB = Reader(1, [1, 2]), Reader(2, [2])


@pytest.fixture
def told(world: World) -> World:
    """Two projects; five notifications with the ids 1 to 5."""
    world.project(1, "Kitchen")
    world.project(2, "Garden")
    with world.services.database.write() as session:
        notify(session, 1, "run_started", N_("Training was cancelled."), about="run 7")
        notify(session, 2, "selection_closed", N_("Training was cancelled."), about="selection 3")
        notify(session, 1, "auto_label_done", N_("Training was cancelled."), failure=True, about="job 5")
        notify(session, 2, "project_gone", N_("Training was cancelled."), failure=True)
        error = LabelStudioUnreachable(url="http://x", detail="refused")
        notify_error(session, 1, "run_failed", error, about="run 8")
    return world


def ids(world: World, reader: Reader, wanted: Wanted = inbox.EVERYTHING, **page: int) -> list[int]:
    return [one["id"] for one in inbox.notifications(world.services, reader, wanted, **page)]


def test_everybody_reads_of_the_projects_that_they_see(told: World) -> None:
    assert ids(told, ANN) == [5, 4, 3, 2, 1]
    assert ids(told, BOB) == [4, 2]
    assert ids(told, Reader(3, [])) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(project=1), [5, 3, 1]),
        (Wanted(project=9), []),
        (Wanted(kind="training"), [5, 1]),
        (Wanted(kind="vote"), [2]),
        (Wanted(kind="auto_label"), [3]),
        (Wanted(kind="project"), [4]),
        (Wanted(failures=True), [5, 4, 3]),
        (Wanted(failures=True, kind="training", project=1), [5]),
    ],
)
def test_filter(told: World, wanted: Wanted, expected: list[int]) -> None:
    assert ids(told, ANN, wanted) == expected


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(BadInput, match="weather"):
        Wanted(kind="weather")


def test_pages(told: World) -> None:
    assert ids(told, ANN, limit=2) == [5, 4]
    assert ids(told, ANN, before=4, limit=2) == [3, 2]


def test_what_one_person_has_seen_is_new_to_another(told: World) -> None:
    services = told.services
    assert inbox.unread(services, ANN) == {1: 3, 2: 2}
    assert inbox.mark_read(services, ANN, ids=[2]) == 1
    assert inbox.mark_read(services, ANN, ids=[2]) == 0
    assert inbox.unread(services, ANN) == {1: 3, 2: 1}
    assert inbox.unread(services, BOB) == {2: 2}
    assert ids(told, ANN, Wanted(unread=True)) == [5, 4, 3, 1]
    assert [one["read"] for one in inbox.notifications(services, ANN)] == [False, False, False, True, False]


def test_all_of_a_filter_up_to_what_was_shown(told: World) -> None:
    """What came after the page was shown stays unread."""
    assert inbox.mark_read(told.services, ANN, Wanted(project=1), up_to=4) == 2
    assert ids(told, ANN, Wanted(unread=True)) == [5, 4, 2]
    assert inbox.mark_read(told.services, ANN, up_to=5) == 3
    assert inbox.unread(told.services, ANN) == {}


def test_nobody_marks_what_they_cannot_see(told: World) -> None:
    assert inbox.mark_read(told.services, BOB, ids=[1, 2, 999]) == 1
    with told.services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(NotificationRead)) == 1


def test_a_failure_says_the_way_out_and_what_it_is_about(told: World) -> None:
    shown = {one["id"]: one for one in inbox.notifications(told.services, ANN)}
    assert shown[5]["subject"] == {"what": "run", "id": 8}
    assert "Start Label Studio" in shown[5]["way_out"], "the error says more than the event"
    assert "lists the images" in shown[3]["way_out"]
    assert (shown[1]["way_out"], shown[4]["subject"]) == ("", None)
    assert shown[5]["project_title"] == "Kitchen"


def test_every_way_out_is_translated() -> None:
    korean = translator("ko")
    for text in (*inbox.WAYS_OUT.values(), *inbox.WAYS_OUT_BY_CODE.values()):
        assert korean(text) != text


def test_a_reason_inside_a_message_is_translated_too() -> None:
    why = reason(N_("Training was cancelled."))
    message = reason(N_("Training failed: {why}."), why=why)
    assert render(message) == "Training failed: Training was cancelled.."
    assert "Training" not in render(message, translator("ko"))
