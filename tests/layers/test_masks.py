"""Masks of time steps pass through the layers, and say which function is differentiated."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
import truth

STEPS, FEATURES = 3, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, STEPS, FEATURES)).astype("float32")
THERE = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 1]], bool)
X[~THERE] = 0  # what `Masking` takes for missing
NAMES = ["value", "jacobian", "laplacian"]
DIRECTED = ["directional_curvature", "hessian_vector_product"]

# Keras warns of every nested model that is given a mask, though it does pass the mask on.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not support masking")


@keras.saving.register_keras_serializable(package="tests")
class PlusMean(keras.Layer):
    """Adds the mean of the steps that are there to each."""

    def call(self, x, mask=None):
        there = tf.ones_like(x[..., :1]) if mask is None else tf.cast(mask, x.dtype)[..., None]
        mean = tf.reduce_sum(there * x, axis=1, keepdims=True)
        return x + mean / tf.reduce_sum(there, axis=1, keepdims=True)

    def compute_mask(self, inputs, previous_mask):
        return previous_mask


def network(dtype=None, *, pooled=False):
    """Its output at each step depends on all steps that are there; `pooled`, their mean."""
    keras.utils.set_random_seed(0)
    x = keras.Input((STEPS, FEATURES), dtype=dtype)
    hidden = PlusMean(dtype=dtype)(layers.Dense(4, "tanh", dtype=dtype)(x))
    y = layers.Dense(2, "tanh", dtype=dtype)(hidden)
    return keras.Model(x, layers.GlobalAveragePooling1D()(y) if pooled else y)


def by_differences(net, x=X, there=THERE):
    """What must be found, from values of `net(x, mask=there)` in float64."""
    wide = network("float64")
    wide.set_weights(net.get_weights())

    def f(flat):
        rows = flat.reshape(-1, STEPS, FEATURES)
        copies = len(rows) // len(there)  # `truth` moves all examples at once, stacked
        mask = np.tile(there, (copies, 1))
        return wide(tf.constant(rows), mask=tf.constant(mask)).numpy().reshape(len(rows), -1)

    flat = x.reshape(len(x), -1).astype("float64")
    hessian = truth.hessian_of_value(f, flat, h=0.02)
    shape = (len(x), STEPS, 2)
    return {
        "value": f(flat).reshape(shape),
        "jacobian": truth.gradient(f, flat, h=0.02).reshape(*shape, STEPS, FEATURES),
        "laplacian": np.trace(hessian, axis1=-2, axis2=-1).reshape(shape),
    }


def assert_right(found, wanted):
    for name, array in wanted.items():  # float32 keeps seven digits, differentiating costs one
        np.testing.assert_allclose(found[name], array, atol=1e-5, err_msg=name)


def hung(layer):
    inputs = keras.Input((STEPS, FEATURES))
    return keras.Model(inputs, layer(layers.Masking()(inputs)))


def given(layer):
    return lambda x: layer(x, mask=tf.constant(THERE))


def given_symbolically(layer):
    x, mask = keras.Input((STEPS, FEATURES)), keras.Input((STEPS,), dtype="bool")
    model = keras.Model([x, mask], layer(x, mask=mask))
    return lambda x: model([x, tf.constant(THERE)])


def compiled(layer):
    return tf.function(lambda x: layer(layers.Masking()(x)))


@pytest.mark.parametrize(
    "way", [hung, given, given_symbolically, compiled], ids=lambda w: w.__name__
)
def test_the_derivatives_are_those_of_the_model_with_its_mask(way):
    net = network()
    found = way(kc.DerivativeOutput(net, NAMES))(tf.constant(X))
    assert_right(found, by_differences(net))
    without = net(X)
    assert np.abs(found["value"] - without).max() > 1e-2


@pytest.mark.every(3)
@pytest.mark.parametrize("engine", ["taylor", "nested", "finite_difference"])
def test_the_functions_heed_a_mask_too(engine):
    net, x = network(), layers.Masking()(X)
    found = kc.derivatives(net, x, NAMES, engine=engine)
    assert_right(found, by_differences(net))
    # A graph made with the mask is not that of the model without it.
    np.testing.assert_array_equal(kc.derivatives(net, X, ["value"])["value"], net(X))


@pytest.mark.slow
def test_verify_and_diagnose_ask_the_model_with_its_mask():
    net, x = network(), layers.Masking()(X)
    assert kc.verify(net, x).ok
    assert not kc.diagnose(net, x).findings


def test_of_two_inputs_each_has_its_own_mask():
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((STEPS, FEATURES), name=name) for name in "ab"}
    pooled = [layers.GlobalAveragePooling1D()(layers.Dense(4, "tanh")(t)) for t in inputs.values()]
    net = keras.Model(inputs, layers.Dense(1)(layers.Multiply()(pooled)))
    for name, other in ("ab", "ba"):
        x = {"a": tf.constant(X), "b": tf.constant(X)}
        x[name] = layers.Masking()(X)
        found = kc.DerivativeOutput(net, ["value", "jacobian"])(x)
        np.testing.assert_allclose(found["value"], net(x), atol=1e-6)
        masked, whole = (found["jacobian"][n].numpy() for n in (name, other))
        assert np.all(masked[~THERE[:, None]] == 0)
        assert np.all(np.abs(whole[~THERE[:, None]]).max(axis=-1) > 0)


def mask_of(tensor):
    return getattr(tensor, "_keras_mask", None)


@pytest.mark.every(2)
@pytest.mark.parametrize("options", [{}, {"output": 1}], ids=str)
def test_what_has_the_output_s_shape_carries_its_mask_on(options):
    layer = kc.DerivativeOutput(network(), [*NAMES, *DIRECTED], **options)
    assert layer.supports_masking
    found = layer(layers.Masking()(X), v=tf.ones((STEPS, FEATURES)))
    with_mask = {name for name, tensor in found.items() if mask_of(tensor) is not None}
    assert with_mask == {"value", "laplacian", "directional_curvature"}
    for name in with_mask:
        np.testing.assert_array_equal(mask_of(found[name]), THERE)
    chosen = kc.DerivativeOutput(network(), "value", output=lambda y: tf.reduce_sum(y, axis=1))
    assert mask_of(chosen(layers.Masking()(X))) is None


@pytest.mark.slow
def test_losses_leave_out_the_steps_that_are_not_there(tmp_path):
    model = hung(kc.DerivativeOutput(network(), ["value", "laplacian"]))
    model.compile("sgd", {"value": "mse", "laplacian": "mse"}, jit_compile=False)
    predicted = model.predict(X, verbose=0)
    y = {name: np.ones_like(found) for name, found in predicted.items()}
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    for name, array in predicted.items():
        by_hand = np.mean((array - 1)[THERE] ** 2)
        assert found[f"{name}_loss"] == pytest.approx(by_hand, rel=1e-5)
    model.train_on_batch(X, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, array in model.predict(X, verbose=0).items():
        np.testing.assert_allclose(loaded.predict(X, verbose=0)[name], array, atol=1e-6)


@pytest.mark.every(4)
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("way", [hung, given], ids=lambda w: w.__name__)
def test_a_penalty_is_of_the_model_with_its_mask(way, scale):
    """What is not there moves neither the output nor the penalty."""
    # Not `Sequential([network(), pooling])`: Keras 3.7 loses the mask behind a nested model.
    net = network(pooled=True)
    other = X + 5 * ~THERE[..., None]
    found = []
    for x in (X, other):
        layer = kc.CurvaturePenalty(net, 1.0, directions=2, seed=0, scale=scale)
        y = layer(tf.constant(x), mask=tf.constant(THERE), training=True)
        found.append((y.numpy(), float(layer.losses[0])))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
    passed = way(kc.CurvaturePenalty(network(), 1.0, scale=scale))(tf.constant(X))
    np.testing.assert_array_equal(mask_of(passed), THERE)
