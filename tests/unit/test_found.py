"""What a model found is kept small, and comes back as it was pushed."""

from __future__ import annotations

from pathlib import Path

from label_world import make_labelling

from custom_ai.pipeline import found
from custom_ai.pipeline.found import MOST, Seen, rounded, seen_of
from custom_ai.pipeline.label import request_auto_label
from custom_ai.state.tables import AutoLabelFound, AutoLabelJob
from custom_ai.types import Box, ImageSize

OUTLINE = ((0.123456789, 0.2), (0.4, 0.25), (0.3, 0.4))


def test_kept_and_read_again(tmp_path: Path) -> None:
    services = make_labelling(tmp_path, "http://127.0.0.1:9", range(1, 4))
    job_id = request_auto_label(services, 1, by="me")
    boxes = (Box("cat", 0.123456789, 0.2, 0.4, 0.4, 0.987654321, outline=OUTLINE), Box("dog", 0.0, 0.0, 1.0, 1.0, 0.05))
    kept = {1: Seen(ImageSize(640, 480), rounded(boxes)), 2: Seen(ImageSize(64, 48), ())}
    with services.database.write() as session:
        found.save(session, job_id, 0, {3: kept[2]})
        found.save(session, job_id, 0, kept)  # in place of it
        job = session.get_one(AutoLabelJob, job_id)
    assert seen_of(services, job, [1, 2, 3]) == kept
    assert seen_of(services, job, [2]) == {2: kept[2]}
    assert kept[1].boxes[0].score == 0.9877
    assert kept[1].boxes[0].outline[0] == (0.123457, 0.2)
    services.database.dispose()


def test_slivers_and_crowds(tmp_path: Path) -> None:
    assert rounded([Box("cat", 0.1, 0.1, 0.1000001, 0.5, 0.9)]) == ()
    crowd = [Box("cat", 0.1, 0.1, 0.5, 0.5, 0.9)] * (MOST + 20)
    assert len(rounded(crowd)) == MOST
    services = make_labelling(tmp_path, "http://127.0.0.1:9", range(1, 2))
    job_id = request_auto_label(services, 1, by="me")
    with services.database.write() as session:
        found.save(session, job_id, 0, {n: Seen(ImageSize(640, 480), rounded(crowd[:20])) for n in range(100)})
        assert len(session.get_one(AutoLabelFound, (job_id, 0)).content) < 100 * 400
    services.database.dispose()
