"""Every public function in a graph, under XLA, and in the modes of TensorFlow and Keras."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from keras_curvature.engines.quantities import NAMES

W = np.array([0.5, -0.75, 1.0])
X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
V = np.array([1.0, 0.5, -1.0], "float32")


@contextlib.contextmanager
def _between(begin, end):
    begin()
    try:
        yield
    finally:
        end()


def _put_back(get, put, value):
    def mode():
        before = get()
        return _between(lambda: put(value), lambda: put(before))

    return mode


MODES = {
    "as_it_comes": contextlib.nullcontext,
    "check_numerics": lambda: _between(
        tf.debugging.enable_check_numerics, tf.debugging.disable_check_numerics
    ),
    "functions_run_eagerly": _put_back(
        tf.config.functions_run_eagerly, tf.config.run_functions_eagerly, True
    ),
    "no_soft_placement": _put_back(
        tf.config.get_soft_device_placement, tf.config.set_soft_device_placement, False
    ),
    "no_tf32": _put_back(
        tf.config.experimental.tensor_float_32_execution_enabled,
        tf.config.experimental.enable_tensor_float_32_execution,
        False,
    ),
    "log_placement": _put_back(
        tf.debugging.get_log_device_placement, tf.debugging.set_log_device_placement, True
    ),
    "no_graph_optimizer": lambda: _between(
        lambda: tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True}),
        lambda: tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False}),
    ),
    "whole_tracebacks": lambda: _between(
        tf.debugging.disable_traceback_filtering, tf.debugging.enable_traceback_filtering
    ),
    "whole_tracebacks_of_keras": lambda: _between(
        keras.config.disable_traceback_filtering, keras.config.enable_traceback_filtering
    ),
    "floatx_float64": _put_back(keras.config.floatx, keras.config.set_floatx, "float64"),
    "floatx_float16": _put_back(keras.config.floatx, keras.config.set_floatx, "float16"),
    "mixed_float16": _put_back(
        keras.config.dtype_policy, keras.config.set_dtype_policy, "mixed_float16"
    ),
    "channels_first": _put_back(
        keras.config.image_data_format, keras.config.set_image_data_format, "channels_first"
    ),
}


def exponentials():
    """The sum of exp(w x) of each input, in float32 whatever Keras's default is.

    Its Hessian is diagonal, so that even what is estimated from random signs is exact.
    """
    net = keras.Sequential(
        [
            keras.Input((3,), dtype="float32"),
            keras.layers.Dense(3, "exponential", use_bias=False, dtype="float32"),
            keras.layers.Dense(1, use_bias=False, dtype="float32"),
        ]
    )
    net.set_weights([np.diag(W), np.ones((3, 1))])
    return net


def known(x=X):
    """What `functions` gives for `exponentials`."""
    e = np.exp(W * x)
    second = W**2 * e
    # Of the sum of squares of the Hessian's diagonal, by the first kernel.
    trained = np.einsum("na,nb->ab", x, 2 * second**2) + np.diag((4 * second * W * e).sum(0))
    return {
        "value": e.sum(1, keepdims=True),
        "jacobian": (W * e)[:, None],
        "hessian": (second[..., None] * np.eye(3))[:, None],
        "hessian_diagonal": second[:, None],
        "laplacian": second.sum(1, keepdims=True),
        "directional_curvature": (V**2 * second).sum(1, keepdims=True),
        "hessian_vector_product": (V * second)[:, None],
        "by_nested": second.sum(1, keepdims=True),
        "by_differences": second.sum(1, keepdims=True),
        "in_chunks": second[:, None],
        "random_directions": second.sum(1, keepdims=True),
        "windows": (e * (np.cosh(0.5 * W) - 1) / 0.125)[:, None],
        "boxes": (e * W * np.sinh(0.5 * W) / 0.5).sum(1, keepdims=True),
        "trace": second.sum(1, keepdims=True),
        "diagonal": second[:, None],
        "frobenius_squared": (second**2).sum(1, keepdims=True),
        "eigenvalues": np.stack([second.min(1), second.max(1)], axis=1)[:, None],
        "trained": trained,
    }


def functions(net, x):
    """The functions that take a batch and may be called in a graph, by name."""
    names = [name for name in known() if name in NAMES]
    with tf.GradientTape() as tape:
        diagonal = kc.hessian_diagonal(net, x)
        loss = tf.reduce_sum(diagonal**2)
    sampled = kc.estimate(net, x, ["trace", "diagonal", "frobenius_squared", "eigenvalues"])
    return {
        **kc.derivatives(net, x, names, v=V),
        "by_nested": kc.laplacian(net, x, engine="nested"),
        "by_differences": kc.laplacian(net, x, engine="finite_difference"),
        "in_chunks": kc.hessian_diagonal(net, x, batch_size=3),
        "random_directions": kc.laplacian(net, x, directions=2),
        "windows": kc.scale_curvature(net, x, 0.5),
        "boxes": kc.scale_curvature(net, x, 0.5, of="laplacian", kernel="box"),
        **{name: estimate.value for name, estimate in sampled.items()},
        "trained": tape.gradient(loss, net.trainable_variables[0]),
    }


WAYS = {
    "eager": lambda call: call,
    "graph": lambda call: tf.function(call, autograph=False),
    "graph_open": lambda call: tf.function(call, [tf.TensorSpec([None, 3])], autograph=False),
    "xla": lambda call: tf.function(call, autograph=False, jit_compile=True),
    "xla_open": lambda call: tf.function(
        call, [tf.TensorSpec([None, 3])], autograph=False, jit_compile=True
    ),
}


def assert_right(found):
    right = known()
    assert set(found) == set(right)
    for name, value in found.items():
        # Float32 throughout; differences of float32 windows are taken in float64.
        np.testing.assert_allclose(value, right[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES)
def test_functions(mode, way):
    if mode == "check_numerics" and way.startswith("xla"):
        pytest.skip("TensorFlow's checks cannot be compiled by XLA, whatever the function")
    with MODES[mode]():
        net = exponentials()
        found = WAYS[way](lambda x: functions(net, x))(tf.constant(X))
        assert_right(found)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_what_is_called_eagerly(mode):
    with MODES[mode]():
        everything_else()


def everything_else():
    """Monitor, layers, and what looks at a model."""
    net = exponentials()
    assert kc.verify(net, X).ok
    kc.diagnose(net, X)
    assert float(kc.hidden_fraction(net, X).max()) < 0.01
    assert kc.kinks(lambda x: tf.nn.relu(x), -1, 2).positions.tolist() == [0]
    assert kc.engine_choice(net, X, ["laplacian"]).name == "taylor"
    inputs = keras.Input((3,), dtype="float32")
    outputs = kc.DerivativeOutput(net, ["value", "laplacian"], dtype="float32")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"value": "mse", "laplacian": "mse"})
    monitor = kc.CurvatureMonitor(X, output="value", units="raw")
    right = known()
    losses = model.fit(
        X,
        {"value": right["value"] + 1, "laplacian": right["laplacian"] - 2},
        batch_size=len(X),
        verbose=0,
        callbacks=[monitor],
    ).history
    assert losses["value_loss"] == pytest.approx([1], rel=1e-5)
    assert losses["laplacian_loss"] == pytest.approx([4], rel=1e-5)
    assert monitor.history["mean"][0] == pytest.approx(right["laplacian"].mean(), rel=1e-5)
    penalty = keras.Sequential(
        [
            keras.Input((3,), dtype="float32"),
            kc.CurvaturePenalty(exponentials(), 1, dtype="float32"),
        ]
    )
    penalty.compile("sgd", "mse")
    assert np.isfinite(penalty.fit(X, right["value"], verbose=0).history["loss"]).all()


FOR_GOOD = {
    "determinism": "tf.config.experimental.enable_op_determinism()",
    "numpy_behaviour": "tf.experimental.numpy.experimental_enable_numpy_behavior()",
    "numpy_float32": "tf.experimental.numpy.experimental_enable_numpy_behavior("
    "prefer_float32=True)",
    "numpy_all": "tf.experimental.numpy.experimental_enable_numpy_behavior("
    "dtype_conversion_mode='all')",
    "data_debugged": "tf.config.run_functions_eagerly(True); "
    "tf.data.experimental.enable_debug_mode()",
    "clustered_by_xla": "tf.config.optimizer.set_jit('autoclustering')",
    "tensors_compared_by_identity": "tf.compat.v1.disable_tensor_equality()",
    "control_flow_of_1": "tf.compat.v1.disable_control_flow_v2()",
}
"""Modes that cannot be put back."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", FOR_GOOD)
def test_modes_that_stay(mode):
    code = (
        f"import tensorflow as tf; {FOR_GOOD[mode]}; import test_modes as t\n"
        "tf.keras.utils.set_random_seed(0)\n"
        "net = t.exponentials()\n"
        "for way in ('eager', 'graph_open', 'xla'):\n"
        "    t.assert_right(t.WAYS[way](lambda x: t.functions(net, x))(tf.constant(t.X)))\n"
    )
    if mode != "numpy_all":  # in which Keras itself cannot train a Dense layer
        code += "t.everything_else()\n"
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    environment["TF_XLA_FLAGS"] = "--tf_xla_cpu_global_jit"  # else only a GPU's ops are clustered
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"engine": "nested"}], ids=str)
def test_xla_trains_through_a_batch_of_open_size(options):
    net = exponentials()

    def trained(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(kc.hessian_diagonal(net, x, **options) ** 2)
        return tape.gradient(loss, net.trainable_variables[0])

    found = WAYS["xla_open"](trained)(tf.constant(X))
    np.testing.assert_allclose(found, known()["trained"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [keras.layers.LSTM, keras.layers.GRU])
def test_xla_trains_through_a_loop(layer):
    """Its gradient needs the axes as constants: against what a graph gives, which is tested."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((3, 1)), layer(2), keras.layers.Dense(1)])

    def trained(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(kc.laplacian(net, x[..., None]) ** 2)
        return tape.gradient(loss, net.trainable_variables[0])

    xla, graph = (WAYS[way](trained)(tf.constant(X)) for way in ("xla_open", "graph_open"))
    np.testing.assert_allclose(xla, graph, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_an_eigenvalue_can_be_trained_under_xla():
    net = exponentials()

    def trained(x):
        with tf.GradientTape() as tape:
            found = kc.estimate(net, x, ["eigenvalues"])["eigenvalues"].value
            largest = tf.reduce_sum(found[..., 1])
        return tape.gradient(largest, net.trainable_variables[1])

    second = known()["hessian_diagonal"][:, 0]
    largest = np.zeros(3)
    np.add.at(largest, second.argmax(1), second.max(1))
    found = WAYS["xla_open"](trained)(tf.constant(X))
    np.testing.assert_allclose(found[:, 0], largest, rtol=1e-4, atol=1e-6)


def test_what_is_not_finite_is_data_where_numerics_are_checked():
    """An intermediate result that a formula leaves aside is no fault, and NaN is measured."""
    net = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Lambda(lambda x: keras.ops.sqrt(keras.ops.abs(x))),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    net.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.array([[0.0], [1.0], [4.0]], "float32")
    with MODES["check_numerics"]():
        found = kc.hessian(net, x).numpy().ravel()
        report = kc.diagnose(net, x)
        monitor = kc.CurvatureMonitor(x)
        net.fit(x[1:], x[1:], verbose=0, callbacks=[monitor])
        with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
            tf.math.log(tf.constant(-1.0))  # the mode is on again
    np.testing.assert_allclose(found[1:], [-0.25, -0.25 / 8], rtol=1e-5)
    assert "not finite" in report.kinds
    assert monitor.history["nonfinite_fraction"] == [pytest.approx(1 / 3)] * 2


def test_nothing_is_left_of_a_mode_in_what_was_compiled():
    """What was compiled while numerics were checked goes on after it, without the checks."""
    net = exponentials()
    with MODES["check_numerics"]():
        kc.hessian(net, X)
    assert not np.isfinite(kc.hessian(net, 1000 * X)).all()


EAGERLY = {
    "hidden_fraction": lambda net, x: kc.hidden_fraction(net, x),
    "kinks": lambda net, x: kc.kinks(lambda t: tf.nn.relu(t), -1, 1).positions,
    "verify": lambda net, x: kc.verify(net, x),
    "diagnose": lambda net, x: kc.diagnose(net, x),
}


@pytest.mark.parametrize("name", EAGERLY)
def test_what_must_be_called_eagerly_says_so(name):
    net = exponentials()
    with pytest.raises(ValueError, match=f"`{name}` must be called eagerly"):
        tf.function(lambda x: EAGERLY[name](net, x), autograph=False)(tf.constant(X))


@pytest.mark.slow
@pytest.mark.parametrize("compiling", [{"jit_compile": True}, {"run_eagerly": True}], ids=str)
def test_a_model_trains_however_it_was_compiled(compiling):
    net = exponentials()
    inputs = keras.Input((3,), dtype="float32")
    model = keras.Model(inputs, kc.DerivativeOutput(net, ["hessian_diagonal"])(inputs))
    model.compile("sgd", {"hessian_diagonal": "mse"}, **compiling)
    target = {"hessian_diagonal": known()["hessian_diagonal"] + 2}
    # The last batch is smaller.
    losses = model.fit(X, target, batch_size=3, shuffle=False, verbose=0, epochs=2).history["loss"]
    assert losses[0] == pytest.approx(4, rel=0.2)
    assert losses[1] < losses[0]
