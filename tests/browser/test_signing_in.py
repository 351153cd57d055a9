"""Who comes in: by Label Studio's cookie, by a token, and who does not."""

from __future__ import annotations

import pytest
from person import Person, check
from playwright.sync_api import expect

pytestmark = pytest.mark.flow


def test_label_studios_sign_in_is_ours(stranger: Person) -> None:
    page = stranger.open("/projects")
    expect(page.get_by_role("heading", level=1)).to_have_text("Please sign in")
    check(page)
    stranger.sign_in_to_label_studio()
    page = stranger.open("/projects")
    expect(page.get_by_role("heading", level=1)).to_have_text("Projects")
    expect(page.get_by_role("link", name=stranger.stack.label_studio.email)).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)  # that is done in Label Studio


def test_a_token_opens_the_page_that_was_asked_for(stranger: Person) -> None:
    page = stranger.open("/notifications")
    page.get_by_label("Personal access token from Label Studio").fill(stranger.stack.label_studio.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Notifications")
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert stored == '[{},{},""]'  # nothing that a script could read
    assert all(stranger.stack.label_studio.token not in one["value"] for one in stranger.context.cookies())
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    expect(stranger.open("/notifications").get_by_role("heading", level=1)).to_have_text("Please sign in")


@pytest.mark.parametrize("token", ["no token at all", "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.x"])
def test_a_forged_token_is_refused_with_a_way_out(stranger: Person, token: str) -> None:
    page = stranger.open("/sign-in")
    page.get_by_label("Personal access token from Label Studio").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_text("Create a token and copy it.")).to_be_visible()
    expect(stranger.open("/projects").get_by_role("heading", level=1)).to_have_text("Please sign in")


def test_a_forged_cookie_is_refused(stranger: Person) -> None:
    stranger.context.add_cookies([{"name": "sessionid", "value": "x" * 32, "url": stranger.stack.url}])
    expect(stranger.open("/projects").get_by_role("heading", level=1)).to_have_text("Please sign in")
