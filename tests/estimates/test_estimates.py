"""Estimates against exact values: unbiased, with errors that are true, and converging."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
import truth

DRAWS = 2000
"""Examples at one point, each with directions of its own: so many draws of an estimate."""

SPECTRA = {
    "flat": np.linspace(-1, 1, 12),
    "decaying": np.array([9.0, -4, 2, *0.3 * 0.5 ** np.arange(9)]),
    "rank 2": np.array([3.0, -1, *np.zeros(10)]),
}


def matrix(spectrum):
    rng = np.random.default_rng(3)
    axes, _ = np.linalg.qr(rng.normal(size=(len(spectrum), len(spectrum))))
    return (axes * spectrum) @ axes.T


def quadratic(a):
    def f(x):
        return tf.einsum("ni,ij,nj->n", x, tf.constant(a / 2, x.dtype), x)[:, None]

    return f


def net():
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(6, "tanh") for _ in range(2)]
    return keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(2)])


def true_hessians(model, x):
    """`(n, 2, 4, 4)` from values alone, in NumPy."""
    *hidden, last = [[w.astype(float) for w in layer.get_weights()] for layer in model.layers]

    def f(z):
        for kernel, bias in hidden:
            z = np.tanh(z @ kernel + bias)
        return z @ last[0] + last[1]

    return truth.hessian_of_value(f, x, 0.02)


EXACT = {
    "trace": np.trace,
    "xtrace": np.trace,
    "frobenius_squared": lambda a: (a**2).sum(),
    "diagonal": np.diag,
}


@pytest.mark.every(3)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_an_estimate_is_unbiased_and_its_error_true(spectrum, name):
    a = matrix(SPECTRA[spectrum])
    x = np.zeros((DRAWS, len(a)))
    found = kc.estimate(quadratic(a), x, [name], directions=6, dtype="float64")[name]
    value, error = found.value.numpy()[:, 0], found.standard_error.numpy()[:, 0]
    scatter = value.std(axis=0)
    # Four standard deviations of a mean over the draws, and rounding.
    off = np.abs(value.mean(axis=0) - EXACT[name](a))
    np.testing.assert_array_less(off, 4 * scatter / np.sqrt(DRAWS) + 1e-12)
    # Squared errors are unbiased for the variance. Those of xtrace are not: section 3 there.
    rtol = 0.5 if name == "xtrace" else 0.07
    np.testing.assert_allclose(np.sqrt((error**2).mean(axis=0)), scatter, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize(("name", "least", "most"), [("trace", 0.9, 0.98), ("xtrace", 0.72, 0.92)])
def test_how_often_two_standard_errors_hold_the_truth(name, least, most):
    """Of eigenvalues of all sizes and both signs, as docs/wide-models.md says it."""
    half = np.random.default_rng(0).normal(size=(30, 30))
    a = half + half.T
    x = np.zeros((400, len(a)))
    found = kc.estimate(quadratic(a), x, [name], directions=16, dtype="float64")[name]
    off = np.abs(found.value.numpy()[:, 0] - np.trace(a))
    held = (off < 2 * found.standard_error.numpy()[:, 0]).mean()
    assert least < held < most  # a share of 400 draws is known to 0.02


def test_the_variance_of_the_trace_is_hutchinson_s():
    a = matrix(SPECTRA["flat"])
    x = np.zeros((DRAWS, len(a)))
    found = kc.estimate(quadratic(a), x, ["trace"], directions=3, dtype="float64")["trace"]
    variance = 2 * ((a**2).sum() - (np.diag(a) ** 2).sum()) / 3
    # The variance of 2000 draws is known to about 3 %.
    np.testing.assert_allclose(found.value.numpy().var(), variance, rtol=0.15)


def test_xtrace_is_better_where_few_directions_bend():
    a = matrix(SPECTRA["decaying"])
    x = np.zeros((200, len(a)))
    found = kc.estimate(quadratic(a), x, ["trace", "xtrace"], directions=8, dtype="float64")
    plain, reduced = (found[name].value.numpy().std() for name in ("trace", "xtrace"))
    assert reduced < plain / 4
    # A matrix of rank 2 in a space of 4 is known exactly.
    exact = kc.estimate(quadratic(matrix(SPECTRA["rank 2"])), x, ["xtrace"], dtype="float64")
    np.testing.assert_allclose(exact["xtrace"].value, 2, rtol=1e-10)


def test_estimates_of_a_network_converge_to_its_true_hessian():
    model = net()
    point = np.random.default_rng(0).normal(size=(1, 4))
    hessian = true_hessians(model, point)[0]
    names = ["trace", "frobenius_squared", "diagonal"]
    found = kc.estimate(model, np.tile(point, (50, 1)), names, directions=200, dtype="float64")
    for j in range(2):
        for name in names:
            values = found[name].value.numpy()[:, j]
            off = np.abs(values.mean(axis=0) - EXACT[name](hessian[j]))
            np.testing.assert_array_less(off, 4 * values.std(axis=0) / np.sqrt(50) + 1e-9)


@pytest.mark.parametrize("engine", ["auto", "taylor", "nested", "finite_difference"])
def test_eigenvalues_are_those_of_the_true_hessian(engine):
    model, x = net(), np.random.default_rng(0).normal(size=(3, 4))
    hessian = true_hessians(model, x)
    found = kc.estimate(model, x, "eigenvalues", tolerance=1e-8, dtype="float64", engine=engine)
    found = found["eigenvalues"]
    known = np.linalg.eigvalsh(hessian)[..., [0, -1]]
    np.testing.assert_allclose(found.value, known, atol=1e-8)  # of the differences
    u = found.direction.numpy()
    np.testing.assert_allclose(np.linalg.norm(u, axis=-1), 1, rtol=1e-12)
    products = np.einsum("nmij,nmej->nmei", hessian, u)
    np.testing.assert_allclose(products, found.value.numpy()[..., None] * u, atol=1e-7)


@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-5])
def test_lanczos_stops_at_the_stated_residual_and_never_beyond_the_extremes(tolerance):
    spectrum = np.concatenate([[-3.0, 5.0], np.linspace(-1, 1, 198)])
    x = np.zeros((4, 200))
    f = quadratic(matrix(spectrum))
    found = kc.estimate(f, x, "eigenvalues", tolerance=tolerance, dtype="float64")["eigenvalues"]
    value, residual = found.value.numpy()[:, 0], found.residual.numpy()[:, 0]
    assert residual.max() <= 1.001 * tolerance * 5
    assert value.min() >= -3 - 1e-12
    assert value.max() <= 5 + 1e-12
    nearest = np.abs(value[..., None] - spectrum).min(axis=-1)
    assert np.all(nearest <= residual + 1e-12)  # an eigenvalue lies within it
    few = kc.estimate(f, x, "eigenvalues", most_products=3, dtype="float64")["eigenvalues"]
    assert few.residual.numpy().max() > 0.1


@pytest.mark.parametrize(
    ("spectrum", "ends"),
    [([2.0] * 5, (2, 2)), ([0.0] * 5, (0, 0)), ([1.0, 1, 3, 3, 3], (1, 3)), ([-2.0], (-2, -2))],
    ids=["multiple of 1", "0", "two values", "one input"],
)
def test_a_space_that_is_exhausted_early(spectrum, ends):
    f = quadratic(matrix(np.array(spectrum)))
    found = kc.estimate(f, np.zeros((3, len(spectrum))), ["eigenvalues", "xtrace"])
    np.testing.assert_allclose(found["eigenvalues"].value[:, 0], [ends] * 3, atol=1e-5)
    np.testing.assert_allclose(found["eigenvalues"].residual, 0, atol=1e-5)
    np.testing.assert_allclose(tf.norm(found["eigenvalues"].direction, axis=-1), 1, rtol=1e-5)
    off = np.abs(found["xtrace"].value.numpy() - sum(spectrum))
    assert np.all(off <= 5 * found["xtrace"].standard_error.numpy() + 1e-5)


ALL = [*EXACT, "eigenvalues"]


def leaves(found):
    return {
        f"{name} {field}": np.asarray(part)
        for name, result in found.items()
        for field, part in vars(result).items()
    }


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_however_they_are_computed():
    model, x = net(), np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    # Each of them stops by itself: with all products, they agree.
    one = leaves(kc.estimate(model, x, ALL, tolerance=1e-6))
    ways = {
        "in chunks": kc.estimate(model, x, ALL, batch_size=2, tolerance=1e-6),
        "nested": kc.estimate(model, x, ALL, engine="nested", tolerance=1e-6),
        "differences": kc.estimate(model, x, ALL, engine="finite_difference", tolerance=1e-6),
    }
    for jit in (False, True):

        @tf.function(jit_compile=jit)
        def inside(x):
            found = kc.estimate(model, x, ALL, tolerance=1e-6)
            return {name: vars(result) for name, result in found.items()}

        parts = inside(tf.constant(x))
        ways[f"graph, XLA {jit}"] = {n: SimpleNamespace(**part) for n, part in parts.items()}
    for way, found in ways.items():
        for name, part in leaves(found).items():
            if "direction" in name:  # their sign is free
                part, known = np.abs(part), np.abs(one[name])
            else:
                known = one[name]
            # float32, and a cancellation in the residual
            np.testing.assert_allclose(part, known, atol=2e-5, err_msg=f"{way}: {name}")
    other = leaves(kc.estimate(model, x, ALL, seed=1))
    assert not np.allclose(other["trace value"], one["trace value"])
    alone = kc.estimate(model, x, "trace")["trace"]  # by Taylor propagation
    np.testing.assert_allclose(alone.value, one["trace value"], atol=1e-5)
    np.testing.assert_allclose(alone.standard_error, one["trace standard_error"], atol=1e-5)
    np.testing.assert_allclose(kc.laplacian(model, x, directions=8), alone.value, atol=1e-5)


def test_structures_come_back_as_they_were_given():
    a, b = keras.Input((2,), name="a"), keras.Input((3, 2), name="b")
    joined = keras.layers.Concatenate()([a, keras.layers.Flatten()(b)])
    h = keras.layers.Dense(5, "tanh")(joined)
    outputs = {"p": keras.layers.Dense(1)(h), "q": keras.layers.Dense(2)(h)}
    model = keras.Model({"a": a, "b": b}, outputs)
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(4, 2)), "b": rng.normal(size=(4, 3, 2))}
    found = kc.estimate(model, x, ALL)
    assert found["trace"].value["q"].shape == (4, 2)
    assert found["diagonal"].standard_error["q"]["b"].shape == (4, 2, 3, 2)
    assert found["eigenvalues"].value["p"].shape == (4, 1, 2)
    assert found["eigenvalues"].direction["q"]["b"].shape == (4, 2, 2, 3, 2)


def test_one_direction_has_no_error_to_tell():
    found = kc.estimate(net(), np.zeros((2, 4)), ["trace", "frobenius_squared"], directions=1)
    for result in found.values():
        assert np.isfinite(result.value.numpy()).all()
        assert np.isnan(result.standard_error.numpy()).all()


def test_what_is_not_finite_is_said_and_stays_in_its_example():
    x = np.array([[1.0, 4], [-1, 4]])
    found = kc.estimate(lambda x: tf.reduce_sum(tf.sqrt(x) * x, 1, keepdims=True), x, ALL)
    finite = np.isfinite(found["eigenvalues"].value.numpy()[:, 0]).all(axis=-1)
    np.testing.assert_array_equal(finite, [True, False])
    np.testing.assert_allclose(found["eigenvalues"].value[0, 0], [0.375, 0.75], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"names": ["hessian"]}, ValueError, "frobenius_squared"),
        ({"names": []}, ValueError, "names"),
        ({"directions": 0}, ValueError, "at least 1"),
        ({"directions": 2.0}, TypeError, "directions"),
        ({"names": ["xtrace"], "directions": 3}, ValueError, "at least 4"),
        ({"tolerance": 0}, ValueError, "tolerance"),
        ({"most_products": True}, TypeError, "most_products"),
        ({"engine": "magic"}, ValueError, "engine"),
    ],
)
def test_what_cannot_be_estimated_is_said(arguments, error, said):
    with pytest.raises(error, match=said):
        kc.estimate(net(), np.zeros((2, 4)), **({"names": ["trace"]} | arguments))
