import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_curvature.engines.computation_key import key_of


def times(factor):
    return lambda x: factor * x


def plus(factor):
    return lambda x: factor + x


def inner(function):
    return lambda x: function(x)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (times(2), times(2), True),
        (times(2), times(3), False),
        (times(1), times(1.0), False),
        (times(1), times(True), False),
        (times(tf.float32), times(tf.float64), False),
        (times("a"), times("a"), True),
        (times((1, (2, None))), times((1, (2, None))), True),
        (times([1]), times((1,)), False),
        (times(2), plus(2), False),
        (inner(times(2)), inner(times(2)), True),
        (inner(times(2)), inner(times(3)), False),
        (functools.partial(times, 2), functools.partial(times, 2), True),
        (functools.partial(times, 2), functools.partial(times, factor=2), False),
        (lambda x, n=1: x, lambda x, n=2: x, False),
    ],
)
def test_functions_are_told_apart_by_their_code_and_what_they_hold(one, other, alike):
    assert (key_of(one) == key_of(other)) is alike
    if alike:
        assert hash(key_of(one)) == hash(key_of(other))


class Stateful:
    factor = 1


@pytest.mark.parametrize(
    "held",
    [np.ones(2), tf.ones(2), tf.Variable(1.0), Stateful(), {1, 2}, (1, np.ones(2))],
    ids=lambda held: type(held).__name__,
)
def test_what_can_change_has_to_be_given_as_a_tensor(held):
    with pytest.raises(TypeError, match=r"`factor`.*times.*Give it as a tensor"):
        key_of(times(held))


def test_only_functions_have_a_key():
    with pytest.raises(TypeError, match="must be a function"):
        key_of(Stateful().__init__)
