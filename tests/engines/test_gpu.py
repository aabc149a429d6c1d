"""What a GPU does otherwise than a CPU: `make check-gpu` runs it there, and other tests beside it.

On a CPU all of it runs too, but for the memory, and tells less.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.framework import config

import keras_curvature as kc
from keras_curvature.engines import chunking

pytestmark = pytest.mark.slow

NETWORKS = {
    "lstm": ((5, 2), [layers.LSTM, 4]),
    "gru": ((5, 2), [layers.GRU, 4]),
    "convolution": ((6, 6, 2), [layers.Conv2D, 3, 3]),
    "depthwise": ((6, 6, 2), [layers.DepthwiseConv2D, 3]),
    "transposed": ((4, 4, 2), [layers.Conv2DTranspose, 2, 3]),
    "dense": ((4,), [layers.Dense, 8]),
}


def network(name, dtype=None):
    """A small network, and points for it."""
    keras.utils.set_random_seed(0)
    shape, (layer, *arguments) = NETWORKS[name]
    made = [
        layer(*arguments, activation="tanh", dtype=dtype),
        layers.Flatten(dtype=dtype),
        layers.Dense(1, dtype=dtype),
    ]
    x = np.random.default_rng(0).normal(size=(7, *shape)).astype("float32")
    return keras.Sequential([keras.Input(shape), *made]), x


def trained(net, x, *callbacks, **options):
    net.compile("adam", "mse", **options)
    # The last batch is smaller.
    net.fit(x, x.reshape(len(x), -1)[:, :1], batch_size=4, verbose=0, callbacks=[*callbacks])
    return net.get_weights()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_the_values(name, dtype):
    net, x = network(name)
    right = kc.scale_curvature(net, x, 1e-3, of="laplacian", dtype="float64").numpy()
    # Of the fourth derivative a millionth is left; a GPU multiplies float32 with three digits.
    tolerance = {"float32": 5e-3, "float64": 1e-5}[dtype] * np.abs(right).max()
    for engine in ("taylor", "nested"):
        found = kc.laplacian(net, x, engine=engine, dtype=dtype)
        np.testing.assert_allclose(found, right, rtol=0, atol=tolerance, err_msg=engine)


@pytest.fixture
def determinism():
    tf.config.experimental.enable_op_determinism()
    yield
    config.disable_op_determinism()


@pytest.mark.usefixtures("determinism")
@pytest.mark.parametrize("name", NETWORKS)
def test_watching_changes_nothing(name):
    """Keras trains with whatever it takes on this machine, cuDNN's kernels and XLA."""
    net, x = network(name)
    alone = trained(net, x)
    net, x = network(name)
    monitor = kc.CurvatureMonitor(x)
    for a, b in zip(alone, trained(net, x, monitor), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(monitor.history["mean"]).all()


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_through_derivatives(name, policy):
    """With `jit_compile="auto"`, which is XLA on a GPU, and a batch of open size."""
    net, x = network(name, policy)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, kc.DerivativeOutput(net, ["value", "hessian_diagonal"])(inputs))
    model.compile(keras.optimizers.Adam(0.01), {"value": "mse", "hessian_diagonal": "mse"})
    now = model.predict(x, verbose=0)
    target = {part: values + 1 for part, values in now.items()}
    losses = model.fit(x, target, batch_size=4, shuffle=False, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[0] == pytest.approx(2, rel=0.5)
    assert losses[-1] < losses[0]


@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="no GPU was found")
def test_memory_is_bounded():
    net, _ = network("dense")
    x = tf.random.stateless_normal([1_000_000, 4], seed=[0, 0])
    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    found = kc.hessian(net, x)
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] - before
    assert peak < 2 * chunking.MEMORY_BUDGET + 3 * found.dtype.size * int(tf.size(found))
