"""What a `where` leaves out reaches no derivative, however it is made."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

import keras_curvature as kc
import truth


def _column(xp, x):
    return xp.expand_dims(xp.sqrt(x[:, 0]), 1)


SPREAD = {
    "a column": lambda xp, x: xp.where(x > 0.5, _column(xp, x) * x**2, 0.0),
    "a column by reshape, in both cases": lambda xp, x: xp.where(
        x > 0.5, xp.reshape(xp.sqrt(x[:, 0]), (-1, 1)) * x, xp.reshape(x[:, 0], (-1, 1)) * x
    ),
    "all pairs": lambda xp, x: xp.where(
        x[:, :, None] * x[:, None] > 0.29, xp.exp(x)[:, :, None] * xp.log(x)[:, None], 0.0
    ),
}
"""What stands in a `where` has more entries than what it is made of; with `keras.ops` or NumPy."""


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("case", SPREAD)
def test_what_a_where_selects_may_be_spread_before(case, engine):
    x = np.array([[0.33, 0.62, 0.81], [0.77, 0.41, 0.58]])
    known = truth.hessian_of_value(
        lambda x: SPREAD[case](np, x).reshape(len(x), -1).sum(axis=1, keepdims=True), x, 0.004
    )
    found = kc.hessian(lambda x: SPREAD[case](ops, x), x, engine=engine, dtype="float64")
    total = ops.convert_to_numpy(found).reshape(2, -1, 3, 3).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(total, known, atol=1e-6 * np.abs(known).max())
