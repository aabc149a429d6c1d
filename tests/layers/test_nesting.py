"""A network wrapped by a layer of this library trains as it does nested plainly in Keras."""

from __future__ import annotations

import functools
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc

X = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
Y = X[:, :1] ** 2 + 5


@keras.saving.register_keras_serializable(package="tests")
class Noted(keras.Layer):
    """Adds a metric and a loss."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.size = keras.metrics.Mean(name="noted")

    def call(self, x):
        self.size.update_state(tf.reduce_mean(x))
        self.add_loss(tf.reduce_mean(tf.square(x)) / 100)
        return x


@keras.saving.register_keras_serializable(package="tests")
class OwnMetric(keras.Sequential):
    """Has a metric of its own, which plain nesting leaves to it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.own = keras.metrics.Mean(name="own")


def network(*between, kind=keras.Sequential, dtype=None, **first):
    keras.utils.set_random_seed(0)
    dense = [layers.Dense(4, "tanh", dtype=dtype, **first), layers.Dense(1, dtype=dtype)]
    return kind([keras.Input((2,)), dense[0], *between, dense[1]], name="net")


def compiled(net, **options):
    net.compile("adam", "mse", **options)
    return net


def loaded(net, folder):
    net.fit(X, Y, verbose=0)
    net.save(folder / "net.keras")
    return keras.saving.load_model(folder / "net.keras")


def twice_nested():
    inner = compiled(network(Noted()), metrics=["mae"])
    stack = [keras.Input((2,)), inner, layers.Dense(1)]
    return compiled(keras.Sequential(stack, name="outer"), metrics=["mse"])


NETWORKS = {
    "plain": lambda folder: network(),
    "compiled": lambda folder: compiled(network()),
    "compiled with metrics": lambda folder: compiled(
        network(), metrics=["mae"], weighted_metrics=["mse"]
    ),
    "loaded": lambda folder: loaded(compiled(network(), metrics=["mae"]), folder),
    "losses and a metric inside": lambda folder: compiled(
        network(Noted(), kernel_regularizer="l2", activity_regularizer="l2")
    ),
    "a metric of its own": lambda folder: compiled(network(kind=OwnMetric)),
    "float64": lambda folder: compiled(network(dtype="float64")),
    "mixed": lambda folder: compiled(network(dtype="mixed_float16")),
    "nested": lambda folder: twice_nested(),
}


def value(net):
    return kc.DerivativeOutput(net, "value")


def penalty(net, strength=0.0, **options):
    return kc.CurvaturePenalty(net, strength, **options)


def one(wrap, net):
    return keras.Sequential([keras.Input((2,)), wrap(net)])


def shared(wrap, net):
    x = keras.Input((2,))
    return keras.Model(x, layers.Add()([wrap(net)(x), wrap(net)(x)]))


def before_the_network(wrap, net):
    x = keras.Input((2,))
    return keras.Model(x, layers.Add()([wrap(net)(x), net(x)]))


def behind_the_network(wrap, net):
    x = keras.Input((2,))
    return keras.Model(x, layers.Add()([net(x), wrap(net)(x)]))


WRAPPERS = {
    "DerivativeOutput": (one, value),
    "CurvaturePenalty": (one, penalty),
    "one in the other": (one, lambda net: value(penalty(net))),
    "the other in the one": (one, lambda net: penalty(value(net))),
    "two penalties": (one, lambda net: penalty(penalty(net, metric_name="a"), metric_name="b")),
    "a shared DerivativeOutput": (shared, value),
    "a shared CurvaturePenalty": (shared, penalty),
    "shared with the network": (before_the_network, value),
    "shared with the network before": (behind_the_network, value),
}
PENALTIES = ("curvature_penalty", "a", "b")


def without_penalties(found):
    """Without the metrics that only the wrapper has, which must be 0."""
    own = {name for name in found if name.removeprefix("val_") in PENALTIES}
    assert all(np.all(np.equal(found[name], 0)) for name in own)
    return {name: values for name, values in found.items() if name not in own}


def stored_shapes(path):
    """Of all arrays in a `.keras` file, which has them under other names with a wrapper."""
    shapes = []
    with zipfile.ZipFile(path) as archive, h5py.File(archive.open("model.weights.h5")) as file:
        file.visititems(lambda _, item: shapes.append(getattr(item, "shape", None)))
    return sorted(shape for shape in shapes if shape is not None)


def trained(place, wrap, make, folder):
    """Everything that a training tells, by what was called, the weights, and the file."""
    model = place(wrap, make(folder))
    model.compile(keras.optimizers.SGD(0.01), "mse", metrics=["mae"], jit_compile=False)
    settings = {"batch_size": 8, "shuffle": False, "verbose": 0}
    numbers = {"fit": model.fit(X, Y, epochs=2, validation_data=(X, Y), **settings).history}
    model.save(folder / "model.keras")
    again = keras.saving.load_model(folder / "model.keras")
    numbers["train_on_batch"] = model.train_on_batch(X, Y, return_dict=True)
    numbers["fit, loaded"] = again.fit(X, Y, **settings).history
    numbers["evaluate"] = model.evaluate(X, Y, batch_size=8, verbose=0, return_dict=True)
    names = [name for name in model.metrics_names if name not in PENALTIES]
    arrays = [*model.get_weights(), *again.get_weights()]
    return numbers, arrays, names, stored_shapes(folder / "model.keras")


@functools.cache
def plainly(place, make, folder):
    return trained(place, lambda net: net, make, folder)


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_history_weights_and_file_are_those_of_plain_nesting(
    name, wrapper, tmp_path, tmp_path_factory
):
    place, wrap = WRAPPERS[wrapper]
    numbers, arrays, names, stored = trained(place, wrap, NETWORKS[name], tmp_path)
    plain = plainly(place, NETWORKS[name], tmp_path_factory.getbasetemp())
    # `DerivativeOutput` evaluates in float32 what Keras does in float16, of three digits.
    rtol = 1e-3 if name == "mixed" else 1e-5
    for call, wanted in plain[0].items():
        found = without_penalties(numbers[call])
        assert list(found) == list(wanted), call
        for key in wanted:
            np.testing.assert_allclose(found[key], wanted[key], rtol=rtol, err_msg=f"{call} {key}")
    assert len(arrays) == len(plain[1])
    for found, wanted in zip(arrays, plain[1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol)
    assert names == plain[2]
    assert stored == plain[3]


def test_a_penalty_on_a_layer_of_derivatives_can_be_built():
    """Inside `tf.init_scope`, where it is looked at, tapes would record nothing."""
    outer = one(lambda net: penalty(value(net), 1.0), network())
    outer(X, training=True)
    assert float(outer.losses[0]) > 0


@pytest.mark.parametrize("wrap", [value, penalty], ids=["DerivativeOutput", "CurvaturePenalty"])
def test_callbacks_act_on_the_loss_though_the_network_was_compiled(wrap, tmp_path):
    """A constant loss would stop the training, and save one file only."""
    model = one(wrap, compiled(network(), metrics=["mae"]))
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    path = str(tmp_path / "{epoch}.weights.h5")
    options = {"save_best_only": True, "save_weights_only": True}
    keep = keras.callbacks.ModelCheckpoint(path, "loss", **options)
    stop = keras.callbacks.EarlyStopping("loss", patience=0)
    losses = model.fit(X, Y, epochs=3, verbose=0, callbacks=[keep, stop]).history["loss"]
    assert len(losses) == len(list(tmp_path.iterdir())) == 3
    assert losses[0] > losses[1] > losses[2] > 1


@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize("float64", ["network", "layer"])
def test_a_penalty_in_float64_is_added_to_a_loss_in_float32(float64, scale):
    net = network(dtype="float64" if float64 == "network" else None)
    dtype = "float64" if float64 == "layer" else None
    model = one(lambda net: penalty(net, 0.1, scale=scale, dtype=dtype), net)
    model.compile("sgd", "mse", metrics=["mse"], run_eagerly=True)
    history = model.fit(X, Y, verbose=0).history
    total = np.add(history["mse"], history["curvature_penalty"])
    assert history["curvature_penalty"][0] > 0
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)


@pytest.mark.every(9)
@pytest.mark.parametrize(
    "activation",
    ["elu", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "gelu", "softmax"],
)
def test_a_value_inside_has_the_derivatives_of_the_network(activation):
    """By the rules of its functions: the formulas that give them better slopes took minutes."""
    net = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(6, activation), keras.layers.Dense(1)]
    )
    inputs = keras.Input((3,))
    outputs = kc.DerivativeOutput(net, ["value", "jacobian"])(inputs)
    model = keras.Model(inputs, {"u": outputs["value"], "slope": outputs["jacobian"]})
    x = np.random.default_rng(0).normal(size=(5, 3))
    names = {"h": "hessian", "l": "laplacian", "xxy": (0, 0, 1)}
    inside = kc.derivatives(model, x, names, output="u", dtype="float64")
    for name, found in kc.derivatives(net, x, names, dtype="float64").items():
        # TensorFlow's selu has its scale in float32, formulas in float64.
        close = 1e-7 if activation == "selu" else 1e-9
        np.testing.assert_allclose(inside[name], found, rtol=close, atol=1e-12, err_msg=name)
