"""`ShapePenalty`: what it adds, that the shape is kept, and files of both backends."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.engines.backend import LAYERS_HAVE_METRICS
from keras_curvature.layers.shape_penalty import MARGIN

to_numpy = ops.convert_to_numpy

UNIFORM = np.linspace(-1, 1, 4000)[:, None].astype("float32")  # as what is drawn
SIGMA = UNIFORM.std()


def line(slope):
    net = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    net.set_weights([np.array([[slope]]), np.zeros(1)])
    return net


def added(layer):
    """What a call in training adds, and how far a step of gradient descent moves each weight."""
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, found: 0 * ops.mean(found))
    before = [to_numpy(v) for v in model.trainable_variables]
    (loss, *_) = np.ravel(model.train_on_batch(UNIFORM, UNIFORM))
    moved = zip(before, model.trainable_variables, strict=True)
    return loss, [old - to_numpy(new) for old, new in moved]


WAYS = [
    {},
    *(
        pytest.param(way, marks=pytest.mark.slow)
        for way in ({"scale": 0.1}, {"engine": "nested"}, {"engine": "finite_difference"})
    ),
]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_its_amount_and_its_pull_are_known(options):
    """Of -3 x, asked to increase: `v` is 3 σ and the margin, `s` is 3 σ, and both are held."""
    loss, pull = added(kc.ShapePenalty(line(-3.0), {0: "increasing"}, 0.5, seed=0, **options))
    s, v = 3 * SIGMA, 3 * SIGMA * (1 + MARGIN)
    assert loss == pytest.approx(0.5 * (v**2 + s * v), rel=0.02)  # a sampling error
    assert pull[0][0, 0] == pytest.approx(-0.5 * (2 * v + s) * SIGMA, rel=0.02)
    loss, pull = added(kc.ShapePenalty(line(3.0), {0: "increasing"}, 0.5, seed=0, **options))
    assert loss == pull[0][0, 0] == 0


@pytest.mark.slow
def test_what_it_remembers_is_of_all_data_and_in_the_dtype_that_it_had():
    layer = kc.ShapePenalty(line(1.0), {0: "convex"}, seed=0, dtype="float64")
    x = np.random.default_rng(0).uniform(-1, 1, (64, 1))
    with warnings.catch_warnings():  # on JAX float64 is off, and Keras gets float32
        warnings.simplefilter("ignore", UserWarning)
        layer(x)
        for batch in np.split(np.sort(x, axis=0), [1, 3, 30]):
            layer(batch, training=True)
    (seen,) = (to_numpy(v) for v in layer.variables if v.path.endswith("seen"))
    wanted = [64, x.mean(), x.var(), x.min(), x.max()]
    np.testing.assert_allclose(seen[:, 0], wanted, rtol=1e-4)
    assert seen.dtype == ("float32" if keras.config.backend() == "jax" else "float64")


def fitted(strength):
    """Of a curve so noisy that a network bends down somewhere."""
    x = np.linspace(-1, 1, 16)[:, None].astype("float32")
    y = (np.exp(x) + 0.3 * np.random.default_rng(1).normal(size=x.shape)).astype("float32")
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((1,)), layers.Rescaling(6.0), layers.Dense(32, "silu")])
    net.add(layers.Dense(32, "silu"))
    net.add(layers.Dense(1))
    penalty = kc.ShapePenalty(net, {"x": ("convex", "increasing")}, strength, seed=0)
    model = keras.Sequential([keras.Input((1,)), penalty])
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 400)
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(x, y, epochs=400, shuffle=False, verbose=0)
    assert all(np.isfinite(to_numpy(v)).all() for v in model.variables)
    return net


@pytest.mark.slow
def test_a_strength_of_1_keeps_the_shape():
    x = np.linspace(-1, 1, 401)[:, None]
    shares = []
    for strength in (0.0, 1.0):
        found = kc.derivatives(fitted(strength), x, ["jacobian", "laplacian"])
        holds = np.all([np.ravel(to_numpy(part)) >= 0 for part in found.values()], axis=0)
        shares.append(holds.mean())
    assert shares[0] < 0.8
    assert shares[1] > 0.99


ON_TENSORFLOW = """
import sys, keras, numpy as np, keras_curvature as kc
folder = sys.argv[1]
x = np.load(folder + "/x.npy")
net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
net.set_weights([np.array([[-3.0]]), np.zeros(1)])
model = keras.Sequential([keras.Input((1,)), kc.ShapePenalty(net, {"x": "increasing"}, seed=0)])
model.compile(keras.optimizers.SGD(1e-3), "mse")
model.fit(x, 3 * x, verbose=0)
model.save(folder + "/model.keras")
loss = model.evaluate(x, 3 * x, verbose=0, return_dict=True)["loss"]
(seen,) = (v.numpy() for v in model.variables if v.path.endswith("seen"))
with_penalty = model.train_on_batch(x, 3 * x, return_dict=True)["loss"]
np.savez(folder + "/found.npz", loss=loss, seen=seen, with_penalty=with_penalty)
"""


@pytest.mark.slow
def test_a_file_of_tensorflow_goes_on_here(tmp_path):
    np.save(tmp_path / "x.npy", UNIFORM)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", ON_TENSORFLOW, tmp_path], check=True, env=environment)
    elsewhere = np.load(tmp_path / "found.npz")
    model = keras.models.load_model(tmp_path / "model.keras")
    (seen,) = (to_numpy(v) for v in model.variables if v.path.endswith("seen"))
    np.testing.assert_array_equal(seen, elsewhere["seen"])
    y = 3 * UNIFORM
    loss = model.evaluate(UNIFORM, y, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(elsewhere["loss"], rel=1e-5)
    loss = model.train_on_batch(UNIFORM, y, return_dict=True)["loss"]
    # A line breaks the shape alike wherever a backend draws its points: s has a sampling error.
    assert loss == pytest.approx(elsewhere["with_penalty"], rel=0.02)


@pytest.mark.slow
def test_it_is_saved_and_loaded(tmp_path):
    x = UNIFORM[::100]
    penalty = kc.ShapePenalty(line(-3.0), {0: ["increasing", "concave"]}, 0.3, scale=0.2, seed=5)
    model = keras.Sequential([keras.Input((1,)), penalty])
    model.compile("sgd", "mse")
    history = model.fit(x, x, verbose=0).history
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for kept, again in zip(model.variables, loaded.variables, strict=True):
        if "seed" not in kept.path:
            np.testing.assert_array_equal(to_numpy(kept), to_numpy(again))
    kept = {"shape_penalty"} if LAYERS_HAVE_METRICS else set()
    assert set(history) == {"loss"} | kept
    assert model.evaluate(x, x, verbose=0) == loaded.evaluate(x, x, verbose=0)


def test_a_bend_along_a_column_of_two_values_is_told_of():
    x = np.stack([UNIFORM[:64, 0], np.arange(64) % 2], axis=1)
    net = keras.Sequential([keras.Input((2,)), layers.Dense(4, "silu"), layers.Dense(1)])
    inputs = keras.Input((2,))
    model = keras.Model(inputs, kc.ShapePenalty(net, {"x1": "convex"})(inputs))
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="'convex' along 'x1', which has been 0 or 1"):
        model.fit(x, x[:, :1], epochs=2, verbose=0)
