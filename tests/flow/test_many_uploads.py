"""Projects with more uploaded images than Label Studio can list in one page."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.errors import LabelStudioUnreachable
from custom_ai.labelstudio.client import LabelStudio, Session
from custom_ai.labelstudio.config import template
from custom_ai.labelstudio.tasks import IDS_PER_PAGE

pytestmark = pytest.mark.flow
TOO_MANY = 999
"""Label Studio on SQLite answers 500 to a page of so many tasks with uploaded files."""


def test_all_tasks_are_listed(label_studio: LabelStudioServer, ls_client: LabelStudio) -> None:
    buffer = BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    made = ls_client.create_project("Many uploads", "", template(["a"]))
    try:
        ids = ls_client.upload_images(made.id, ((f"{n}.png", buffer.getvalue()) for n in range(TOO_MANY + 1)))
        assert ls_client.task_ids(made.id) == ids
        with Session(label_studio.url, label_studio.token, retry_s=0) as session:
            one_page = LabelStudio(session).rows(made.id, [], TOO_MANY, fields="task_only", include="id")
            with pytest.raises(LabelStudioUnreachable, match="Expression tree is too large"):
                next(one_page)
        assert IDS_PER_PAGE < TOO_MANY
    finally:
        ls_client.delete_project(made.id)
