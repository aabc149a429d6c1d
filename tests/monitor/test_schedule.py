from __future__ import annotations

import pytest

from keras_curvature.monitor.schedule import FIRST_AFTER, PICTURE_SHARE, Due, PictureBudget


@pytest.mark.parametrize(
    ("freq", "epochs"),
    [
        ("epoch", [0, 1, 2, 3, 4, 5]),
        (1, [0, 1, 2, 3, 4, 5]),
        (2, [1, 3, 5]),
        (7, []),
        (lambda epoch: epoch in (0, 4), [0, 4]),
    ],
)
def test_due(freq, epochs):
    assert [epoch for epoch in range(6) if Due(freq)(epoch)] == epochs


@pytest.mark.parametrize("freq", [0, -1])
def test_freq_below_one(freq):
    with pytest.raises(ValueError, match=f"at least 1.*Received: {freq}"):
        Due(freq)


@pytest.mark.parametrize("freq", [None, 1.5, True, "batch"])
def test_freq_of_a_wrong_type(freq):
    with pytest.raises(TypeError, match="`freq` must be"):
        Due(freq)


def test_pictures_take_their_share_of_the_time_and_no_more():
    now = [0.0]
    budget = PictureBudget(clock=lambda: now[0])
    drawn = 0
    for _ in range(1000):
        now[0] += 1.0  # an epoch
        if budget.allows():
            with budget.spending():
                now[0] += 0.2
            drawn += 1
    share = drawn * 0.2 / now[0]
    assert 0.9 * PICTURE_SHARE < share <= PICTURE_SHARE


def test_the_first_picture_is_drawn_once_the_training_is_not_a_short_one():
    now = [0.0]
    budget = PictureBudget(clock=lambda: now[0])
    assert not budget.allows()
    now[0] = FIRST_AFTER
    assert budget.allows()
