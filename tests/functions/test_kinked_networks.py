"""Trained ReLU networks: their kinks, their curvature at a scale, and what they were taught."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc


def trained(x, y, *units, epochs, batch_size, rate):
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(n, "relu") for n in units]
    model = keras.Sequential([keras.Input((1,)), *hidden, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


@pytest.fixture(scope="module")
def quadratic():
    """The founding question's network: it fits x**2, and autodiff gives 0."""
    x = np.linspace(0, 1, 1000)[:, None]
    return trained(x, x**2, 1024, epochs=10, batch_size=20, rate=1e-3)


@pytest.fixture(scope="module")
def wave():
    x = np.linspace(-1.2, 1.2, 1000)[:, None]
    decay = keras.optimizers.schedules.CosineDecay(3e-3, 1000)
    return trained(x, np.sin(3 * x), 64, 64, epochs=50, batch_size=50, rate=decay)


def test_the_exact_second_derivative_of_the_founding_network_is_0(quadratic):
    x = np.linspace(0.01, 0.99, 99)[:, None]
    assert not np.any(kc.hessian(quadratic, x))
    assert kc.hidden_fraction(quadratic, x)[0] == pytest.approx(1)


def test_its_kinks_make_up_its_change_of_slope(quadratic):
    kinks = kc.kinks(quadratic, 0, 1)
    assert len(kinks.positions) > 100
    slopes = kc.jacobian(quadratic, [[0.0], [1.0]], dtype="float64").numpy().ravel()
    assert kinks.slope_changes.sum() == pytest.approx(slopes[1] - slopes[0], rel=1e-12)
    # Every kink is one of a unit's, where the unit's argument is 0, and as strong as its weights.
    w, b, out, _ = (value.astype(float) for value in quadratic.get_weights())
    with np.errstate(divide="ignore"):
        places = -b / w[0]
    inside = (places > 0) & (places < 1)
    assert inside.sum() == len(kinks.positions)
    order = np.argsort(places[inside])
    np.testing.assert_allclose(kinks.positions, places[inside][order], rtol=1e-12, atol=1e-15)
    changes = (np.abs(w[0]) * out[:, 0])[inside][order]
    np.testing.assert_allclose(kinks.slope_changes[:, 0], changes, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("h", [0.05, 0.1, 0.2])
def test_its_curvature_at_a_scale_is_that_of_its_kinks_and_near_2(quadratic, h):
    kinks = kc.kinks(quadratic, 0, 1)
    x = np.linspace(h, 1 - h, 201)[:, None]
    found = kc.scale_curvature(quadratic, x, h, dtype="float64").numpy()[..., 0]
    averaged = np.maximum(0, 1 - np.abs(x - kinks.positions) / h) / h @ kinks.slope_changes
    np.testing.assert_allclose(found, averaged, atol=1e-9)
    assert found.mean() == pytest.approx(1.8, abs=0.25)  # it has not learned all of x**2 yet


@pytest.mark.slow
@pytest.mark.parametrize("h", [0.2, 0.3, 0.4])
def test_the_curvature_of_a_wave_averaged_by_the_kernel(wave, h):
    """-9 sin(3 x) averaged by the triangle is sin(3 x) (2 cos(3 h) - 2) / h**2."""
    everywhere = np.linspace(-1.2, 1.2, 4801)[:, None]
    misfit = np.abs(wave.predict(everywhere, verbose=0) - np.sin(3 * everywhere)).max()
    x = np.linspace(-1.2 + h, 1.2 - h, 201)[:, None]
    found = kc.scale_curvature(wave, x, h).numpy()[..., 0]
    truth = np.sin(3 * x) * (2 * np.cos(3 * h) - 2) / h**2
    # Three values, each off by the misfit at most, with weights 1, -2, 1: no network is better.
    assert np.abs(found - truth).max() <= 4 * misfit / h**2
    # And the network is good enough to see the wave: its root mean square is 6.2 to 6.3.
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.3
    assert not np.any(kc.hessian(wave, x))
