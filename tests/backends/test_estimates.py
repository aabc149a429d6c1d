"""`estimate`: of known Hessians, in both precisions."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc

to_numpy = ops.convert_to_numpy

SPECTRUM = np.array([-3.0, -1, 0, 0.5, 2, 5])
AXES = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
MATRIX = (AXES * SPECTRUM) @ AXES.T
DRAWS = 400
"""Examples at one point, each with directions of its own."""

EXACT = {
    "trace": np.trace(MATRIX),
    "xtrace": np.trace(MATRIX),
    "frobenius_squared": np.sum(MATRIX**2),
    "diagonal": np.diag(MATRIX),
}
ALL = [*EXACT, "eigenvalues"]
ROUNDING = {"float32": 1e-5, "float64": 1e-12}
"""Of numbers up to 40, which some tens of roundings lead to."""


def quadratic(x):
    return ops.einsum("ni,ij,nj->n", x, ops.convert_to_tensor(MATRIX / 2, x.dtype), x)[:, None]


def quartic(x):
    """`Σ xᵢ⁴ / 12`, whose Hessian `diag(xᵢ²)` random signs tell exactly."""
    return ops.sum(x**4, axis=1, keepdims=True) / 12


def estimates(*asked, **options):
    """The estimates, as arrays of NumPy."""
    found = kc.estimate(*asked, **options)
    return {
        name: dataclasses.replace(result, **keras.tree.map_structure(to_numpy, vars(result)))
        for name, result in found.items()
    }


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_estimates_of_a_known_hessian(dtype):
    found = estimates(quadratic, np.zeros((DRAWS, 6), dtype), ALL, dtype=dtype, tolerance=1e-7)
    for name, truth in EXACT.items():
        value = found[name].value[:, 0]
        assert value.dtype == dtype
        # Four standard deviations of a mean over the draws.
        near = 4 * value.std(axis=0) / np.sqrt(DRAWS) + ROUNDING[dtype]
        np.testing.assert_array_less(np.abs(value.mean(axis=0) - truth), near)
        error = np.sqrt(np.mean(np.square(found[name].standard_error), axis=0))[0]
        # As on TensorFlow: the errors of xtrace are those that its paper recommends.
        np.testing.assert_allclose(error, value.std(axis=0), rtol=0.5 if name == "xtrace" else 0.15)
    ends = found["eigenvalues"]
    np.testing.assert_allclose(ends.value[:, 0], [[-3, 5]] * DRAWS, atol=ROUNDING[dtype])
    direction = ends.direction[:, 0]
    off = direction @ MATRIX - direction * [[-3], [5]]
    np.testing.assert_allclose(off, 0, atol=2e-5 if dtype == "float32" else 1e-6)


@pytest.mark.parametrize("engine", ["taylor", "nested", "finite_difference"])
def test_float64_is_float64(engine):
    x = np.array([[0.25, 0.7, -1.3], [2.0, 0.3, 0.9]], "float32")
    found = estimates(quartic, x, ["trace", "diagonal"], dtype="float64", engine=engine)
    squares = x.astype("float64") ** 2
    rtol = 1e-6 if engine == "finite_difference" else 1e-14
    np.testing.assert_allclose(found["trace"].value[:, 0], squares.sum(axis=1), rtol=rtol)
    np.testing.assert_allclose(found["diagonal"].value[:, 0], squares, rtol=rtol)


@pytest.mark.slow
def test_lanczos_stops_at_the_stated_residual():
    spectrum = np.concatenate([[-3.0, 5.0], np.linspace(-1, 1, 98)])
    axes, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(100, 100)))

    def f(x):
        along, weights = ops.matmul(x, axes), ops.convert_to_tensor(spectrum, x.dtype)
        return ops.sum(ops.square(along) * weights, axis=1, keepdims=True) / 2

    def ends(**options):
        found = estimates(f, np.zeros((2, 100)), "eigenvalues", dtype="float64", **options)
        return vars(found["eigenvalues"]).values()

    value, _, residual = ends(tolerance=0.1)
    assert 1e-3 < residual.max() <= 0.5
    assert value.min() >= -3 - 1e-12
    assert value.max() <= 5 + 1e-12
    _, _, residual = ends(most_products=3)
    assert residual.max() > 0.1


@pytest.mark.slow
def test_what_is_not_a_number_stays_in_its_example():
    x = np.array([[1.0, 4], [np.nan, 4], [-1, 4]], "float32")
    found = estimates(lambda x: ops.sum(ops.sqrt(x) * x, 1, keepdims=True), x, ALL, directions=4)
    # The second derivative of x^1.5 is 0.75 / sqrt(x).
    wanted = {"trace": 1.125, "frobenius_squared": 0.703125, "diagonal": [0.75, 0.375]}
    for name, truth in (wanted | {"eigenvalues": [0.375, 0.75]}).items():
        np.testing.assert_allclose(found[name].value[0, 0], truth, rtol=1e-5, err_msg=name)
    for name in ALL:
        finite = [np.isfinite(row).all() for row in found[name].value]
        assert finite == [True, False, False], name


@pytest.mark.slow
def test_of_one_input_everything_is_exact():
    found = estimates(quartic, [[3.0], [-2.0]], ALL)
    wanted = {"trace": [9, 4], "xtrace": [9, 4], "frobenius_squared": [81, 16], "diagonal": [9, 4]}
    for name, truth in wanted.items():
        np.testing.assert_allclose(np.ravel(found[name].value), truth, rtol=1e-6)
        np.testing.assert_array_equal(np.ravel(found[name].standard_error), [0, 0])
    np.testing.assert_allclose(found["eigenvalues"].value[:, 0], [[9, 9], [4, 4]], rtol=1e-6)


@pytest.mark.slow
def test_structures_come_back_as_they_were_given():
    """Of `Σ aᵢ² · Σ bᵢⱼ`, which curves by `2 Σ bᵢⱼ` along each of a, and `Σ bᵢⱼ²`."""
    a, b = keras.Input((2,), name="a"), keras.Input((3, 2), name="b")
    flat = layers.Flatten()(b)
    p = ops.sum(a**2, axis=1, keepdims=True) * ops.sum(flat, axis=1, keepdims=True)
    model = keras.Model({"a": a, "b": b}, {"p": p, "q": flat**2})
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(4, 2)), "b": rng.normal(size=(4, 3, 2))}
    found = estimates(model, x, ["diagonal"], directions=400)["diagonal"]
    for value, error in zip(found.value["p"]["a"], found.standard_error["p"]["a"], strict=True):
        assert value.shape == (1, 2)
        assert np.all(error > 0)
    twice = 2 * x["b"].sum(axis=(1, 2))[:, None, None]
    off = np.abs(found.value["p"]["a"] - twice)
    np.testing.assert_array_less(off, 5 * found.standard_error["p"]["a"])
    square = np.reshape(2 * np.eye(6), (6, 3, 2))
    np.testing.assert_allclose(found.value["q"]["b"], [square] * 4, atol=1e-6)


@pytest.mark.slow
def test_xtrace_of_a_convolution_is_exact_where_few_units_bend():
    """Four units `tanh(k . patch)`, each with its own patch: `trace = Σ wᵤ tanh''(zᵤ) |k|²`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(1, 3, strides=3, activation="tanh"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 1))
    kernel, weights = (to_numpy(w).astype("float64") for w in model.trainable_weights[::2])
    patches = x.reshape(3, 2, 3, 2, 3).transpose(0, 1, 3, 2, 4).reshape(3, 4, 9)
    t = np.tanh(patches @ kernel.ravel())
    truth = (-2 * t * (1 - t**2) * np.sum(kernel**2)) @ weights
    found = estimates(model, x, "xtrace", directions=12, dtype="float64")["xtrace"]
    np.testing.assert_allclose(found.value, truth, rtol=1e-10)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-10)


X = np.random.default_rng(0).uniform(0.5, 2, (5, 4)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ROUNDING)
def test_the_same_numbers_however_they_are_computed(dtype):
    def found(**options):
        return estimates(quartic, X, ALL, dtype=dtype, tolerance=1e-6, **options)

    whole = found()
    for way, one in {"in chunks": found(batch_size=2), "nested": found(engine="nested")}.items():
        for name, result in whole.items():
            for field, known in vars(result).items():
                part = getattr(one[name], field)
                assert part.dtype == dtype
                if field == "direction":  # their sign is free
                    part, known = np.abs(part), np.abs(known)
                # What an early stop leaves, and a cancellation in the residual.
                np.testing.assert_allclose(part, known, atol=2e-5, err_msg=f"{way}: {name} {field}")
