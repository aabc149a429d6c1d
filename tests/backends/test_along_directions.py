"""The weighted Laplacian and several directions at once, as on TensorFlow."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_curvature as kc
import known_hessians as known
from known_hessians import KNOWN, MATRICES, V

to_numpy = ops.convert_to_numpy

ENGINES = ["taylor", "nested", "finite_difference"]

# Rounding of the dtype times numbers up to 20; differences keep two thirds of float64's digits.
TOLERANCE = {"float32": 2e-5, "float64": 1e-8}


def eagerly(compute, *given):
    return compute(*given)


def inside(compute, *given):
    """As part of what the backend traces: without numbers."""
    if keras.backend.backend() == "jax":
        import jax

        with jax.enable_x64(True):
            return jax.jit(compute)(*given)
    import torch

    given = [torch.tensor(x)[None] for x in given]
    return torch.func.vmap(compute, randomness="same")(*given)[0]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_weighted_closed_forms(matrix, engine, dtype):
    form, weights = KNOWN["two outputs of a matrix"], MATRICES[matrix]
    x = known.points(form, dtype)
    found = kc.laplacian(
        form.function, x, weights=weights, engine=engine, dtype=dtype, batch_size=2
    )
    truth = known.contracted(form, x, weights)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    assert tuple(found.shape) == truth.shape
    np.testing.assert_allclose(to_numpy(found), truth, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("matrix", ["of both signs", "one for each"])
def test_weights_without_numbers(matrix, engine):
    form, weights = KNOWN["two outputs of a matrix"], MATRICES[matrix]
    x = known.points(form)

    def compute(x, weights):
        return kc.laplacian(form.function, x, weights=weights, engine=engine, dtype="float64")

    found = inside(compute, x, weights)
    np.testing.assert_allclose(to_numpy(found), known.contracted(form, x, weights), atol=1e-12)


@pytest.mark.parametrize("way", [eagerly, inside])
def test_the_equation_of_black_and_scholes(way):
    def compute(s):
        weights = known.spread_of_prices
        return kc.laplacian(known.exchange_option, s, weights=weights, dtype="float64")

    s = known.prices()
    # The weights are of float32 where Keras's ops give that.
    np.testing.assert_allclose(to_numpy(way(compute, s)), known.decay(s), rtol=1e-6)


@pytest.mark.parametrize(
    "weights",
    [V.T @ V, lambda x: x[:, :, None] * x[:, None, :]],
    ids=["a matrix", "a function of x"],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_is_trained_through_it(engine, weights):
    operator = functools.partial(kc.laplacian, weights=weights, engine=engine)
    found, moved = known.trained(operator)
    truth, _ = known.trained(known.by_hessian(weights))
    assert moved > 0.01
    for a, b in zip(found, truth, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # of float32, summed in another order


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(4, 3, 1), (5, 4, 3, 1)], ids=["for all", "for each"])
def test_several_directions(shape, engine, dtype):
    form = KNOWN["two outputs of a matrix"]
    x, v = known.points(form, dtype), np.random.default_rng(1).normal(size=shape)
    options = {"engine": engine, "dtype": dtype, "batch_size": 2, "directions": True}
    curvatures, products = known.along(form, x, v)
    found = kc.directional_curvature(form.function, x, v, **options)
    assert tuple(found.shape) == curvatures.shape
    np.testing.assert_allclose(to_numpy(found), curvatures, atol=TOLERANCE[dtype])
    names = ["hessian_vector_product", "directional_curvature", "value"]
    both = kc.derivatives(form.function, x, names, v=v, **options)
    np.testing.assert_allclose(to_numpy(both[names[0]]), products, atol=TOLERANCE[dtype])
    np.testing.assert_allclose(to_numpy(both[names[1]]), curvatures, atol=TOLERANCE[dtype])


def test_several_directions_inside():
    form = KNOWN["two outputs of a matrix"]
    x, v = known.points(form), np.random.default_rng(1).normal(size=(5, 4, 3, 1))

    def compute(x, v):
        return kc.hessian_vector_product(form.function, x, v, dtype="float64")

    found = inside(compute, x, v)
    np.testing.assert_allclose(to_numpy(found), known.along(form, x, v)[1], atol=1e-12)


def test_errors_are_the_same():
    with pytest.raises(ValueError, match="must be symmetric"):
        kc.laplacian(KNOWN["quadratic"].function, np.ones((4, 3)), weights=known.A)
    with pytest.raises(ValueError, match="must hold k directions"):
        kc.directional_curvature(
            KNOWN["quadratic"].function, np.ones((4, 3)), np.ones(3), directions=True
        )
