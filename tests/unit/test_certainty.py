"""P(best): what it must say in clear cases, and that "9 in 10" is right in about 9 of 10."""

from __future__ import annotations

import numpy as np
import pytest

from custom_ai.certainty import LEAST_SD, UNKNOWN_SD, Score, Vote, p_best, weighted_picks

EQUAL = {one: Score(0.6, 0.5, 0.7) for one in (1, 2, 3, 4)}


def wins(who: int, rounds: int, first_image: int = 0) -> list[Vote]:
    return [Vote(first_image + number, (who,)) for number in range(rounds)]


def test_without_anything_known_all_are_alike() -> None:
    assert list(p_best(EQUAL).values()) == pytest.approx([0.25] * 4, abs=0.03)
    assert p_best({7: Score(None)}) == {7: 1.0}
    with pytest.raises(ValueError, match="at least one"):
        p_best({})


def test_the_same_input_gives_the_same_answer() -> None:
    assert p_best(EQUAL, wins(2, 5)) == p_best(EQUAL, wins(2, 5))


def test_scores_alone_say_something_and_narrow_ones_more() -> None:
    wide = p_best({1: Score(0.7, 0.5, 0.9), 2: Score(0.5, 0.3, 0.7)})
    narrow = p_best({1: Score(0.7, 0.65, 0.75), 2: Score(0.5, 0.45, 0.55)})
    assert 0.6 < wide[1] < narrow[1]
    assert narrow[1] > 0.97


def test_more_votes_make_it_surer() -> None:
    chances = [p_best(EQUAL, wins(2, rounds))[2] for rounds in (0, 5, 15, 50)]
    assert chances == sorted(chances)
    assert chances[1] < 0.9, "five rounds of one person are not much"
    assert chances[3] > 0.95


def test_votes_outweigh_scores_in_the_end() -> None:
    scores = {1: Score(0.65, 0.55, 0.75), 2: Score(0.6, 0.5, 0.7), 3: Score(0.5), 4: Score(None)}
    assert p_best(scores)[1] > p_best(scores)[2]
    assert p_best(scores, wins(2, 30))[2] > 0.8


def test_rounds_without_a_pick_and_unknown_candidates_say_nothing_about_the_best() -> None:
    silent = [Vote(1, ()), Vote(2, ()), Vote(3, (99,))]
    assert p_best(EQUAL, silent) == p_best(EQUAL)


def test_votes_on_one_image_count_little_more_than_one() -> None:
    alike = weighted_picks([1, 2], [Vote(5, (1,))] * 10)
    assert alike == pytest.approx([10 / (1 + 9 * 0.8), 0.0])
    assert p_best(EQUAL, [Vote(5, (1,))] * 10)[1] < p_best(EQUAL, wins(1, 3))[1]


def test_a_round_with_several_picks_is_shared() -> None:
    assert weighted_picks([1, 2, 3], [Vote(0, (1, 2)), Vote(1, (1,))]) == pytest.approx([1.5, 0.5, 0.0])
    everybody = [Vote(number, (1, 2, 3, 4)) for number in range(40)]
    assert list(p_best(EQUAL, everybody).values()) == pytest.approx([0.25] * 4, abs=0.03)


def test_errors_of_scores() -> None:
    assert Score(0.5, 0.4, 0.6).sd == pytest.approx(1.25 * 0.2 / 3.29)
    assert Score(0.5, 0.5, 0.5).sd == LEAST_SD
    assert Score(0.5).sd == UNKNOWN_SD


def test_it_is_right_as_often_as_it_says() -> None:
    """Votes by people who look at images, as in the benchmark; the voters know nothing of the model's odds."""
    from benchmarks.vote_simulation import World, stated

    said = stated(World(), voters=[1, 5], repeats=200, seed=1)
    chances, right = np.array([p for p, _ in said]), np.array([good for _, good in said])
    assert -0.12 < chances.mean() - right.mean() < 0.04, "rather too cautious than too sure"
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 1.01)):
        inside = (chances >= low) & (chances < high)
        error = np.sqrt(0.25 / inside.sum())
        assert inside.sum() > 30
        assert chances[inside].mean() == pytest.approx(right[inside].mean(), abs=0.06 + 2.5 * error)
