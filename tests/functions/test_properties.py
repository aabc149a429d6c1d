"""What holds for every model: random networks, checked against themselves and differences."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_curvature as kc
import truth

# Compiling a model takes a second; the same examples each time, so that a failure stays one.
few = settings(max_examples=12, deadline=None, derandomize=True, database=None)

SMOOTH = ["tanh", "silu", "gelu", "softplus", "sigmoid", "softsign"]

dense = st.builds(
    lambda units, activation: lambda x: layers.Dense(units, activation)(x),
    st.integers(2, 5),
    st.sampled_from([*SMOOTH, "linear", "elu"]),
)
others = st.sampled_from(
    [
        lambda x: layers.LayerNormalization(epsilon=0.1)(x),
        lambda x: layers.BatchNormalization()(x),
        lambda x: layers.Dropout(0.5)(x),
        lambda x: layers.Multiply()([x, layers.Dense(x.shape[-1], "tanh")(x)]),
        lambda x: layers.Add()([x, layers.Dense(x.shape[-1], "silu")(x)]),
        lambda x: layers.Softmax()(x),
        lambda x: layers.UnitNormalization()(layers.Concatenate()([x, keras.ops.ones_like(x)])),
    ]
)


@st.composite
def networks(draw):
    """A float64 model of a few random layers, with random weights, and two points."""
    inputs = draw(st.integers(1, 4))
    parts = draw(st.lists(st.one_of(dense, others), min_size=1, max_size=4))
    outputs = draw(st.integers(1, 2))
    seed = draw(st.integers(0, 2**16))
    keras.config.set_floatx("float64")
    try:
        keras.utils.set_random_seed(seed)
        x = keras.Input((inputs,))
        hidden = layers.Dense(4, "tanh")(x)
        for part in parts:
            hidden = part(hidden)
        model = keras.Model(x, layers.Dense(outputs)(hidden))
    finally:
        keras.config.set_floatx("float32")
    rng = np.random.default_rng(seed)
    model.set_weights([w + 0.3 * np.abs(rng.normal(size=w.shape)) for w in model.get_weights()])
    return model, rng.normal(size=(2, inputs)), rng.normal(size=(2, inputs))


@pytest.mark.slow
@given(networks())
@few
def test_all_quantities_agree_with_the_hessian_and_with_differences(network):
    model, x, v = network
    names = ["jacobian", "hessian", "hessian_diagonal", "laplacian"]
    names += ["directional_curvature", "hessian_vector_product"]
    found = {name: t.numpy() for name, t in kc.derivatives(model, x, names, v=v).items()}
    hessian = found["hessian"]
    size = max(np.abs(hessian).max(), np.abs(found["jacobian"]).max())
    close = {"rtol": 0, "atol": 1e-11 * size}  # float64, the same sums in another order
    np.testing.assert_allclose(hessian, hessian.transpose(0, 1, 3, 2), **close)
    np.testing.assert_allclose(found["hessian_diagonal"], np.einsum("nmii->nmi", hessian), **close)
    np.testing.assert_allclose(found["laplacian"], np.einsum("nmii->nm", hessian), **close)
    product = np.einsum("nmij,nj->nmi", hessian, v)
    np.testing.assert_allclose(found["hessian_vector_product"], product, **close)
    along = np.einsum("nmi,ni->nm", product, v)
    np.testing.assert_allclose(found["directional_curvature"], along, rtol=0, atol=1e-10 * size)

    slopes = kc.directional_curvature(model, x, v, engine="finite_difference")
    np.testing.assert_allclose(slopes, along, rtol=0, atol=1e-6 * size)

    def value(rows):
        return model(rows, training=False).numpy()

    # Values alone: where the network bends over less than the step, or its second derivative
    # jumps (elu, softsign), two steps disagree, and differences have nothing to say.
    wide, narrow = (
        truth.directional_second_difference(value, x, v, h=h) for h in (1 / 128, 1 / 256)
    )
    settled = np.abs(wide - narrow) < 1e-7 * size
    assert np.abs(narrow - along)[settled].max(initial=0.0) < 1e-6 * size


@pytest.mark.slow
@given(networks(), st.integers(1, 3))
@few
def test_chunks_change_nothing(network, size):
    model, x, _ = network
    whole = kc.hessian(model, x).numpy()
    np.testing.assert_allclose(kc.hessian(model, x, batch_size=size), whole, rtol=1e-9, atol=1e-11)


matrices = st.integers(1, 4).flatmap(
    lambda d: st.lists(
        st.lists(st.integers(-8, 8), min_size=d, max_size=d), min_size=d, max_size=d
    ).map(lambda rows: np.array(rows, dtype=float))
)


@pytest.mark.slow
@given(matrices)
@few
def test_quadratic_forms_are_exact_and_linear_ones_exactly_zero(matrix):
    """Small integers are exact in floating point, so every digit has to be right."""
    x = np.arange(2.0 * len(matrix)).reshape(2, -1) - 3

    def quadratic(x):
        return tf.reduce_sum(x * (x @ tf.constant(matrix)), axis=1)

    expected = np.broadcast_to(matrix + matrix.T, (2, *matrix.shape))
    np.testing.assert_array_equal(kc.hessian(quadratic, x), expected)
    np.testing.assert_array_equal(kc.laplacian(quadratic, x), [2 * np.trace(matrix)] * 2)
    linear = kc.hessian(lambda x: x @ tf.constant(matrix), x)
    np.testing.assert_array_equal(linear, np.zeros((2, *matrix.shape, len(matrix))))
