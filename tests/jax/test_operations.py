"""Plain functions of JAX, as users write them: right to the second order.

The truth is differences of what they give in float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import keras_curvature as kc
import truth

X = np.array([[0.37, -0.62, 0.81], [1.13, 0.45, -0.28], [-0.71, 0.93, 0.54]])
STEP = 0.004
"""Of the differences: kinks are further than four of them, and rounding leaves 2e-10."""


def table(x):
    """Rows by columns, the largest of which lie in different places."""
    return x[:, :, None] * jnp.array([1.0, 2.0, -1.0])


def less(x, shift):
    """How large exponentials are that are shifted by what is made of the largest of a row."""
    return jnp.exp(x - shift(x)).sum(tuple(range(1, x.ndim)))


def quiet(x):
    """A softmax with one more class, whose score is 0."""
    shift = jnp.maximum(jnp.max(x, axis=-1, keepdims=True), 0.0)
    powers = jnp.exp(x - shift)
    return powers / (jnp.sum(powers, axis=-1, keepdims=True) + jnp.exp(-shift))


def largest(x):
    return jnp.max(x, axis=-1, keepdims=True)


SHIFTED = {
    "the largest": lambda x: less(x, largest),
    "on another axis": lambda x: less(table(x), lambda y: y.max(1)[:, :, None]),
    "reshaped to another axis": lambda x: less(table(x), lambda y: y.max(1).reshape(-1, 3, 1)),
    "the largest or 0": lambda x: quiet(x - 0.9),
    "sometimes the largest": lambda x: jnp.exp(x - jnp.where(x[:, :1] > 0, largest(x), 0.1)),
    "the largest or an entry": lambda x: jnp.exp(
        x - jnp.where(x[:, :1] > 0, x[:, 1:2], largest(x))
    ),
    "the largest where another is finite": lambda x: jnp.exp(
        x - jnp.where(jnp.isfinite(jnp.log(x[:, :1])), largest(x), 0.1)
    ),
    "softmax": lambda x: jax.nn.softmax(9 * x),
    "softmax of some": lambda x: jax.nn.softmax(9 * x, where=jnp.array([True, False, True])),
    "logsumexp": lambda x: jax.nn.logsumexp(9 * x, axis=1),
}

TAKEN = {
    "multiplied, one place twice": lambda x: (
        (x**2).at[:, jnp.array([[0, 0], [1, 2]])].multiply(jnp.stack([x[:, :2], x[:, 1:]], 1))
    ),
    "multiplied, one place of each example twice": lambda x: jax.vmap(
        lambda row: (row**2).at[jnp.argmax(row) * jnp.array([1, 1])].multiply(row[:2])
    )(x),
    "outside, a number": lambda x: jnp.prod(
        x.at[:, jnp.array([0, 7])].get(mode="fill", fill_value=3.0) ** 2, axis=1
    ),
    "outside, left out": lambda x: (
        x[:, 1:2]
        * jnp.where(jnp.array([True, False]), jnp.take(x, jnp.array([0, 7]), axis=1) ** 2, 1.0)
    ),
}


def fifths(x, count):
    return lax.fori_loop(0, count, lambda i, y: jnp.sin(y * x[1]) + i / 5, x[0])


LOOPS = {
    "whole numbers of Python": lambda x: lax.while_loop(
        lambda c: c[0] < 3,
        lambda c: (c[0] + 1, jnp.sin(c[1] * x[:, 1]) * jnp.where(c[0] % 2 == 0, 1.0, 2.0)),
        (0, x[:, 0]),
    )[1],
    "as often as is computed": lambda x: jax.vmap(
        lambda row: fifths(row, jnp.argmax(jnp.array([1, 5, 2])) + 1)
    )(x),
    "as often as an example says": lambda x: jax.vmap(
        lambda row: fifths(row, 1 + (row[2] > 0).astype(int))
    )(x),
}

FACTORS = jnp.array([1.0, 2.0])


def pictures(x):
    """Two channels of products, `(n, 2, 3, 3)`."""
    products = jnp.einsum("ni,nj->nij", x, jnp.sin(x))
    return jnp.stack([products, products * x[:, None]], 1)


def in_groups(x):
    """Squares and cubes, each with kernels of its own, though they lie along the batch's axis."""

    def of_one(row):
        both = jnp.stack([row**2, row**3])[:, :, None]
        kernel = jnp.array([[[1.0], [1.0]], [[9.0], [9.0]]])
        return lax.conv_general_dilated(both, kernel, (1,), "VALID", batch_group_count=2)

    return jax.vmap(of_one)(x[:, :2])


def channels_first(x):
    kernel = jnp.sin(jnp.arange(24.0)).reshape(3, 2, 2, 2)
    numbers = ("NCHW", "OIHW", "CNHW")
    found = lax.conv_general_dilated(pictures(x), kernel, (1, 1), "SAME", dimension_numbers=numbers)
    return jnp.swapaxes(found, 0, 1) ** 2


MOVED = {
    "reshape by columns": lambda x: jnp.sin(jnp.reshape(table(x), (-1, 9), order="F"))[:, 1:5],
    "reshape of other axes first": lambda x: jnp.sin(
        lax.reshape(table(x), (len(x), 9), dimensions=(0, 2, 1))
    )[:, 1:5],
    "split": lambda x: jnp.prod(jnp.stack(jnp.split(table(x), 3, axis=2)), axis=0),
    "stack": lambda x: jnp.stack([x**2, jnp.sin(x), x], axis=1),
    "tile": lambda x: jnp.tile(x, (1, 2))[:, 1:5] ** 3,
    "unstack": lambda x: jnp.multiply(*jnp.unstack(jnp.sin(x), axis=1)[:2]),
}

PRODUCTS = {
    "with each factor": lambda x: jnp.einsum("ni,k->nik", jnp.sin(x), FACTORS),
    "with each factor, in front": lambda x: jnp.moveaxis(
        jnp.tensordot(FACTORS, jnp.sin(x), axes=0), 0, 2
    ),
    "with a number": lambda x: lax.dot_general(x**2, jnp.array(2.0), (((), ()), ((), ()))),
    "convolution in groups of the batch": in_groups,
    "convolution to channels first": channels_first,
}

OPERATIONS = {
    f"{family}/{name}": function
    for family, functions in {
        "loops": LOOPS,
        "moved": MOVED,
        "products": PRODUCTS,
        "shifted": SHIFTED,
        "taken": TAKEN,
    }.items()
    for name, function in functions.items()
}


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_are_right(name, engine):
    function = OPERATIONS[name]

    def values(points):
        with jax.enable_x64(True):
            return np.asarray(function(jnp.asarray(points))).reshape(len(points), -1)

    known = truth.hessian_of_value(values, X, STEP)
    found = np.asarray(kc.hessian(function, X, engine=engine, dtype="float64"))
    # Constants are float32 here where JAX's x64 is off.
    np.testing.assert_allclose(
        found.reshape(known.shape), known, rtol=0, atol=1e-6 * max(1, np.abs(known).max())
    )


def test_an_operation_without_a_derivative_is_refused():
    with pytest.raises(ValueError, match=r"at\[places\].set\(f\(x\[places\]\)\)"):
        kc.hessian(lambda x: x.at[:, 1].apply(jnp.sin), X)
