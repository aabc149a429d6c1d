"""Which engine is taken, where a graph leaves no choice."""

import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc

ANY = tf.TensorShape(None)
X = np.array([[0.3], [-0.8]])


def _lost(x):
    """The same tensor, of which the graph knows nothing but the dtype."""
    return tf.raw_ops.PlaceholderWithDefault(input=x, shape=ANY)


def _loop(x):
    state = tf.while_loop(
        lambda k, s: k < 2,
        lambda k, s: (k + 1, s**2),
        (0, x),
        shape_invariants=(tf.TensorShape([]), ANY),
    )
    return state[1]


@tf.custom_gradient
def _by_hand(x):
    return _lost(x**4), lambda upstream: upstream * 4 * x**3


@tf.custom_gradient
def _gradient_lost(x):
    return x**4, lambda upstream: _lost(upstream * 4 * x**3)


RANKLESS = {
    "tensor": lambda x: _lost(x) ** 4,
    "loop": _loop,
    "branch": lambda x: tf.cond(tf.reduce_sum(x) > -9, lambda: x**4, lambda: _lost(x)),
    "custom_gradient": _by_hand,
    "the_gradient_alone": _gradient_lost,
}
"""Ways in which the graph of x⁴ loses the number of axes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", RANKLESS)
def test_a_graph_that_loses_a_rank(name):
    def power(x):
        return tf.reshape(RANKLESS[name](x), [-1, 1])

    found = kc.derivatives(power, X, ["jacobian", "hessian", "directional_curvature"], v=[1.0])
    found["hessian_diagonal"] = kc.hessian_diagonal(power, X)
    for quantity, tensor in found.items():
        right = 4 * X**3 if quantity == "jacobian" else 12 * X**2
        np.testing.assert_allclose(np.ravel(tensor), right.ravel(), rtol=1e-12, err_msg=quantity)
    choice = kc.engine_choice(power, X, ["laplacian"])
    if name == "the_gradient_alone":  # which Taylor propagation does not carry through
        assert choice.name == "taylor"
        return
    assert choice.name == "nested"
    assert "the graph does not know the rank of the result of" in choice.reason
    assert kc.jacobian(power, X, engine="taylor").shape == (2, 1, 1)
    with pytest.raises(ValueError, match=r"must know how many axes.*ensure_shape"):
        kc.laplacian(power, X, engine="taylor")


HESSIANS = {
    "many outputs": (lambda x: tf.tile(x, [1, 17]) ** 2, "of more than 16 outputs"),
    "a loop": (lambda x: tf.while_loop(lambda y: y[0, 0] < 9, lambda y: [y**2 + 1], [x])[0],
               "through StatelessWhile"),
    "examples moved": (lambda x: tf.transpose(tf.transpose(x) ** 3), "through Transpose"),
}  # fmt: skip
"""Functions whose whole Hessian is left to the nested engine, and what is said of them."""


@pytest.mark.parametrize("name", HESSIANS)
def test_what_is_in_the_way_of_a_hessian_is_named(name):
    function, said = HESSIANS[name]
    choice = kc.engine_choice(function, X, ["hessian"])
    assert choice.name == "nested"
    assert said in choice.reason
