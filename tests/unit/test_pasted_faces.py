"""The truth of the benchmark of hidden faces is where the faces are."""

from __future__ import annotations

from itertools import islice

import numpy as np

from benchmarks.pasted_faces import heads, scenes
from custom_ai_deid.areas import Area, iou
from custom_ai_deid.faces import FaceFinder, Looking
from custom_ai_deid.yunet import YuNet


def test_faces_are_where_the_truth_says() -> None:
    finder = FaceFinder((YuNet(2),), Looking())
    for picture in islice(scenes(3, 5), 3):
        found = finder.find(picture.pixels)
        large = [Area(*face) for face in picture.faces if face[3] - face[1] >= 30]
        assert large
        assert all(max((iou(face, one) for one in found), default=0.0) > 0.4 for face in large)


def test_the_same_seed_makes_the_same_pictures() -> None:
    one, other, third = (next(scenes(1, seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.pixels, other.pixels)
    assert one.faces == other.faces != third.faces
    assert len(one.faces) == len(one.persons) == len(one.kinds) == 12
    assert {*one.persons} <= {*range(len(heads()))}
