"""A model with `DerivativeOutput` outlives its process: saved, cloned, exported."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 2)).astype("float32")
A, B = X, RNG.normal(size=(5, 3)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
def twice(outputs):
    return outputs * 2


@keras.saving.register_keras_serializable(package="tests")
class Net(keras.Model):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden, self.last = layers.Dense(units, "tanh"), layers.Dense(1)

    def call(self, x):
        return self.last(self.hidden(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def dense():
    return keras.Sequential([keras.Input((2,)), layers.Dense(8, "softsign"), layers.Dense(2)])


def normalised():
    """State, statistics of data, and ops whose derivatives this library supplies."""
    scaling = layers.Normalization()
    scaling.adapt(X)
    return keras.Sequential(
        [
            keras.Input((2,)),
            scaling,
            layers.Dense(6, "tanh"),
            layers.LayerNormalization(),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )


def recurrent():
    return keras.Sequential([keras.Input((2,)), layers.Reshape((2, 1)), layers.SimpleRNN(3)])


def two_inputs():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], layers.Dense(2, "tanh")(layers.Concatenate()([a, b])))


NAMES = ["value", "jacobian", "laplacian"]
CASES = {
    "dense": (dense, X, {"names": NAMES, "name": "physics"}),
    "one name": (dense, X, {"names": "laplacian"}),
    "normalised": (normalised, X, {"names": NAMES}),
    "subclassed": (Net, X, {"names": NAMES}),
    "recurrent": (recurrent, X, {"names": NAMES}),
    "two inputs": (two_inputs, [A, B], {"names": ["value", "laplacian"]}),
    "choices": (two_inputs, [A, B], {"names": NAMES, "output": 1, "wrt": "b", "dtype": "float64"}),
    "a list": (two_inputs, [A, B], {"names": NAMES, "wrt": ["b", "a"]}),
    "a function": (dense, X, {"names": NAMES, "output": twice}),
}


def model_of(name):
    make, x, options = CASES[name]
    keras.utils.set_random_seed(0)
    inputs = keras.tree.map_structure(lambda array: keras.Input(array.shape[1:]), x)
    model = keras.Model(inputs, kc.DerivativeOutput(make(), **options)(inputs))
    for weight in model.weights:  # biases and statistics are 0 and 1 until they are trained
        if weight.trainable or "moving" in weight.name:
            weight.assign_add(0.1 * RNG.uniform(size=weight.shape))
    return model, x


def assert_same(found, wanted):
    keras.tree.assert_same_structure(found, wanted)
    for f, w in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
        assert np.any(np.abs(w) > 1e-3)
        np.testing.assert_allclose(f, w, atol=1e-6)  # the kernels of another graph


@pytest.mark.every(3)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "recurrent")) for n in CASES]
)
def test_a_saved_model_gives_the_same(name, tmp_path):
    model, x = model_of(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(x), model(x))
    before, after = (m.layers[-1].get_config() for m in (model, loaded))
    assert before.pop("layer")["class_name"] == after.pop("layer")["class_name"]
    assert after == before


@pytest.mark.parametrize("name", ["normalised", pytest.param("two inputs", marks=pytest.mark.slow)])
def test_weights_and_clones(name, tmp_path):
    model, x = model_of(name)
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.models.clone_model(model)
    fresh = keras.tree.flatten(other(x))[0]
    assert not np.allclose(fresh, keras.tree.flatten(model(x))[0], atol=1e-3)
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(other(x), model(x))
    rebuilt = keras.Model.from_config(model.get_config())
    rebuilt.load_weights(tmp_path / "model.weights.h5")
    assert_same(rebuilt(x), model(x))


@pytest.mark.slow
def test_a_compiled_model_goes_on_training(tmp_path):
    model, x = model_of("dense")
    losses = {"value": "mse", "jacobian": "mse", "laplacian": "mse"}
    model.compile("adam", losses, jit_compile=False)
    y = {name: np.zeros_like(found) for name, found in model.predict(x, verbose=0).items()}
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = [m.fit(x, y, epochs=2, verbose=0).history["loss"] for m in (model, loaded)]
    np.testing.assert_allclose(*again, rtol=1e-5)


def two_outputs():
    x = keras.Input((2,))
    hidden = layers.Dense(4, "tanh")(x)
    return keras.Model(x, {"first": layers.Dense(1)(hidden), "second": layers.Dense(2)(hidden)})


@pytest.mark.slow
def test_nested_outputs_are_exported_once_they_are_named_flat(tmp_path):
    """Signatures of a SavedModel are flat: nested outputs are refused by Keras of every model."""
    net, x = two_outputs(), keras.Input((2,))
    own = keras.Model(x, {"value": net(x)})
    nested = kc.DerivativeOutput(net, ["value", "laplacian"])(x)
    for model in (own, keras.Model(x, nested)):
        with pytest.raises(ValueError, match="must be a single Tensor, a sequence"):
            model.export(tmp_path / "nested", verbose=False)
    paths = keras.tree.flatten_with_path(nested)
    flat = keras.Model(x, {"_".join(path): tensor for path, tensor in paths})
    flat.export(tmp_path / "flat", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "flat")  # kept: it holds the variables
    served = loaded.serve(X)
    assert set(served) == {f"{n}_{o}" for n in ("value", "laplacian") for o in ("first", "second")}
    assert_same(served, flat(X))


SERVE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "keras_curvature":
            raise ImportError(name + " is blocked here")

sys.meta_path.insert(0, Blocked())
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
given = np.load(folder + "/given.npz")
for name in given.files:
    case, _, kind = name.partition("|")
    if kind != "x0":
        continue
    served = tf.saved_model.load(folder + "/" + case)
    x = [given[case + "|x%d" % i] for i in range(2) if case + "|x%d" % i in given.files]
    found = served.serve(x if len(x) > 1 else x[0])
    found = found if isinstance(found, dict) else {"output": found}
    assert "serving_default" in served.signatures
    for key, tensor in found.items():
        np.testing.assert_allclose(tensor, given[case + "|" + key], rtol=1e-5, atol=1e-6)
    print("served", case, *found)
assert "keras_curvature" not in sys.modules
"""


@pytest.mark.slow
def test_an_exported_model_is_served_without_this_library(tmp_path):
    arrays, flat = {}, [name for name in CASES if name != "a list"]  # its outputs are nested
    for name in flat:
        model, x = model_of(name)
        case = name.replace(" ", "_")
        model.export(tmp_path / case, verbose=False)
        for i, leaf in enumerate(keras.tree.flatten(x)):
            arrays[f"{case}|x{i}"] = leaf
        found = model(x)
        for key, tensor in (found if isinstance(found, dict) else {"output": found}).items():
            arrays[f"{case}|{key}"] = tensor
    np.savez(tmp_path / "given.npz", **arrays)
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("served") == len(flat)
