"""Layers that train through derivatives by some columns, against closed forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc

X = np.random.default_rng(0).uniform(0.5, 1.5, size=(64, 3)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
class Product(keras.layers.Layer):
    """`w x0² x1 + x2³`, with a weight to train.

    Not by slices, through whose derivatives XLA cannot train (`nested`).
    """

    def build(self, input_shape):
        self.w = self.add_weight(shape=(), initializer="ones", name="w")

    def call(self, x):
        a, b, c = keras.ops.unstack(x, axis=1)
        return (self.w * a**2 * b + c**3)[:, None]


def product():
    layer = Product()
    layer.build((None, 3))
    return layer


def model_of(layer):
    inputs = keras.Input((3,))
    return keras.Model(inputs, layer(inputs))


@pytest.mark.slow
@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
@pytest.mark.parametrize("engine", ["taylor", "nested", "finite_difference"])
def test_it_trains_through_the_derivatives_by_these_columns(engine, jit):
    """Only the weight 3 gives the labels their slope by x1, `w x0²`, and their mixed derivative."""
    net = product()
    names = ["jacobian", "hessian"]
    model = model_of(kc.DerivativeOutput(net, names, columns=[1, 0], engine=engine))
    model.compile(keras.optimizers.Adam(0.2), dict.fromkeys(names, "mse"), jit_compile=jit)
    a, b, _ = X.T
    zero = 0 * a
    slopes = 3 * np.stack([a**2, 2 * a * b], 1)[:, None]
    bends = 3 * np.array([[zero, 2 * a], [2 * a, 2 * b]]).transpose(2, 0, 1)[:, None]
    labels = {"jacobian": slopes, "hessian": bends}
    model.fit(X, labels, epochs=60, batch_size=32, verbose=0)
    assert float(net.w.numpy()) == pytest.approx(3, abs=1e-2)  # where Adam has got to
    found = model.predict(X, verbose=0)
    assert {name: array.shape for name, array in found.items()} == {
        "jacobian": (64, 1, 2), "hessian": (64, 1, 2, 2),
    }  # fmt: skip
    np.testing.assert_allclose(found["hessian"], bends, atol=0.05)


def test_the_penalty_is_of_these_columns():
    """Along one column every direction of length 1 is that column: `(2 x1)²` on average."""
    model = keras.Sequential([keras.Input((3,)), kc.CurvaturePenalty(product(), 0.5, columns=[0])])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    fit = model.fit(X, X[:, :1], batch_size=64, verbose=0)
    wanted = 0.5 * np.mean((2 * X[:, 1]) ** 2)
    np.testing.assert_allclose(fit.history["curvature_penalty"], wanted, rtol=1e-5)
    scaled = keras.Sequential(
        [keras.Input((3,)), kc.CurvaturePenalty(product(), 0.5, scale=[0.1], columns=0)]
    )
    scaled.compile(keras.optimizers.SGD(0.0), "mse")
    fit = scaled.fit(X, X[:, :1], batch_size=64, verbose=0)
    np.testing.assert_allclose(fit.history["curvature_penalty"], wanted, rtol=1e-3)  # float32 / h²


@pytest.mark.every(2)
@pytest.mark.parametrize("make", [
    lambda net: kc.DerivativeOutput(net, ["value", "hessian"], columns=[-1, 0]),
    lambda net: kc.CurvaturePenalty(net, 0.1, columns=[-1, 0]),
], ids=["output", "penalty"])  # fmt: skip
def test_they_are_saved_and_copied(make, tmp_path):
    model = model_of(make(product()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    copied = keras.models.clone_model(model)
    for other in (loaded, copied):
        assert other.layers[-1].columns == (-1, 0)
    before, after = (keras.tree.flatten(m.predict(X, verbose=0)) for m in (model, loaded))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_exported_model_gives_the_derivatives_by_these_columns(tmp_path):
    model = model_of(kc.DerivativeOutput(product(), "hessian_diagonal", columns=[2]))
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.serve(X), 6 * X[:, None, 2:], rtol=1e-6)


def test_a_layer_knows_no_names():
    with pytest.raises(ValueError, match=r"Received: 'vol'.*Give the index"):
        kc.DerivativeOutput(product(), "hessian", columns=["vol"])
    with pytest.raises(TypeError, match="no mask"):
        kc.CurvaturePenalty(product(), 1.0, columns=[True])
    with pytest.raises(ValueError, match=r"from -3 to 2\. Received: 3"):
        model_of(kc.DerivativeOutput(product(), "hessian", columns=[3]))
