"""What once was proved though it is false: it is bounded as it should be, or refused in words."""

import numpy as np
import pytest
from keras import ops

import keras_curvature as kc


def step(x):
    return ops.cast(x > 0, x.dtype)


REFUSED = {
    "a condition as a number": (lambda x: x - 5 * step(x), "makes a number of a condition"),
    "a number of conditions": (
        lambda x: x + ops.sum(step(x), -1, keepdims=True), "makes a number of a condition"
    ),
    "whole numbers": (
        lambda x: x - 5 * ops.cast(ops.cast(x, "int32"), x.dtype), "whole number"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    f, words = REFUSED[name]
    with pytest.raises(ValueError, match=f"cannot be enclosed.*{words}"):
        kc.enclose(f, [[-1.0]], [[1.0]])


BOUNDED = {
    "branches that a where takes elsewhere": (
        lambda x: ops.where(x < 0, x * x, x * 0.5), 2.0, 3.0, [(1.0, 1.5), (0.5, 0.5)],
    ),
    "a condition that is moved": (
        lambda x: ops.where(ops.transpose(x[:, None] < 0, (0, 2, 1))[:, 0], x, 2 * x),
        2.0, 3.0, [(4.0, 6.0), (2.0, 2.0)],
    ),
    # The slope of the second piece is less by 5e-4, which is little next to 1e9.
    "a kink far out": (
        lambda x: ops.minimum(x, 1e9 + 0.9995 * (x - 1e9)), 9e8, 2e9,
        [(9e8, 1.9995e9), (0.9995, 1), (-np.inf, 0)],
    ),
    "a small jump": (
        lambda x: 1e15 * ops.where(x < 1, x, x - 1e-13), 0.0, 1.0,
        [(0, 1e15), (-np.inf, 1e15), (-np.inf, np.inf)],
    ),
    "pieces that meet": (
        lambda x: ops.where(ops.abs(x) < 1, 0.5 * x * x, ops.abs(x) - 0.5), -2.0, 3.0,
        [(0, 2.5), (-1, 1), (0, 1)],
    ),
    "products of two pieces": (
        lambda x: ops.relu(ops.clip(x, -0.4, 0.6)) * ops.clip(x, -0.4, 0.6), -1.0, 1.0, [(0, 0.36)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded(name):
    f, low, high, expected = BOUNDED[name]
    given = {"value": "value", "slope": (0,), "bend": (0, 0)}
    names = dict(list(given.items())[: len(expected)])
    # The first box is the example that the model is read on.
    found = kc.enclose(f, [[-1.1], [low]], [[-1.0], [high]], names)
    for (lower, upper), ends in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose([lower[1].item(), upper[1].item()], ends, rtol=1e-6, atol=1e-6)


OVERFLOW = {
    "an exponential that underflows": (
        lambda x: ops.log(ops.sigmoid(x)), -1000.0, -750.0, {"a": (0,)}, 1.0
    ),
    "one that overflows": (
        lambda x: ops.log(1 + ops.exp(x)) - 0.4 * x * x, 360.0, 700.0, {"a": (0, 0)}, -0.8
    ),
    "a product of both": (lambda x: ops.exp(x) * ops.exp(-x), 800.0, 801.0, "value", 1.0),
    "a softmax": (
        lambda x: ops.log_softmax(ops.concatenate([x, 0.5 * x], axis=-1))[:, :1], -2000.0, -1500.0,
        "value", -1000.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERFLOW)
def test_what_float64_cannot_hold_is_within(name):
    f, low, high, names, true = OVERFLOW[name]
    (lower, upper), *_ = kc.enclose(f, [[low]], [[high]], names).values()
    assert lower.item() <= true <= upper.item()


def test_a_mean_that_is_smaller_than_what_it_is_added_to():
    f = lambda x: ops.mean(ops.square(x), -1, keepdims=True) + x  # noqa: E731
    lower, upper = kc.enclose(f, [[0.0, 0, 0]], [[1.0, 1, 1]], "hessian")["hessian"]
    true = np.broadcast_to(np.eye(3) * 2 / 3, (1, 3, 3, 3))
    np.testing.assert_allclose(lower, true, atol=1e-9)
    np.testing.assert_allclose(upper, true, atol=1e-9)


def test_what_has_no_bound_at_all():
    def f(x):
        z = ops.std(x, -1, keepdims=True) + x
        return ops.where(z > 0.1, z * z, -z)

    lower, upper = kc.enclose(f, [[0.0, 1.0]], [[4.0, 3.0]], "hessian")["hessian"]
    assert np.isneginf(lower).all()
    assert np.isposinf(upper).all()


def test_what_is_no_direction_and_no_claim():
    with pytest.raises(ValueError, match=r"`v` must hold finite numbers.*nan"):
        kc.enclose(
            lambda x: x * x, [[0.0, 1.0]], [[1.0, 2.0]], "directional_curvature", v=[np.nan, 1]
        )
    with pytest.raises(ValueError, match=r"Received: \(\) for 0"):
        kc.prove(lambda x: x * x, [0.0], [1.0], {0: ()})


def test_bounds_are_printed_in_full():
    said = str(kc.prove(lambda x: x * x, [0.0], [1.0], {0: 1.9999999}))
    assert "at most 1.9999999" in " ".join(said.split())
    assert "at most 2.0000003" in str(kc.prove(lambda x: x * x, [0.0], [1.0], {0: 2.0000003}))
    said = str(kc.prove(lambda x: (1 + 2.0**-22) * x * x, [0.0], [1.0], {0: 2.0}))
    assert "is 2.0" in " ".join(said.split())
