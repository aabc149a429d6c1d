"""A layer of JAX inside a model: TensorFlow differentiates it twice, and so do we."""

import keras
import numpy as np
import pytest

import keras_curvature as kc

jax = pytest.importorskip("jax")

W = np.array([[0.5], [-0.75]], "float32")
X = np.array([[0.5, -0.25], [1.0, 0.3], [-0.4, 0.8]], "float32")
V = np.array([1.0, 2.0], "float32")
IN_FLOAT32 = pytest.mark.filterwarnings("ignore:TensorFlow has no XlaCallModule in float64")
"""JAX compiles it for one dtype; that the rest is computed in float64 is said."""


@pytest.fixture(scope="module")
def model():
    def call(params, inputs):
        return jax.numpy.tanh(inputs @ params["w"])

    layer = keras.layers.JaxLayer(call, lambda rng, inputs: {"w": jax.numpy.asarray(W)})
    return keras.Sequential([keras.Input((2,)), layer])


def known():
    y = np.tanh(X.astype("float64") @ W)
    bend = (-2 * y * (1 - y**2))[..., None]
    hessian = bend[..., None] * (W @ W.T)
    return {
        "value": y,
        "jacobian": (1 - y**2)[..., None] * W[:, 0],
        "hessian": hessian,
        "hessian_diagonal": bend * W[:, 0] ** 2,
        "laplacian": bend[..., 0] * (W**2).sum(),
        "directional_curvature": np.einsum("nmij,i,j->nm", hessian, V, V),
        "hessian_vector_product": hessian @ V,
    }


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "taylor", "nested"])
@pytest.mark.parametrize("name", known())
def test_derivatives(model, name, engine):
    v = V if name in ("directional_curvature", "hessian_vector_product") else None
    found = kc.derivatives(model, X, [name], v=v, engine=engine)[name]
    # JAX's second derivative of tanh in float32 keeps five digits.
    np.testing.assert_allclose(found, known()[name], rtol=1e-4, atol=1e-5)


@IN_FLOAT32
def test_values_are_enough(model):
    values = kc.derivatives(model, X, ["value"], dtype="float64")["value"]
    np.testing.assert_allclose(values, known()["value"], rtol=1e-6)
    h = 0.25
    y = [np.tanh(X @ W + step * W.T) for step in (-h, 0, h)]
    windows = (y[0] - 2 * y[1] + y[2])[:, None] / h**2
    # What float32 values leave of a second difference at this distance.
    np.testing.assert_allclose(kc.scale_curvature(model, X, h), windows, atol=2e-5)


@pytest.mark.slow
@IN_FLOAT32
def test_a_monitor_watches_it(model):
    model.compile("sgd", "mse")
    monitor = kc.CurvatureMonitor(X, units="raw")
    model.fit(X, X[:, :1], verbose=0, callbacks=[monitor])
    assert monitor.history["mean"][0] == pytest.approx(known()["laplacian"].mean(), rel=1e-4)
    assert np.isfinite(monitor.history["scale_mean"]).all()


@IN_FLOAT32
def test_what_is_differenced_in_float64_says_what_it_is_worth(model):
    with pytest.warns(UserWarning, match="its rounding limits what comes out"):
        kc.laplacian(model, X, engine="finite_difference", output=lambda y: y)
